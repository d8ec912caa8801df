"""Sums over a clip's own clock: whatever the frame rate, and whatever is missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def durations(times: Array, longest: float) -> Array:
    """How many s each of t steps stands for: half the way to its neighbours, at most `longest` s.

    A single step stands for `longest`; times that do not rise stand for nothing.
    """
    if len(times) < 2:
        return np.full(len(times), longest)
    gaps = np.clip(np.diff(times), 0, longest)
    return np.concatenate([gaps[:1], gaps]) / 2 + np.concatenate([gaps, gaps[-1:]]) / 2


def two_sided(values: Array, times: Array, constant: float) -> Array:
    """Sum over all steps of values times exp(-|distance in s| / constant): (t, k) -> (t, k).

    Time and memory grow with t: one pass forwards and one backwards, each carrying a decaying sum. What lies several
    constants away, as beyond a gap, counts for nothing.
    """
    decay = np.exp(-np.abs(np.diff(times)) / constant)
    total = np.array(values, np.float64)
    return total + _before(total, decay) + _before(total[::-1], decay[::-1])[::-1]


def _before(values: Array, decay: Array) -> Array:
    """Decayed sum of everything before each step, which itself is left out."""
    sums = np.zeros_like(values)
    for i in range(1, len(values)):
        sums[i] = (sums[i - 1] + values[i - 1]) * decay[i - 1]
    return sums
