"""Scaled dot-product attention with key biases, and the transformer encoder layer made of it.

Letters: b batch, t steps, d width, h heads.
"""

from __future__ import annotations

import math

import torch
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
        bias: (b, 1 or h, 1 or t, t) from `Masks.key_bias`, plus `Locality` where there is one.
        heads: h, a divisor of d.
        scale: of the scores; None is 1 / sqrt(d / h).

    Returns:
        (b, t, d).
    """
    b, t, d = query.shape
    scale = (d // heads) ** -0.5 if scale is None else scale
    query, key, value = (x.view(b, t, heads, d // heads).transpose(1, 2) for x in (query, key, value))  # (b, h, t, d/h)
    bias = bias.to(query.dtype)
    if torch.is_grad_enabled() and (heads == 1 or bias.requires_grad):  # there the fused kernel's gradient is slower
        scores = (query @ (key * scale).transpose(-1, -2)).add_(bias)  # (b, h, t, t)
        mixed = torch.softmax(scores, dim=-1).to(value.dtype) @ value
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return mixed.transpose(1, 2).flatten(2)  # (b, t, d)


class Locality(nn.Module):
    """-s_h |i - j|: how much less a head counts a step for each step that it is away (Press et al., 2022) [ours].

    The slope s_h = softplus(.) is learned per head, and starts at 1/8, 1/32, 1/128, ... per step.
    """

    def __init__(self, heads: int):
        super().__init__()
        slopes = [0.125 * 0.25**i for i in range(heads)]
        self.slope = nn.Parameter(torch.tensor([math.log(math.expm1(slope)) for slope in slopes]))

    def forward(self, t: int) -> Tensor:
        """Number of steps -> what is added to the scores, (h, t, t)."""
        steps = torch.arange(t, device=self.slope.device)
        distance = (steps[:, None] - steps[None]).abs().to(self.slope.dtype)  # (t, t)
        return -F.softplus(self.slope)[:, None, None] * distance


class EncoderLayer(nn.Module):
    """Pre-norm transformer encoder layer: the self-attended features [paper: that they exist; form ours].

    s = x + W_o attend(LN x);  s <- s + FFN(LN s). Positions come from the temporal encoder, or from `Locality`.
    """

    def __init__(self, width: int, heads: int, dropout: float, local: bool = False):
        super().__init__()
        self.heads = heads
        self.locality = Locality(heads) if local else None
        self.norm_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.dropout = ChannelDropout(dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d), looking only at keys with `presence` (b, t) where there are any."""
        query, key, value = self.to_qkv(self.norm_attention(x)).chunk(3, dim=-1)  # 3 of (b, t, d)
        bias = masks.key_bias(presence)  # (b, 1, 1, t)
        if self.locality is not None:
            bias = bias + self.locality(x.shape[1])  # (b, h, t, t)
        attended = attend(query, key, value, bias, self.heads)  # (b, t, d)
        x = self.dropout.residual(x, self.out(attended))
        return self.dropout.residual(x, self.feedforward(self.norm_feedforward(x)))
