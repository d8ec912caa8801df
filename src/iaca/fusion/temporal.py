"""Temporal encoders: what happens around a step, per modality, before the modalities meet.

Each maps (b, t, d) to (b, t, d) for any t. The absent token already stands where the modality was not observed; padded
steps look to every encoder like the end of the sequence.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        exists = masks.steps[..., None].to(x.dtype)  # (b, t, 1)
        for i, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            inside = norm(x) * exists  # (b, t, d), padded with zeros as the convolution itself pads
            x = self.dropout.residual(x, _rectified(inside, convolution, 2**i))
        return x


def _rectified(x: Tensor, convolution: nn.Module, dilation: int) -> Tensor:
    """relu(convolution over time): (b, t, d) -> (b, t, d).

    As a picture of one row in channels-last order, which (b, t, d) is as it lies in memory: nothing is transposed, and
    the dilated kernels are up to a quarter faster. The undilated one is not.
    """
    if dilation == 1:
        out: Tensor = convolution(x.transpose(1, 2))  # (b, d, t)
        return out.transpose(1, 2).contiguous().relu_()
    weight, bias = convolution.parameters()  # (d, d, k), (d,)
    padding = (0, dilation * (weight.shape[-1] // 2))
    out = F.conv2d(x.transpose(1, 2)[:, :, None], weight[:, :, None], bias, padding=padding, dilation=(1, dilation))
    return out.relu_().squeeze(2).transpose(1, 2)  # (b, d, 1, t) -> (b, t, d)


class BidirectionalLSTM(nn.Module):
    """BiLSTM, d/2 each way [sibling: DCA]. The way back starts at the real end, not in the padding.

    Each way reads its own arrangement of the steps, real ones first, so that padding comes after all that matters. No
    packing: packed sequences of different lengths fall back to a loop over time that is four times as slow, and need
    the lengths as numbers, which a traced graph does not have.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.lstm = nn.LSTM(
            config.width, config.width // 2, config.temporal_layers, batch_first=True, bidirectional=True
        )
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        ways = [(rows, rows.argsort()) for rows in reading_orders(masks.steps)]  # (t * b,): there, and back again
        weights: list[list[Tensor]] = [list(each) for each in self.lstm.all_weights]  # per layer: ahead, back
        hidden = x
        for layer in range(self.lstm.num_layers):
            pair = zip(ways, weights[2 * layer : 2 * layer + 2], strict=True)
            hidden = torch.cat([self._read(hidden, *way, weight) for way, weight in pair], dim=-1)  # (b, t, d)
        return self.dropout.residual(x, hidden)

    def _read(self, x: Tensor, rows: Tensor, places: Tensor, weights: list[Tensor]) -> Tensor:
        """One layer one way: (b, t, d) -> (b, t, d/2)."""
        b, t, d = x.shape
        sequence = x.flatten(0, 1).index_select(0, rows).view(t, b, d)
        start = x.new_zeros(1, b, self.lstm.hidden_size)
        hidden, _, _ = torch.lstm(sequence, (start, start), weights, True, 1, 0.0, self.training, False, False)
        return hidden.flatten(0, 1).index_select(0, places).view(b, t, -1)


def reading_orders(steps: Tensor) -> tuple[Tensor, Tensor]:
    """The order in which a sequence is read ahead and back: real steps first, padding last.

    Args:
        steps: (b, t) bool, True where the step exists.

    Returns:
        (t * b,) twice: which of the b * t steps comes at each place of a (t, b) arrangement.
    """
    b, t = steps.shape
    ahead = (~steps).long().argsort(dim=1, stable=True)  # (b, t)
    place, real = torch.arange(t, device=steps.device), steps.sum(dim=1, keepdim=True)  # (t,), (b, 1)
    back = ahead.gather(1, torch.where(place < real, real - 1 - place, place))  # (b, t)
    first = torch.arange(b, device=steps.device)[:, None] * t  # (b, 1): where each sequence begins
    return (first + ahead).T.flatten(), (first + back).T.flatten()


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
