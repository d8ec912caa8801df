"""Contiguous segments that cover a share of a clip, and grow with it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.intp]
JITTER = 0.25  # of a block's length, for each of its two ends: blocks are 0.5 to 1.5 times their mean length


def block_count(time_s: NDArray[np.float64], block_s: float) -> int:
    """Blocks of about `block_s` seconds in a clip with these step times (t,), at least one and at most t."""
    steps = len(time_s)
    seconds = float(time_s[-1] - time_s[0]) * steps / max(steps - 1, 1)
    return int(np.clip(round(seconds / block_s), 1, steps))


def segments(steps: int, blocks: int, share: float, rng: np.random.Generator) -> list[Steps]:
    """One segment at the beginning of each block; together they cover the share, to half a step a block.

    The blocks have lengths drawn by `rng`, and so is the step at which the first begins: the last one goes on at the
    clip's start. With the same draws a larger share holds every step of a smaller one.

    Args:
        steps: of the clip, t >= 1.
        blocks: how many.
        share: of the clip, in [0, 1].
        rng: throws the same number of dice whatever the share.

    Returns:
        Per block the indices of its segment's steps, in order of time but for the turn at the clip's end.
    """
    bounds = np.arange(blocks + 1, dtype=np.float64)
    bounds[1:-1] += rng.uniform(-JITTER, JITTER, blocks - 1)
    edges = np.rint(bounds * steps / blocks).astype(np.intp)
    turn = int(rng.integers(steps))
    return [(turn + np.arange(a, a + nearest(share * (b - a)))) % steps for a, b in pairwise(edges.tolist())]


def nearest(count: float) -> int:
    """The nearest whole number, halves up: Python rounds halves to even, by which a larger share could get less."""
    return int(count + 0.5)
