"""Filters over time for the quality cues: averages, windows, and a recursive filter over sound in pieces.

Inference does not install SciPy (145 MB). Averages and windows are those of `scipy.ndimage` bit for bit; the recursive
filter runs in torchaudio and is that of `scipy.signal.sosfilt` within 1e-12 (`tests/encoders/test_cue_filters.py`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def smoothed(x: Array, sigma: float, beyond: Literal["edge", "symmetric"] = "symmetric") -> Array:
    """Gaussian average (n,) of deviation `sigma` steps, cut off at 4 of them.

    Args:
        x: (n,).
        sigma: in steps.
        beyond: what is assumed beyond either end: its last value, or the mirror image.
    """
    n, reach = len(x), int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(x, reach, mode=beyond)
    result = padded[reach : reach + n] * kernel[reach]
    for i in range(reach):
        result += (padded[i : i + n] + padded[2 * reach - i :][:n]) * kernel[i]
    return np.asarray(result)


def running_mean(x: Array, size: int) -> Array:
    """Means (k, n) over `size` steps around each, of rows (k, n) with zeros beyond."""
    padded = np.pad(x, ((0, 0), _around(size)))
    first = padded[:, :size].cumsum(axis=1)[:, -1:]
    sums = np.concatenate([first, padded[:, size:] - padded[:, :-size]], axis=1).cumsum(axis=1)
    return np.asarray(sums / size)


def windows(x: Array, size: int) -> Array:
    """The values (n, size) around each step of (n,), with the last one beyond either end."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(x, _around(size), mode="edge"), size)


def _around(size: int) -> tuple[int, int]:
    """How many steps of a window are before and after its own."""
    return size // 2, size - size // 2 - 1


def filtered(sections: Array, x: Array, state: Array) -> tuple[Array, Array]:
    """A recursive filter over sound that arrives in pieces.

    Args:
        sections: (k, 6) of second order, each b0 b1 b2 1 a1 a2.
        x: (n,).
        state: (k, 2, 2), the last two values that went into each section, and the last two that came out; zeros at
            the start.

    Returns:
        The filtered piece (n,), and the state after it.
    """
    import torch  # planning a run measures no cues
    from torchaudio.functional import lfilter

    states = []
    for section, (before, after) in zip(sections, state, strict=True):
        fed = np.concatenate([before, x])
        driven = np.convolve(fed, section[:3], "valid")
        echo = np.array([section[4] * after[1] + section[5] * after[0], section[5] * after[1]])  # of what came out
        driven[:2] -= echo[: len(driven)]
        poles, one = torch.from_numpy(section[3:].copy()), torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
        x = lfilter(torch.from_numpy(driven), poles, one, clamp=False).numpy()
        states.append([fed[-2:], np.concatenate([after, x])[-2:]])
    return x, np.array(states)
