"""Temporal encoders: what happens around a step, per modality, before the modalities meet.

Each maps (b, t, d) to (b, t, d) for any t. Where the modality was not observed, its input is already the absent token.
To every encoder, padded steps look like the end of the sequence.
[paper], [sibling] and [ours] are explained in `model.py`.

Letters: b batch, t steps, d width.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.attention import ChannelDropout, EncoderLayer, Masks, causal_memory
from iaca.fusion.config import FusionConfig


class TemporalConvolution(nn.Module):
    """Residual dilated convolutions [sibling: a TCN with kernel 5; form ours].

    x <- x + relu(conv(LN x)), dilation 1, 2, 4, ... Looks both ways, since a video is read as a whole; with `causal`,
    the kernel ends at the step. LayerNorm, not batch statistics: a sequence must not depend on what it is batched with.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d, k, self.causal = config.width, config.kernel, config.causal
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(config.temporal_layers))
        around = 0 if config.causal else k // 2
        self.convolutions = nn.ModuleList(
            nn.Conv1d(d, d, k, dilation=2**i, padding=2**i * around) for i in range(config.temporal_layers)
        )
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        exists = masks.steps[..., None].to(x.dtype)  # (b, t, 1)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            inside = norm(x) * exists  # (b, t, d), zero at padded steps, as the convolution itself pads
            if self.causal:
                inside = self._with_past(inside, convolution, masks)  # (b, before + t, d)
            convolved = convolution(inside.transpose(1, 2)).transpose(1, 2).contiguous()  # (b, t, d)
            x = x + self.dropout(convolved.relu())
        return x

    @staticmethod
    def _with_past(inside: Tensor, convolution: Any, masks: Masks) -> Tensor:
        """Steps with as many before them as the kernel reaches back; zeros before the first."""
        before, t = convolution.dilation[0] * (convolution.kernel_size[0] - 1), inside.shape[1]
        (joined,) = masks.joined(convolution, before, inside)
        return F.pad(joined, (0, 0, before + t - joined.shape[1], 0))


class BidirectionalLSTM(nn.Module):
    """BiLSTM, d/2 each way, with a residual [sibling: DCA].

    Each way is an LSTM of its own that reads the real steps first and padding after them, so that the way back starts
    at the real end. Packed sequences of different lengths would take four times as long, and can't be exported.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.layers = nn.ModuleList(BothWays(config.width, config.width) for _ in range(config.temporal_layers))
        self.dropout = ChannelDropout(config.dropout)
        self.register_load_state_dict_pre_hook(_rename_older)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        ahead, back = reading_orders(masks.steps)
        hidden = x
        for layer in self.layers:
            hidden = layer(hidden, ahead, back)
        update: Tensor = self.dropout(hidden)
        return x + update


class CausalLSTM(nn.Module):
    """An LSTM of width d with a residual [ours]: `BidirectionalLSTM` without the way back. Padding is read last."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.ahead = nn.LSTM(config.width, config.width, config.temporal_layers, batch_first=True)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        before: Any = None if masks.past is None else masks.past.kept.get(self)
        hidden, after = _through(self.ahead, x, before)
        if masks.past is not None:
            masks.past.kept[self] = after
        update: Tensor = self.dropout(hidden)
        return x + update


class BothWays(nn.Module):
    """One layer of a BiLSTM."""

    def __init__(self, inputs: int, d: int):
        super().__init__()
        self.ahead = nn.LSTM(inputs, d // 2, batch_first=True)
        self.back = nn.LSTM(inputs, d // 2, batch_first=True)

    def forward(self, x: Tensor, ahead: Tensor, back: Tensor, start: Tensor | None = None) -> Tensor:
        """One layer.

        Args:
            x: (b, t, inputs).
            ahead, back: the orders of reading, (b * t,).
            start: (2 states, 2 ways, d/2), the hidden and the cell state before the first step; None is zero.

        Returns:
            (b, t, d).
        """
        ways = zip((self.ahead, self.back), (ahead, back), _each_way(start, x.shape[0]), strict=True)
        return torch.cat([_read(lstm, x, order, state) for lstm, order, state in ways], dim=-1)


State = tuple[Tensor, Tensor]  # hidden and cell, (1, b, d/2) each


def _each_way(start: Tensor | None, b: int) -> tuple[State | None, State | None]:
    if start is None:
        return None, None
    (h_ahead, h_back), (c_ahead, c_back) = start[:, :, None, None].expand(-1, -1, 1, b, -1).contiguous()
    return (h_ahead, c_ahead), (h_back, c_back)


def _read(lstm: nn.Module, x: Tensor, order: Tensor, start: State | None) -> Tensor:
    """One way: x (b, t, d), read in `order` (b * t,) -> hidden states in the order of x, (b, t, d/2)."""
    hidden: Tensor = _through(lstm, x.flatten(0, 1).index_select(0, order).view_as(x), start)[0]
    return hidden.flatten(0, 1).index_select(0, order.argsort()).view_as(hidden)


def _through(lstm: nn.Module, x: Tensor, start: State | None) -> tuple[Tensor, State]:
    """(b, t, inputs) -> (b, t, d), and the last states. On a CPU always in float32: oneDNN has no LSTM in bfloat16 for
    processors without AVX-512, and fails there."""
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        result: tuple[Tensor, State] = lstm(x, start)
        return result
    with torch.autocast("cpu", enabled=False):
        return _through(lstm, x.float(), None if start is None else (start[0].float(), start[1].float()))


def reading_orders(steps: Tensor) -> tuple[Tensor, Tensor]:
    """In which order each way reads the steps of a batch: real steps first, padding last.

    Args:
        steps: (b, t) bool, True where the step exists.

    Returns:
        Ahead and back, (b * t,) each: sequence by sequence, which of the b * t steps is read at each place.
    """
    b, t = steps.shape
    ahead = (~steps).long().argsort(dim=1, stable=True)  # (b, t)
    place, real = torch.arange(t, device=steps.device), steps.sum(dim=1, keepdim=True)  # (t,), (b, 1)
    back = ahead.gather(1, torch.where(place < real, real - 1 - place, place))  # (b, t)
    first = torch.arange(b, device=steps.device)[:, None] * t  # (b, 1): where each sequence begins
    return (first + ahead).flatten(), (first + back).flatten()


def current_name(name: str) -> str:
    """Today's name of a tensor of `BidirectionalLSTM`, which used to be one `nn.LSTM`; other names stay as they are."""

    def renamed(found: re.Match[str]) -> str:
        return f"layers.{found['layer']}.{'back' if found['back'] else 'ahead'}.{found['tensor']}_l0"

    return re.sub(r"\blstm\.(?P<tensor>\w+)_l(?P<layer>\d+)(?P<back>_reverse)?$", renamed, name)


def _rename_older(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take checkpoints and model files with the names of one `nn.LSTM`, too."""
    for name in [name for name in state if name.startswith(f"{prefix}lstm.")]:
        state[current_name(name)] = state.pop(name)


class UnitBiLSTM(nn.Module):
    """y = W [x ; BiLSTM(x)], scaled to unit length over features [sibling, exact]; the initial states are learned.

    Dropout acts between layers and on [x ; BiLSTM(x)], as published: on single values, not channels.
    """

    def __init__(self, inputs: int, d: int, layers: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(BothWays(inputs if i == 0 else d, d) for i in range(layers))
        start = torch.empty(2 * layers * 2, d // 2)  # its bounds follow from this shape
        self.start = nn.Parameter(nn.init.xavier_uniform_(start).view(2, layers, 2, d // 2))  # (state, layer, way, d/2)
        self.out = nn.Linear(inputs + d, d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        """x (b, t, inputs), which steps exist (b, t) -> (b, t, d)."""
        ahead, back = reading_orders(steps)
        hidden = x
        for i, layer in enumerate(self.layers):
            hidden = layer(hidden if i == 0 else self.dropout(hidden), ahead, back, self.start[:, i])
        return F.normalize(self.out(self.dropout(torch.cat([x, hidden], dim=-1))), dim=-1)


class TemporalUnitBiLSTM(nn.Module):
    """`UnitBiLSTM` as temporal encoder [sibling: DCA has two layers]."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.block = UnitBiLSTM(config.width, config.width, config.temporal_layers, config.dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        read: Tensor = self.block(x, masks.steps)
        return read


class TemporalTransformer(nn.Module):
    """Transformer encoder over the observed steps, with sinusoidal positions (Vaswani et al., 2017).

    With `causal` there are no positions, which would grow without end in a stream: near steps are preferred instead, by
    `Locality` [ours].
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.causal = config.causal
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.dropout, config.causal, causal_memory(config))
            for _ in range(config.temporal_layers)
        )

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        if not self.causal:
            x = x + positions(masks.steps, x.shape[-1]).to(x.dtype)
        for layer in self.layers:
            x = layer(x, presence, masks)
        return x


def positions(steps: Tensor, width: int) -> Tensor:
    """Sinusoids of the position among the real steps: (b, t) bool -> (b, t, width). Computed, so that any t will do."""
    place = (steps.cumsum(dim=1) - 1).clamp(min=0).float()  # (b, t)
    rates = torch.exp(torch.arange(0, width, 2, device=steps.device) * (-math.log(10_000.0) / width))  # (ceil(d/2),)
    angles = place[..., None] * rates  # (b, t, ceil(d/2))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(2)[..., :width]


class NoTemporal(nn.Module):
    """Each step by itself."""

    def __init__(self, config: FusionConfig):
        super().__init__()

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d), unchanged."""
        return x


def temporal_encoder(config: FusionConfig) -> nn.Module:
    """The temporal encoder of a configuration."""
    return CausalLSTM(config) if config.causal and config.temporal == "lstm" else TEMPORAL[config.temporal](config)


TEMPORAL: dict[str, type[nn.Module]] = {
    "tcn": TemporalConvolution,
    "lstm": BidirectionalLSTM,
    "lstm_unit": TemporalUnitBiLSTM,
    "transformer": TemporalTransformer,
    "none": NoTemporal,
}
"""Name in `FusionConfig.temporal` -> class, built as `Class(config)`; `config.TEMPORAL_PARTS` has the same names."""
