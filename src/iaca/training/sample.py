"""A window of a clip as the model takes it: normalised, with masks, padded to length; and what training adds to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.modalities import MODALITIES
from iaca.training.config import TARGETS, Target
from iaca.training.cues import BoolArray, FloatArray, read_cues
from iaca.training.normalisation import Normalisation

Array = TypeVar("Array", FloatArray, BoolArray)


class Window(NamedTuple):
    """A stretch of a clip, from step `start`; steps before `fresh` were counted by the window before it."""

    clip: str
    start: int
    fresh: int


@dataclass(frozen=True)
class WindowSpec:
    """How windows are cut.

    Attributes:
        length: steps of a window; what reaches beyond the clip is padded.
        normalisation: of embeddings and cues.
        cues: names of the quality cues that the model reads, those of `normalisation`.
        targets: the dimensions for which a step has to be annotated to count.
    """

    length: int
    normalisation: Normalisation
    cues: tuple[str, ...] = ()
    targets: tuple[Target, ...] = TARGETS


@dataclass(frozen=True)
class ModelInput:
    """What a model sees of a window of t steps.

    Attributes:
        audio, visual: (t, D_a), (t, D_v) float32, normalised; zero where absent or padded.
        present: (t, 2) bool (audio, visual), where each was observed.
        padding: (t,) bool, True where the step exists.
        quality: (t, q) float32, the cues that the model reads, normalised; zero where not known or padded.
    """

    audio: FloatArray
    visual: FloatArray
    present: BoolArray
    padding: BoolArray
    quality: FloatArray


@dataclass(frozen=True)
class Sample(ModelInput):
    """A window to learn from, or to be scored on.

    Attributes:
        labels: (t, 2) float32 valence, arousal; NaN where not annotated.
        valid: (t,) bool, the steps that count: annotated, something observed, not counted by another window.
        corrupted: (t, 2) bool (audio, visual), True where corruption was injected into what was observed.
    """

    labels: FloatArray
    valid: BoolArray
    corrupted: BoolArray


def cut(clip: ClipEmbedding, start: int, spec: WindowSpec) -> ModelInput:
    """The window of a clip that begins at a step."""
    stretch, normalisation = slice(start, start + spec.length), spec.normalisation
    present = {modality: mask[stretch] for modality, mask in clip.present.items()}
    audio, visual = (normalisation.apply(clip.features[m][stretch], present[m], m) for m in MODALITIES)
    return ModelInput(
        audio=_padded(audio, spec.length),
        visual=_padded(visual, spec.length),
        present=_padded(np.stack([present[m] for m in MODALITIES], axis=1), spec.length),
        padding=np.arange(spec.length) < len(audio),
        quality=_padded(normalisation.apply_cues(read_cues(clip, spec.cues, stretch)), spec.length),
    )


def cut_sample(clip: AnnotatedClip, window: Window, spec: WindowSpec) -> Sample:
    """A window of an annotated clip, clean."""
    inputs = cut(clip.embedding, window.start, spec)
    labels = _padded(clip.labels[window.start : window.start + spec.length], spec.length)
    annotated = np.isfinite(labels[:, [TARGETS.index(target) for target in spec.targets]]).all(axis=1)
    fresh = np.arange(window.start, window.start + spec.length) >= window.fresh
    return Sample(
        **vars(inputs),
        labels=labels,
        valid=annotated & inputs.present.any(axis=1) & fresh,  # nothing is present in the padding
        corrupted=np.zeros((spec.length, len(MODALITIES)), dtype=np.bool_),
    )


def collate(samples: Sequence[ModelInput]) -> dict[str, Tensor]:
    """Windows of one length t -> tensors (b, t, ...) by the names of their fields."""
    stacked: dict[str, NDArray[np.generic]] = {
        field.name: np.stack([getattr(sample, field.name) for sample in samples]) for field in fields(samples[0])
    }
    return {name: torch.from_numpy(array) for name, array in stacked.items()}


def model_arguments(batch: Mapping[str, Tensor], reads_cues: bool) -> tuple[Tensor | None, ...]:
    """A batch of `collate` as the arguments of `FusionModel.forward`, in their order."""
    audio_present, visual_present = batch["present"].unbind(-1)
    quality = batch["quality"] if reads_cues else None
    return batch["audio"], batch["visual"], audio_present, visual_present, batch["padding"], quality


def _padded(array: Array, length: int) -> Array:
    """(t, ...) -> (length, ...), zeros at the end."""
    padded: Array = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    padded[: len(array)] = array
    return padded
