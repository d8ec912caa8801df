"""A stretch of a clip as the model takes it: normalised, with masks, padded to length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from iaca.encoders.embedding import ClipEmbedding
from iaca.training.config import TARGETS, Target
from iaca.training.cues import BoolArray, FloatArray, read_cues
from iaca.training.normalisation import Normalisation

Array = TypeVar("Array", FloatArray, BoolArray)


@dataclass(frozen=True)
class Sample:
    """One window.

    Attributes:
        audio, visual: (t, D_a), (t, D_v) float32, normalised; zero where absent or padded.
        audio_present, visual_present: (t,) bool.
        padding: (t,) bool, True where the step exists.
        labels: (t, 2) float32 valence, arousal; NaN where not annotated.
        valid: (t,) bool, the steps that count: annotated, something observed, not counted by another window.
        quality: (t, q) float32, the cues that the model reads, normalised; zero where not known or padded.
        corrupted: (t, 2) bool (audio, visual), True where corruption was injected into what was observed.
    """

    audio: FloatArray
    visual: FloatArray
    audio_present: BoolArray
    visual_present: BoolArray
    padding: BoolArray
    labels: FloatArray
    valid: BoolArray
    quality: FloatArray
    corrupted: BoolArray


def cut(
    clip: ClipEmbedding,
    start: int,
    length: int,
    normalisation: Normalisation,
    fresh: int = 0,
    cues: Sequence[str] = (),
    targets: Sequence[Target] = TARGETS,
) -> Sample:
    """A window of a clip, clean.

    Args:
        clip: from which it is taken.
        start, length: its steps; it is padded at the end.
        normalisation: of embeddings and cues.
        fresh: steps of the clip before this one do not count.
        cues: names of the quality cues that the model reads, those of `normalisation`.
        targets: the dimensions for which a step has to be annotated to count.
    """
    stretch = slice(start, start + length)
    present = {"audio": clip.audio_present[stretch], "visual": clip.face_found[stretch]}
    audio = normalisation.apply(clip.audio[stretch], present["audio"], "audio")
    visual = normalisation.apply(clip.visual[stretch], present["visual"], "visual")
    labels = clip.labels[stretch]
    seen = present["audio"] | present["visual"]
    annotated = np.isfinite(labels[:, [TARGETS.index(target) for target in targets]]).all(axis=1)
    valid = annotated & seen & (np.arange(start, start + len(labels)) >= fresh)
    exists = np.ones(len(labels), dtype=np.bool_)
    return Sample(
        audio=_padded(audio, length),
        visual=_padded(visual, length),
        audio_present=_padded(present["audio"], length),
        visual_present=_padded(present["visual"], length),
        padding=_padded(exists, length),
        labels=_padded(labels, length),
        valid=_padded(valid, length),
        quality=_padded(normalisation.apply_cues(read_cues(clip, cues, stretch)), length),
        corrupted=np.zeros((length, 2), dtype=np.bool_),
    )


def _padded(array: Array, length: int) -> Array:
    """(t, ...) -> (length, ...), zeros at the end."""
    padded: Array = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    padded[: len(array)] = array
    return padded
