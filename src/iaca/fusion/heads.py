"""From fused features to valence and arousal.

Letters: b batch, t steps, d width, f width of the fused features (d per modality).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iaca.fusion.config import FusionConfig
from iaca.fusion.dropout import ChannelDropout
from iaca.fusion.masks import Masks
from iaca.fusion.temporal import BidirectionalLSTM


class Head(nn.Module):
    """y = tanh(regressor(context(f))).

    `joint`: one hidden layer for both dimensions [paper]. `separate`: a regressor of its own for each [sibling: DCA].
    `context`: a BiLSTM over the fused features before that [sibling: DCA].
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        fused = len(config.modalities) * config.width
        wide = config.model_copy(update={"width": fused, "temporal_layers": 1})
        self.context = BidirectionalLSTM(wide) if config.context == "lstm" else None
        if config.head == "joint":
            regressors = [_regressor(fused, config.width, 2, config.dropout)]
        else:  # published: a quarter of d = 512
            regressors = [_regressor(fused, max(config.width // 4, 1), 1, config.dropout) for _ in range(2)]
        self.regressors = nn.ModuleList(regressors)

    def forward(self, fused: Tensor, masks: Masks) -> Tensor:
        """(b, t, f) -> (b, t, 2) valence, arousal in (-1, 1)."""
        x = fused if self.context is None else self.context(fused, masks.either, masks)
        return torch.tanh(torch.cat([regressor(x) for regressor in self.regressors], dim=-1))


def _regressor(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), ChannelDropout(dropout), nn.Linear(hidden, outputs))
