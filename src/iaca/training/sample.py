"""How a window of a clip becomes the input of a model: quality cues, normalisation, masks, padding, batches.

Training adds annotation, and the seed of each random generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Final, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iaca.encoders.cues import OF, TABLE
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.errors import InputError
from iaca.parameters import MODALITIES, Modality
from iaca.training.config import TARGETS, Target

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Array = TypeVar("Array", FloatArray, BoolArray)
BOTH: Final = "both"


# --- windows ---


class Window(NamedTuple):
    """Part of a clip, from step `start`; steps before `fresh` were already counted by the window before it."""

    clip: str
    start: int
    fresh: int


@dataclass(frozen=True)
class WindowSpec:
    """How windows are cut.

    Attributes:
        length: steps of a window; steps beyond the end of the clip are padding.
        normalisation: of embeddings and cues.
        cues: names of the quality cues that the model reads, those of `normalisation`.
        targets: the dimensions for which a step has to be annotated to count.
    """

    length: int
    normalisation: Normalisation
    cues: tuple[str, ...] = ()
    targets: tuple[Target, ...] = TARGETS


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """What a model sees of a window of t steps.

    Attributes:
        audio, visual: (t, D_a), (t, D_v) float32, normalised; zero where absent or padded.
        present: (t, 2) bool (audio, visual), where each was observed.
        padding: (t,) bool, True where the step exists.
        quality: (t, q) float32, the cues that the model reads, normalised; zero where unknown or padded.
        readings: (t, 2, 2) float32, of the modalities and dimensions, for models that start from them; else zero.
    """

    audio: FloatArray
    visual: FloatArray
    present: BoolArray
    padding: BoolArray
    quality: FloatArray
    readings: FloatArray


@dataclass(frozen=True, kw_only=True)
class Sample(ModelInput):
    """A window to train on, or to score.

    Attributes:
        labels: (t, 2) float32 valence, arousal; NaN where not annotated.
        valid: (t,) bool, the steps that count: annotated, something observed, not counted by another window.
        corrupted: (t, 2) bool (audio, visual), True where corruption was injected into what was observed.
        tasks: (t, 13) float32 expression and action units, NaN where one is not annotated or the step does not count;
            (0, 0) if the clip was read without them.
    """

    labels: FloatArray
    valid: BoolArray
    corrupted: BoolArray
    tasks: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))


def cut_sample(clip: AnnotatedClip, window: Window, spec: WindowSpec) -> Sample:
    """A window of an annotated clip, without corruption."""
    inputs = cut(clip.embedding, window.start, spec)
    labels = padded(clip.labels[window.start : window.start + spec.length], spec.length)
    annotated = np.isfinite(labels[:, [TARGETS.index(target) for target in spec.targets]]).all(axis=1)
    fresh = np.arange(window.start, window.start + spec.length) >= window.fresh
    counts = inputs.present.any(axis=1) & fresh  # nothing is present in the padding
    steps = slice(window.start, window.start + spec.length)
    known = np.empty((0, 0), np.float32) if clip.tasks is None else padded(clip.tasks[steps], spec.length)
    return Sample(
        **vars(inputs),
        labels=labels,
        valid=annotated & counts,
        corrupted=np.zeros((spec.length, len(MODALITIES)), dtype=np.bool_),
        tasks=known if clip.tasks is None else np.where(counts[:, None], known, np.float32(np.nan)),
    )


def cut(clip: ClipEmbedding, start: int, spec: WindowSpec) -> ModelInput:
    """The window of a clip that begins at a step; its rows are copied once, from the mapped file into the window."""
    steps, normalisation = slice(start, start + spec.length), spec.normalisation
    present = {modality: mask[steps] for modality, mask in clip.present.items()}
    rows = {m: np.zeros((spec.length, clip.dims[m]), np.float32) for m in MODALITIES}
    for m, filled in rows.items():
        x = clip.features[m][steps]
        normalisation.apply(x, present[m], m, out=filled[: len(x)])
    return ModelInput(
        audio=rows["audio"],
        visual=rows["visual"],
        present=padded(np.stack([present[m] for m in MODALITIES], axis=1), spec.length),
        padding=np.arange(spec.length) < len(present["audio"]),
        quality=padded(normalisation.apply_cues(read_cues(clip, spec.cues, steps)), spec.length),
        readings=np.zeros((spec.length, len(MODALITIES), len(TARGETS)), np.float32),
    )


def padded(array: Array, length: int) -> Array:
    """(t, ...) -> (length, ...), zeros at the end."""
    filled: Array = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    filled[: len(array)] = array
    return filled


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
    return batch["audio"], batch["visual"], audio_present, visual_present, batch["padding"], quality, batch["readings"]


# --- normalisation ---


def _no_cues() -> FloatArray:
    return np.empty(0, dtype=np.float32)


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each feature and cue over the observed steps of the train partition.

    Attributes:
        audio_mean, audio_std: (D_a,) float32; a constant feature has a deviation of 1.
        visual_mean, visual_std: (D_v,) float32.
        quality_mean, quality_std: (q,) float32, of the cues that the model reads, in its order; a deviation is at
            least `least_deviations`.
    """

    audio_mean: FloatArray
    audio_std: FloatArray
    visual_mean: FloatArray
    visual_std: FloatArray
    quality_mean: FloatArray = field(default_factory=_no_cues)
    quality_std: FloatArray = field(default_factory=_no_cues)

    @classmethod
    def fit(cls, clips: Mapping[str, ClipEmbedding], cues: Sequence[str] = ()) -> Normalisation:
        """Statistics over the observed steps of all clips.

        Args:
            clips: of the train partition.
            cues: names of the quality cues that the model reads. A value that is not finite counts as unknown.

        Raises:
            InputError: an observed step has an embedding that is not finite; the message names the clip.
        """
        quality = [_Moments() for _ in cues]
        rows = {modality: _Moments() for modality in MODALITIES}
        for name, clip in clips.items():  # one pass, in which each file is read once
            for cue, moments in zip(cues, quality, strict=True):
                values = read_cues(clip, [cue])
                moments.add(values[np.isfinite(values)].astype(np.float64)[:, None])
            for modality, moments in rows.items():
                moments.add(_observed_rows(name, clip, modality))
        of_cues = np.array([moments.settled() for moments in quality], np.float32).reshape(len(cues), 2)
        of_cues[:, 1] = np.maximum(of_cues[:, 1], least_deviations(cues))
        return cls(*rows["audio"].settled(), *rows["visual"].settled(), *of_cues.T.copy())

    def apply(self, x: FloatArray, present: BoolArray, modality: Modality, out: FloatArray | None = None) -> FloatArray:
        """(t, D) normalised, into `out` if given; zero, the mean, where the modality is not present (t,)."""
        mean, std = getattr(self, f"{modality}_mean"), getattr(self, f"{modality}_std")
        normalised: FloatArray = np.subtract(x, mean, out=out, dtype=np.float32)
        normalised /= std
        normalised[~present] = 0.0
        return normalised

    def apply_cues(self, cues: FloatArray) -> FloatArray:
        """(t, q) normalised; zero, the mean, where a cue is unknown (NaN)."""
        normalised: FloatArray = np.nan_to_num((cues - self.quality_mean) / self.quality_std, nan=0.0)
        return normalised


def _observed_rows(name: str, clip: ClipEmbedding, modality: Modality) -> NDArray[np.float64]:
    """The observed rows of a clip, (n, D)."""
    rows = clip.features[modality][clip.present[modality]].astype(np.float64)
    if not np.isfinite(rows).all():
        raise InputError(
            f"clip {name}: the {modality} embedding has NaN or infinity where the modality was observed",
            remedy="run the embedding pipeline again, or mark those steps as not observed",
        )
    return rows


class _Moments:
    """Mean and deviation in one pass: counts, means and squared deviations are merged (Chan et al., 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.square = 0, np.zeros(1), np.zeros(1)

    def add(self, rows: NDArray[np.float64]) -> None:
        """Add the rows (n, k) of a clip, which are overwritten: at this size a copy counts."""
        n = len(rows)
        centre = rows.mean(axis=0) if n else np.zeros(rows.shape[1])
        delta, total = centre - self.mean, max(self.count + n, 1)
        rows -= centre
        np.square(rows, out=rows)
        self.square = self.square + rows.sum(axis=0) + delta**2 * (self.count * n / total)
        self.mean, self.count = self.mean + delta * (n / total), self.count + n

    def settled(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation (k,); a constant has a deviation of 1."""
        deviation = np.sqrt(self.square / max(self.count, 1))
        return self.mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)


# --- quality cues ---


def shared_cues(clips: Mapping[str, ClipEmbedding]) -> tuple[str, ...]:
    """The cues that every clip has, in the order of the first clip."""
    named = [clip.quality_names for clip in clips.values()]
    return tuple(cue for cue in (named[0] if named else ()) if all(cue in names for names in named))


def read_cues(clip: ClipEmbedding, cues: Sequence[str], steps: slice = slice(None)) -> FloatArray:
    """The named cues at some steps of a clip, (t, q); NaN where unknown: no such cue, or its modality is absent."""
    known = where_known(cues, {modality: mask[steps] for modality, mask in clip.present.items()})
    values = np.full(known.shape, np.nan, dtype=np.float32)
    for i, cue in enumerate(cues):
        if cue in clip.quality_names:
            values[:, i] = clip.quality[steps, clip.quality_names.index(cue)]
    return np.where(known & np.isfinite(values), values, np.float32(np.nan))


def where_known(cues: Sequence[str], present: Mapping[Modality, BoolArray]) -> BoolArray:
    """Presence (t,) by modality -> (t, q): a cue is known where what it describes is present."""
    both = present["audio"] & present["visual"]
    known = np.empty((len(both), len(cues)), dtype=np.bool_)
    for i, modality in enumerate(modalities_of(cues)):
        known[:, i] = both if modality == BOTH else present[modality]
    return known


def modalities_of(cues: Sequence[str]) -> tuple[Modality | Literal["both"], ...]:
    """What each cue describes: audio, visual, or both, which is also assumed for an unknown name."""
    return tuple(OF.get(cue, BOTH) for cue in cues)


def least_deviations(cues: Sequence[str]) -> FloatArray:
    """(q,) the smallest standard deviation of each cue that normalisation divides by; 0 for an unknown name."""
    return np.array([TABLE[cue].least_deviation if cue in TABLE else 0.0 for cue in cues], dtype=np.float32)


# --- random generators: one per purpose, epoch and item, so that no draw depends on how many were made before ---


class Stream(IntEnum):
    """What a generator is for."""

    WEIGHTS = 0
    ORDER = 1
    CORRUPTION = 2
    VALIDATION = 3
    DROPOUT = 4


def generator(seed: int, stream: Stream, epoch: int = 0, item: int = 0) -> np.random.Generator:
    """The generator of one item of one epoch."""
    return np.random.default_rng((seed, int(stream), epoch, item))


def torch_seed(seed: int, stream: Stream, epoch: int = 0) -> int:
    """A 63-bit seed for torch, from the same scheme."""
    return int(generator(seed, stream, epoch).integers(2**63 - 1))
