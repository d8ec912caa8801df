"""One modality up to the point where the two meet: projection, absent token, temporal encoding, normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.config import FusionConfig
from iaca.fusion.masks import Masks
from iaca.fusion.products import add_product
from iaca.fusion.registry import TEMPORAL
from iaca.parameters import Modality


class Stream(nn.Module):
    """h_m = LN(temporal(p_m Linear(x_m) + (1 - p_m) token_m)) [paper: projection, TCN; token and LayerNorm: ours].

    In two halves, `embed` and `forward`, since `iaca_plus` judges between them how far the modality can be trusted, and
    fills what is missing. What stands in the input where the modality was not observed has no influence at all,
    NaN included, neither on the output nor on any gradient.
    """

    def __init__(self, config: FusionConfig, modality: Modality):
        super().__init__()
        self.modality, self.normalisation, self.input_norm = modality, config.normalisation, config.input_norm
        self.soft = config.learns_reliability and not config.repair
        self.project = nn.Linear(config.dims[modality], config.width)
        self.absent = nn.Parameter(torch.randn(config.width) * config.width**-0.5)
        self.temporal = TEMPORAL[config.temporal].build(config)
        self.norm = nn.LayerNorm(config.width) if config.normalisation == "layer" else nn.Identity()

    def embed(self, x: Tensor, masks: Masks) -> Tensor:
        """(b, t, D_m) -> (b, t, d): projected, and the token where the modality was not observed."""
        present = masks.of(self.modality)[..., None]  # (b, t, 1), 0 or 1
        x = x.masked_fill(present == 0, 0.0)  # emptied first: 0 * NaN would reach the weights' gradient
        x = F.normalize(x, dim=-1) if self.input_norm == "l2" else x
        choice = torch.cat([present, 1.0 - present], dim=-1)  # (b, t, 2)
        offset = choice @ torch.stack([self.project.bias, self.absent])  # (b, t, d): the bias, or the token
        return add_product(offset, x, self.project.weight)

    def forward(self, x: Tensor, masks: Masks) -> Tensor:
        """What `embed` gave (b, t, d) -> (b, t, d)."""
        presence = masks.of(self.modality)  # (b, t)
        if self.soft:  # a doubted step gives way to the token before its neighbours hear of it
            x = self.absent + presence[..., None] * (x - self.absent)
        x = self.norm(self.temporal(x, presence, masks))
        return F.normalize(x, dim=-1) if self.normalisation == "l2" else x
