"""Corruption of training windows: one modality of a window is missing, noisy, or of another clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from iaca.modalities import MODALITIES, Modality
from iaca.training.config import CorruptionConfig, CorruptionKind
from iaca.training.noise import draw_reach, lasting_noise
from iaca.training.sample import Sample

if TYPE_CHECKING:
    from iaca.training.cue_simulation import CueSimulation


@dataclass(frozen=True)
class Corruption:
    """What was drawn for a window.

    Attributes:
        modality, kind, segment: what happens to which steps.
        scale, reach: of `noise`, in standard deviations of each feature, and in steps.
        other: of `other`, the window of another clip.
    """

    modality: Modality
    kind: CorruptionKind
    segment: slice
    scale: float = 0.0
    reach: float = 1.0
    other: Sample | None = None


def corrupt(
    sample: Sample,
    draw_other: Callable[[], Sample],
    config: CorruptionConfig,
    rng: np.random.Generator,
    cues: CueSimulation | None = None,
) -> Sample:
    """Maybe corrupt one contiguous segment of one modality; labels, and the steps that count, stay as they are.

    What happens to the embeddings is the same whether or not a model reads cues: theirs is the last draw.

    Args:
        sample: a window of t steps; never changed itself.
        draw_other: draws a window of another clip, for the kind `other` and for cues of both modalities.
        config: shares and kinds.
        rng: the generator of this window in this epoch.
        cues: what corruption does to the quality cues that the model reads.
    """
    if rng.random() >= config.share:
        return sample
    modality = MODALITIES[0 if rng.random() < 0.5 else 1]
    kind = config.kinds[int(rng.integers(len(config.kinds)))]
    segment = _segment(int(sample.padding.sum()), config, rng)
    corruption = Corruption(modality, kind, segment)
    if kind == "noise":
        corruption = replace(corruption, scale=rng.uniform(*config.noise), reach=draw_reach(rng, config.noise_reach))
    elif kind == "other":
        corruption = replace(corruption, other=draw_other())
    changed = _corrupt_features(sample, corruption, rng)
    return changed if cues is None else cues.follow(changed, corruption, draw_other, rng)


def _corrupt_features(sample: Sample, corruption: Corruption, rng: np.random.Generator) -> Sample:
    """The window with corrupted embeddings; `corrupted` says where something that was observed has changed."""
    modality, segment, column = corruption.modality, corruption.segment, MODALITIES.index(corruption.modality)
    x, presence, corrupted = getattr(sample, modality).copy(), sample.present.copy(), sample.corrupted.copy()
    present = presence[:, column]  # a view
    observed = present.copy()
    if corruption.kind in {"absent", "zeros"}:
        x[segment] = 0.0  # the mean, since features are normalised
    if corruption.kind == "absent":
        present[segment] = False
    if corruption.kind == "noise":
        noise = np.float32(corruption.scale) * lasting_noise(rng, x[segment].shape, corruption.reach)
        x[segment] += np.where(present[segment, None], noise, np.float32(0.0))
    if corruption.other is not None:
        x[segment] = getattr(corruption.other, modality)[segment]
        observed[segment] = present[segment] = corruption.other.present[segment, column]
    corrupted[segment, column] = observed[segment]
    changes = {modality: x, "present": presence, "corrupted": corrupted}
    return replace(sample, **changes)


def _segment(steps: int, config: CorruptionConfig, rng: np.random.Generator) -> slice:
    """A stretch of the real steps of a window."""
    if rng.random() < config.whole:
        return slice(0, steps)
    length = min(steps, max(1, round(rng.uniform(config.shortest, config.longest) * steps)))
    start = int(rng.integers(steps - length + 1))
    return slice(start, start + length)
