"""Contiguous segments that cover a share of a clip, and grow with it.

What a protocol may know besides its clip: the other clips of the partition, and its own random generator.

What every protocol gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding, read_embedding
from iaca.evaluation.config import RobustnessConfig

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


CLIPS_IN_MEMORY = 16


@dataclass(frozen=True)
class Partition:
    """The clips that are corrupted together.

    Attributes:
        steps: clip -> its number of steps, sorted by name.
        read: gives a clip by its name.
        scale: modality -> (D,) the standard deviation of each of its features.
        spoilt: (protocol, level, clip) -> the clip embedded anew after its sound or its faces were corrupted.
    """

    steps: Mapping[str, int]
    read: Callable[[str], ClipEmbedding]
    scale: Mapping[str, NDArray[np.float32]]
    spoilt: Mapping[tuple[str, float, str], Path] = field(default_factory=dict)

    @classmethod
    def of(cls, clips: Mapping[str, ClipEmbedding], scale: Mapping[str, NDArray[np.float32]]) -> Partition:
        """A partition that is in memory."""
        return cls({name: len(clips[name]) for name in sorted(clips)}, clips.__getitem__, scale)

    @classmethod
    def of_files(
        cls,
        paths: Sequence[Path],
        scale: Mapping[str, NDArray[np.float32]],
        spoilt: Mapping[tuple[str, float, str], Path] = MappingProxyType({}),
    ) -> Partition:
        """A partition on disk, named by the stems of its files: only a few clips are in memory at a time."""
        files = {path.stem: path for path in paths}
        read = lru_cache(CLIPS_IN_MEMORY)(lambda name: read_embedding(files[name]))
        return cls({name: len(read(name)) for name in sorted(files)}, read, scale, spoilt)


def clip_generator(seed: int, protocol: str, clip: str) -> np.random.Generator:
    """The random generator of one clip under one protocol.

    All levels share the same random draws, so a higher level extends a lower one.
    """
    return np.random.default_rng(np.frombuffer(_digest(seed, protocol, clip), np.uint32))


def drawn_order(seed: int, protocol: str, clips: Mapping[str, int]) -> list[str]:
    """The clips in an order drawn for this protocol."""
    return sorted(clips, key=lambda clip: _digest(seed, protocol, clip))


def _digest(seed: int, protocol: str, clip: str) -> bytes:
    return hashlib.sha256(f"{seed}/{protocol}/{clip}".encode()).digest()


Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Corrupted:
    """A clip of t steps after a protocol.

    Attributes:
        clip: its times are those of the clean clip.
        truth: (t, 2) bool, where audio and where visual was corrupted. It holds steps at which that modality had not
            been observed anyway, so that its mean over a partition is the share that was asked for.
    """

    clip: ClipEmbedding
    truth: Mask


Protocol = Callable[[str, str, ClipEmbedding, float, Partition, RobustnessConfig], Corrupted]
"""(protocol, name of the clip, clip, level, partition, config) -> the corrupted clip."""
