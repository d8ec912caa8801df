"""What everything here is drawn from: seeded generators, and smooth noise."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float64]


class Stream(IntEnum):
    """Independent sources: what is drawn from one never moves another."""

    WORLD = 0
    SUBJECT = 1
    CLIP = 2
    EVENTS = 3


def generator(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """The generator of one thing: a subject, a clip, the events of a clip."""
    return np.random.default_rng([seed, stream, index])


def smooth(rng: np.random.Generator, steps: int, correlation: float, columns: int) -> Array:
    """(steps, columns) stationary Gaussian noise of variance 1, its autocorrelation 1/e after `correlation` steps.

    White noise through a Gaussian filter of deviation s has the autocorrelation exp(-t^2 / 4 s^2).
    """
    sigma = correlation / 2
    margin = int(4 * sigma) + 1
    impulse = np.zeros(2 * margin + 1)
    impulse[margin] = 1.0
    gain = np.linalg.norm(gaussian_filter1d(impulse, sigma))
    white = rng.standard_normal((steps + 2 * margin, columns))
    filtered: Array = gaussian_filter1d(white, sigma, axis=0)[margin:-margin] / gain
    return filtered
