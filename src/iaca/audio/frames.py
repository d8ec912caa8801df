"""A sound that need not lie in memory, and its short overlapping frames, a block of them at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from iaca.media import Samples


class Sound(Protocol):
    """Samples (n,) of one precision: their number, and any stretch of them as a tensor. A tensor is one of these."""

    @property
    def dtype(self) -> torch.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class Stretches:
    """Samples (n,) float32, in memory or on disk, whose stretches come as tensors."""

    samples: Samples
    dtype: torch.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice, /) -> Tensor:
        return torch.from_numpy(np.require(self.samples[part], np.float32, "W"))


@dataclass(frozen=True)
class Padded:
    """A sound with `before` zeros in front of it and `after` behind it, without a copy."""

    sound: Sound
    before: int
    after: int

    @property
    def dtype(self) -> torch.dtype:
        """The sound's."""
        return self.sound.dtype

    def __len__(self) -> int:
        return self.before + len(self.sound) + self.after

    def __getitem__(self, part: slice, /) -> Tensor:
        start, stop, _ = part.indices(len(self))
        return stretch(self.sound, start - self.before, stop - self.before)


def stretch(sound: Sound, start: int, stop: int) -> Tensor:
    """Samples start to stop (stop - start,), zeros where that lies beyond the sound."""
    first, last = (min(max(edge, 0), len(sound)) for edge in (start, stop))
    part, before = sound[first:last], min(max(-start, 0), stop - start)
    return F.pad(part, (before, stop - start - before - len(part)))


def frame_blocks(sound: Sound, length: int, hop: int, before: int, count: int, block: int) -> Iterator[Tensor]:
    """Frames (up to `block`, `length`) of a sound of n samples, `count` in all.

    Frame i begins at sample i * hop - before; beyond the sound there are zeros.
    """
    for start in range(0, count, block):
        some = min(block, count - start)
        first = start * hop - before
        part = stretch(sound, first, first + (some - 1) * hop + length)
        yield part.unfold(0, length, hop)  # a view: frames overlap without being copied
