"""A stretch of a clip as the model takes it: normalised, with masks, padded to length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.training.normalisation import FloatArray, Normalisation

BoolArray = NDArray[np.bool_]
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
    """

    audio: FloatArray
    visual: FloatArray
    audio_present: BoolArray
    visual_present: BoolArray
    padding: BoolArray
    labels: FloatArray
    valid: BoolArray


def cut(clip: ClipEmbedding, start: int, length: int, normalisation: Normalisation, fresh: int = 0) -> Sample:
    """`length` steps of a clip from step `start`, padded at the end; steps before `fresh` do not count."""
    stretch = slice(start, start + length)
    present = {"audio": clip.audio_present[stretch], "visual": clip.face_found[stretch]}
    audio = normalisation.apply(clip.audio[stretch], present["audio"], "audio")
    visual = normalisation.apply(clip.visual[stretch], present["visual"], "visual")
    labels = clip.labels[stretch]
    seen = present["audio"] | present["visual"]
    valid = np.isfinite(labels).all(axis=1) & seen & (np.arange(start, start + len(labels)) >= fresh)
    exists = np.ones(len(labels), dtype=np.bool_)
    return Sample(
        audio=_padded(audio, length),
        visual=_padded(visual, length),
        audio_present=_padded(present["audio"], length),
        visual_present=_padded(present["visual"], length),
        padding=_padded(exists, length),
        labels=_padded(labels, length),
        valid=_padded(valid, length),
    )


def _padded(array: Array, length: int) -> Array:
    """(t, ...) -> (length, ...), zeros at the end."""
    padded: Array = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    padded[: len(array)] = array
    return padded
