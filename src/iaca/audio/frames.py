"""Short overlapping frames of a sound, a block of them at a time, without a copy of the whole."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F


def frame_blocks(samples: Tensor, length: int, hop: int, before: int, count: int, block: int) -> Iterator[Tensor]:
    """Frames (up to `block`, `length`) of samples (n,), `count` in all.

    Frame i begins at sample i * hop - before; beyond the sound there are zeros.
    """
    for start in range(0, count, block):
        some = min(block, count - start)
        first = start * hop - before
        span = (some - 1) * hop + length
        part = F.pad(samples[max(first, 0) : max(first + span, 0)], (max(-first, 0), 0))
        yield F.pad(part, (0, span - len(part))).unfold(0, length, hop)  # a view: frames overlap without being copied
