"""Temporal encoders: what happens around a step, per modality, before the modalities meet.

Each maps (b, t, d) to (b, t, d) for any t. The absent token already stands where the modality was not observed; padded
steps look to every encoder like the end of the sequence.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from iaca.fusion.config import FusionConfig
from iaca.fusion.dropout import ChannelDropout
from iaca.fusion.masks import Masks
from iaca.fusion.selfattention import EncoderLayer


class TemporalConvolution(nn.Module):
    """Residual dilated convolutions [sibling: a TCN with kernel 5; form ours].

    x <- x + relu(conv(LN x)), dilation 1, 2, 4, ... Looks both ways, since a video is read as a whole. LayerNorm, not
    batch statistics: a sequence must not change with what it is batched with.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d, k = config.width, config.kernel
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(config.temporal_layers))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(d, d, k, dilation=2**i, padding=2**i * (k // 2)) for i in range(config.temporal_layers)
        )
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        outside = ~masks.steps[:, None, :]  # (b, 1, t)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            inside = norm(x).transpose(1, 2).masked_fill(outside, 0.0)  # (b, d, t), as if padded by the convolution
            x = x + self.dropout(convolution(inside).relu().transpose(1, 2))
        return x


class BidirectionalLSTM(nn.Module):
    """BiLSTM, d/2 each way [sibling: DCA]. Padded steps are packed away: the way back starts at the real end."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.lstm = nn.LSTM(
            config.width, config.width // 2, config.temporal_layers, batch_first=True, bidirectional=True
        )
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        lengths = masks.steps.sum(dim=1).clamp(min=1).cpu()  # (b,); a packed sequence has at least one step
        order = (~masks.steps).long().argsort(dim=1, stable=True)[..., None].expand_as(x)  # real steps to the front
        packed = pack_padded_sequence(x.gather(1, order), lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        hidden = torch.zeros_like(x, dtype=hidden.dtype).scatter(1, order, hidden)  # (b, t, d), back in their places
        out: Tensor = x + self.dropout(hidden)
        return out


class TemporalTransformer(nn.Module):
    """Transformer encoder over the observed steps, with sinusoidal positions (Vaswani et al., 2017)."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.dropout) for _ in range(config.temporal_layers)
        )

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        x = x + positions(masks.steps, x.shape[-1]).to(x.dtype)
        for layer in self.layers:
            x = layer(x, presence, masks)
        return x


class NoTemporal(nn.Module):
    """Each step by itself."""

    def __init__(self, config: FusionConfig):
        super().__init__()

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d), unchanged."""
        return x


def positions(steps: Tensor, width: int) -> Tensor:
    """Sinusoids of the position among the real steps: (b, t) bool -> (b, t, width). Computed, so that any t will do."""
    place = (steps.cumsum(dim=1) - 1).clamp(min=0).float()  # (b, t)
    rates = torch.exp(torch.arange(0, width, 2, device=steps.device) * (-math.log(10_000.0) / width))  # (ceil(d/2),)
    angles = place[..., None] * rates  # (b, t, ceil(d/2))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(2)[..., :width]
