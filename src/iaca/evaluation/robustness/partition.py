"""What a protocol may know besides its clip: the other clips of the partition, and its own random generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding, read_embedding

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
