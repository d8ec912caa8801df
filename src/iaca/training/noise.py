"""Noise that lasts: what embeddings of a noisy stretch of sound or picture really look like."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter


def lasting_noise(rng: np.random.Generator, shape: tuple[int, int], reach: float) -> NDArray[np.float32]:
    """Gaussian noise (t, D) of unit variance whose autocorrelation falls to 1/e within `reach` steps.

    Encoders look at overlapping stretches, and music or a second talker go on for a while: what they add to one step
    they add to its neighbours. White noise is averaged away by anything that smooths over time, and tests nobody.
    """
    keeps = math.exp(-1.0 / reach)  # AR(1)
    fresh = rng.standard_normal(shape, dtype=np.float32)
    fresh[1:] *= np.float32(math.sqrt(1.0 - keeps**2))
    noise: NDArray[np.float32] = lfilter(np.ones(1, np.float32), np.array([1.0, -keeps], np.float32), fresh, axis=0)
    return noise


def draw_reach(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Steps, evenly on a logarithmic scale between two bounds."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))
