"""Dropout: of whole channels of a sequence, and of single elements.

Letters: b batch, t steps, d width, p probability of dropping.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelDropout(nn.Module):
    """Drops channels for a whole sequence at a time (variational dropout; Gal and Ghahramani, 2016) [ours].

    Noise that changes from step to step is averaged away by whatever smooths over time, and costs t times the draws.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        return x * self._kept(x) if self.training and self.p > 0.0 else x

    def residual(self, x: Tensor, update: Tensor) -> Tensor:
        """x + dropout(update), both (b, t, d), in one pass."""
        if not self.training or self.p == 0.0:
            return x + update
        return torch.addcmul(x, update.to(x.dtype), self._kept(x))

    def _kept(self, like: Tensor) -> Tensor:
        """(b, 1, d): 0 or 1 / (1 - p), broadcast over time."""
        return F.dropout(like.new_ones(like.shape[0], 1, like.shape[2]), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class ElementDropout(nn.Module):
    """Drops single elements, each by itself [sibling], and leaves the factor `gain` to a product nearby.

    Drawing is most of the time of `torch.nn.Dropout` on a processor. Here a random word of 64 bits decides about four
    elements, by 16 bits each, so that p is met to 2^-17.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    @property
    def gain(self) -> float:
        """By how much what stays is to be multiplied: 1 / (1 - p) in training."""
        return 1.0 / (1.0 - self.p) if self.training else 1.0

    def drop_(self, x: Tensor) -> Tensor:
        """x, any shape, with what is dropped overwritten by 0."""
        return x.mul_(self._kept(x)) if self.training and self.p > 0.0 else x

    def add_dropped(self, x: Tensor, update: Tensor) -> Tensor:
        """x + update, of one shape, without what is dropped of the update."""
        if not self.training or self.p == 0.0:
            return x + update
        return torch.addcmul(x, update.to(x.dtype), self._kept(x))

    def _kept(self, like: Tensor) -> Tensor:
        """1 where an element stays and 0 where it is dropped, in the shape of `like`."""
        words = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
        drawn = words.view(torch.int16)[: like.numel()].view(like.shape)  # uniform over -2^15 ... 2^15 - 1
        return torch.ge(drawn, round(self.p * 2**16) - 2**15, out=torch.empty_like(like))  # not by way of bool

    def extra_repr(self) -> str:
        return f"p={self.p}"
