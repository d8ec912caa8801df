"""Corruption of training windows: one modality of a window goes missing, noisy, or belongs to another clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from iaca.training.config import CorruptionConfig
from iaca.training.sample import Sample


def corrupt(
    sample: Sample, elsewhere: Callable[[], Sample], config: CorruptionConfig, rng: np.random.Generator
) -> Sample:
    """Maybe corrupt one contiguous segment of one modality; labels, and the steps that count, stay as they are.

    Args:
        sample: a window of t steps; never changed itself.
        elsewhere: draws a window of another clip, for the kind `other`.
        config: shares and kinds.
        rng: the generator of this window in this epoch.
    """
    if rng.random() >= config.share:
        return sample
    modality = "audio" if rng.random() < 0.5 else "visual"
    kind = config.kinds[int(rng.integers(len(config.kinds)))]
    segment = _segment(int(sample.padding.sum()), config, rng)
    x, present = getattr(sample, modality).copy(), getattr(sample, f"{modality}_present").copy()
    if kind in {"absent", "zeros"}:
        x[segment] = 0.0  # the mean, since features are normalised
    if kind == "absent":
        present[segment] = False
    if kind == "noise":
        scale = np.float32(rng.uniform(*config.noise))
        noise = scale * rng.standard_normal(x[segment].shape, dtype=np.float32)
        x[segment] += np.where(present[segment, None], noise, np.float32(0.0))
    if kind == "other":
        other = elsewhere()
        x[segment] = getattr(other, modality)[segment]
        present[segment] = getattr(other, f"{modality}_present")[segment]
    changes = {modality: x, f"{modality}_present": present}
    return replace(sample, **changes)


def _segment(steps: int, config: CorruptionConfig, rng: np.random.Generator) -> slice:
    """A stretch of the real steps of a window."""
    if rng.random() < config.whole:
        return slice(0, steps)
    length = min(steps, max(1, round(rng.uniform(config.shortest, config.longest) * steps)))
    start = int(rng.integers(steps - length + 1))
    return slice(start, start + length)
