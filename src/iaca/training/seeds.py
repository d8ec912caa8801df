"""One random generator per purpose, epoch and item: no draw depends on how many others were made before it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


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
    """A 63-bit seed for torch, of the same scheme."""
    return int(generator(seed, stream, epoch).integers(2**63 - 1))
