"""Cross-attention: each modality looks at the other one.

Letters: b batch, t steps, d width, m a modality, n the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iaca.fusion.config import FusionConfig
from iaca.fusion.dropout import ChannelDropout
from iaca.fusion.masks import Masks
from iaca.fusion.selfattention import attend


class CrossAttention(nn.Module):
    """`ca` [paper, sibling]: cross-attention by one correlation matrix.

    Z = X_a W X_v^T (t x t);  A_a = softmax(Z), A_v = softmax(Z^T), over the source;  X_ca,m = tanh(X_m + A_m X_n).
    Key biases of the source's presence: ours.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        # scores of about unit variance at the start, where the published initialisation has a variance of d [ours]
        self.correlation = nn.Parameter(torch.randn(config.width, config.width) / config.width)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        from_v, from_a = masks.key_bias(masks.visual)[:, 0], masks.key_bias(masks.audio)[:, 0]  # (b, 1, t)
        z = (x_a @ self.correlation) @ x_v.transpose(1, 2)  # (b, t, t), made once for both ways
        a_a, a_v = torch.softmax(z + from_v, dim=-1), torch.softmax(z.transpose(1, 2) + from_a, dim=-1)
        return torch.tanh(x_a + a_a @ x_v), torch.tanh(x_v + a_v @ x_a)


class MultiHeadCrossAttention(nn.Module):
    """`mha`: what a practitioner tries first: X_ca,m = X_m + W_o multihead(X_m W_q, X_n W_k, X_n W_v)."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.audio = _HeadsInto(config)
        self.visual = _HeadsInto(config)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        from_v, from_a = masks.key_bias(masks.visual), masks.key_bias(masks.audio)
        return self.audio(x_a, x_v, from_v), self.visual(x_v, x_a, from_a)


class _HeadsInto(nn.Module):
    """Multi-head attention of one modality to the other, with a residual."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        d, self.heads = config.width, config.heads
        self.to_query = nn.Linear(d, d)
        self.to_key_value = nn.Linear(d, 2 * d, bias=False)
        self.out = nn.Linear(d, d)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, other: Tensor, bias: Tensor) -> Tensor:
        key, value = self.to_key_value(other).chunk(2, dim=-1)  # (b, t, d) twice
        attended = attend(self.to_query(x), key, value, bias, self.heads)  # (b, t, d)
        return self.dropout.residual(x, self.out(attended))
