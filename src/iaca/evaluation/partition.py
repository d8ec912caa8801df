"""What a corruption works with: the clips of a partition, and reproducible random segments of a clip."""

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
Mask = NDArray[np.bool_]
CLIPS_IN_MEMORY = 16
JITTER = 0.25  # of a block's length, at each of its two ends: blocks are 0.5 to 1.5 times their mean length


@dataclass(frozen=True)
class Partition:
    """The clips that are corrupted together.

    Attributes:
        steps: clip -> its number of steps, sorted by name.
        read: returns a clip by its name.
        scale: modality -> (D,) standard deviation of each of its features.
        corrupted_files: (protocol, level, clip) -> embedding of the clip with corrupted sound or faces.
    """

    steps: Mapping[str, int]
    read: Callable[[str], ClipEmbedding]
    scale: Mapping[str, NDArray[np.float32]]
    corrupted_files: Mapping[tuple[str, float, str], Path] = field(default_factory=dict)

    @classmethod
    def of(cls, clips: Mapping[str, ClipEmbedding], scale: Mapping[str, NDArray[np.float32]]) -> Partition:
        """A partition in memory."""
        return cls({name: len(clips[name]) for name in sorted(clips)}, clips.__getitem__, scale)

    @classmethod
    def of_files(
        cls,
        paths: Sequence[Path],
        scale: Mapping[str, NDArray[np.float32]],
        corrupted_files: Mapping[tuple[str, float, str], Path] = MappingProxyType({}),
    ) -> Partition:
        """A partition on disk, of which only a few clips are in memory at a time. Clips are named by file stems."""
        files = {path.stem: path for path in paths}
        read = lru_cache(CLIPS_IN_MEMORY)(lambda name: read_embedding(files[name]))
        return cls({name: len(read(name)) for name in sorted(files)}, read, scale, corrupted_files)


@dataclass(frozen=True)
class Corrupted:
    """A clip of t steps after a protocol.

    Attributes:
        clip: with the times of the clean clip.
        truth: (t, 2) bool, where audio and where visual was corrupted. Steps at which the modality had not been
            observed in the first place count as well, so the mean over a partition is the requested share.
    """

    clip: ClipEmbedding
    truth: Mask


Protocol = Callable[[str, str, ClipEmbedding, float, Partition, RobustnessConfig], Corrupted]
"""(protocol, name of the clip, clip, level, partition, config) -> the corrupted clip."""


def clip_generator(seed: int, protocol: str, clip: str) -> np.random.Generator:
    """The random generator of one clip under one protocol.

    All levels share the same random draws, so a higher level extends a lower one.
    """
    return np.random.default_rng(np.frombuffer(_digest(seed, protocol, clip), np.uint32))


def drawn_order(seed: int, protocol: str, clips: Mapping[str, int]) -> list[str]:
    """The clips in a random order that depends on seed and protocol only."""
    return sorted(clips, key=lambda clip: _digest(seed, protocol, clip))


def _digest(seed: int, protocol: str, clip: str) -> bytes:
    return hashlib.sha256(f"{seed}/{protocol}/{clip}".encode()).digest()


def block_count(time_s: NDArray[np.float64], block_s: float) -> int:
    """Number of blocks of about `block_s` seconds in a clip with step times (t,), from 1 to t."""
    steps = len(time_s)
    seconds = float(time_s[-1] - time_s[0]) * steps / max(steps - 1, 1)
    return int(np.clip(round(seconds / block_s), 1, steps))


def segments(steps: int, blocks: int, share: float, rng: np.random.Generator) -> list[Steps]:
    """One segment at the start of each block; together they cover the share, to within half a step per block.

    Block lengths and the step at which the first block starts are random; the last block wraps around the clip's end.
    With the same draws, the segments of a larger share contain those of a smaller one.

    Args:
        steps: of the clip, t >= 1.
        blocks: number of blocks.
        share: of the clip, in [0, 1].
        rng: makes the same number of draws for every share.

    Returns:
        Step indices of the segment of each block, ascending except where the segment wraps around.
    """
    bounds = np.arange(blocks + 1, dtype=np.float64)
    bounds[1:-1] += rng.uniform(-JITTER, JITTER, blocks - 1)
    edges = np.rint(bounds * steps / blocks).astype(np.intp)
    start = int(rng.integers(steps))
    return [(start + np.arange(a, a + rounded(share * (b - a)))) % steps for a, b in pairwise(edges.tolist())]


def rounded(count: float) -> int:
    """Nearest integer, halves up. Python rounds halves to even, so a larger share could get fewer steps."""
    return int(count + 0.5)
