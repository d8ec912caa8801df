"""Scaled dot-product attention with key biases, and the transformer encoder layer made of it.

Letters: b batch, t steps, d width, h heads.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.dropout import ChannelDropout
from iaca.fusion.masks import Masks


def attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, heads: int = 1, scale: float | None = None
) -> Tensor:
    """softmax(query key^T * scale + bias) value, per head.

    Args:
        query, key, value: (b, t, d).
        bias: (b, 1, 1, t) from `Masks.key_bias`.
        heads: h, a divisor of d.
        scale: of the scores; None is 1 / sqrt(d / h).

    Returns:
        (b, t, d).
    """
    b, t, d = query.shape
    query, key, value = (x.view(b, t, heads, d // heads).transpose(1, 2) for x in (query, key, value))  # (b, h, t, d/h)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype), scale=scale)
    return mixed.transpose(1, 2).flatten(2)  # (b, t, d)


class EncoderLayer(nn.Module):
    """Pre-norm transformer encoder layer: the self-attended features [paper: that they exist; form ours].

    s = x + W_o attend(LN x);  s <- s + FFN(LN s). No positions: the temporal encoder has put them into the features.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.dropout = ChannelDropout(dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d), looking only at keys with `presence` (b, t) where there are any."""
        query, key, value = self.to_qkv(self.norm_attention(x)).chunk(3, dim=-1)  # 3 of (b, t, d)
        attended = attend(query, key, value, masks.key_bias(presence), self.heads)  # (b, t, d)
        x = x + self.dropout(self.out(attended))
        out: Tensor = x + self.dropout(self.feedforward(self.norm_feedforward(x)))
        return out
