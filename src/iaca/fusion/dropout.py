"""Dropout of whole channels of a sequence."""

from __future__ import annotations

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
        if not self.training or self.p == 0.0:
            return x
        kept = F.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.p)  # (b, 1, d): 0 or 1 / (1 - p)
        return x * kept  # broadcast over time

    def extra_repr(self) -> str:
        return f"p={self.p}"
