"""The equations of `shared/MODEL.md` written down plainly: what `benchmarks/fusion_speed.py` compares the models with.

As one would write them on a first day: attention forms its t x t matrix, gate weights are repeated to full width,
LSTMs are `torch.nn.LSTM`, dropout is torch's own. Every step is there, so that there are no masks. Weights are those of
the `FusionModel` that is compared, by their names; reliability and repair of `iaca_plus` are the model's own code.

Letters: b batch, t steps, d width, h heads, k ways of a gate.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion import FusionModel
from iaca.fusion.masks import Masks

Pair = tuple[Tensor, Tensor]
MODALITIES = ("audio", "visual")


def literal(model: FusionModel, audio: Tensor, visual: Tensor) -> Tensor:
    """(b, t, D_a), (b, t, D_v) -> (b, t, 2) valence, arousal: what the model predicts where everything is observed."""
    inputs = {"audio": audio, "visual": visual}
    masks = Masks.build(audio, None, None, None)
    x = {m: _projected(stream, inputs[m]) for m, stream in model.streams.items()}  # (b, t, d) each
    if model.reliability is not None:
        masks, _ = model.reliability(x, None, masks)
    if model.repair is not None:
        x, masks = model.repair(x, {m: stream.absent for m, stream in model.streams.items()}, masks)
    h = {m: _encoded(stream, x[m], masks.of(m)) for m, stream in model.streams.items()}
    fused = h
    if model.attention is not None:
        attend = ATTENTION[model.config.attention]
        fused = dict(zip(MODALITIES, attend(model.attention, h["audio"], h["visual"], masks), strict=True))
        if model.gating is not None:
            fused = _gated(model.gating, h, fused, masks)
    return _head(model.head, torch.cat(list(fused.values()), dim=-1))


def _drop_channels(x: Tensor, dropout: nn.Module) -> Tensor:
    return F.dropout1d(x.transpose(1, 2), dropout.p, dropout.training).transpose(1, 2)


def _drop_elements(x: Tensor, dropout: nn.Module) -> Tensor:
    return F.dropout(x, dropout.p, dropout.training)


# one modality


def _projected(stream: nn.Module, x: Tensor) -> Tensor:
    return stream.project(F.normalize(x, dim=-1) if stream.input_norm == "l2" else x)


def _encoded(stream: nn.Module, x: Tensor, presence: Tensor) -> Tensor:
    if stream.soft:
        x = presence[..., None] * x + (1.0 - presence[..., None]) * stream.absent
    x = stream.norm(TEMPORAL[type(stream.temporal).__name__](stream.temporal, x, presence))
    return F.normalize(x, dim=-1) if stream.normalisation == "l2" else x


def _tcn(block: nn.Module, x: Tensor, presence: Tensor) -> Tensor:
    for norm, convolution in zip(block.norms, block.convolutions, strict=True):
        x = x + _drop_channels(torch.relu(convolution(norm(x).transpose(1, 2))).transpose(1, 2), block.dropout)
    return x


def _lstm(block: nn.Module, x: Tensor, presence: Tensor) -> Tensor:
    return x + _drop_channels(block.lstm(x)[0], block.dropout)


def _transformer(block: nn.Module, x: Tensor, presence: Tensor) -> Tensor:
    t, d = x.shape[1:]
    angles = torch.arange(t)[:, None] / 10_000.0 ** (torch.arange(0, d, 2) / d)  # (t, d/2)
    x = x + torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(t, -1)[:, :d]
    for layer in block.layers:
        x = _encoder_layer(layer, x, presence)
    return x


def _encoder_layer(layer: nn.Module, x: Tensor, presence: Tensor) -> Tensor:
    query, key, value = layer.to_qkv(layer.norm_attention(x)).chunk(3, dim=-1)
    x = x + _drop_channels(layer.out(_attention(query, key, value, presence, layer)), layer.dropout)
    return x + _drop_channels(layer.feedforward(layer.norm_feedforward(x)), layer.dropout)


def _attention(query: Tensor, key: Tensor, value: Tensor, presence: Tensor, block: nn.Module) -> Tensor:
    """softmax(Q K^T / sqrt(d/h) + log p - s_h |i - j|) V, the last where the block has learned slopes."""
    query, key, value = (
        torch.stack(x.chunk(block.heads, dim=-1), dim=1) for x in (query, key, value)
    )  # (b, h, t, d/h)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + presence.log()[:, None, None, :]  # (b, h, t, t)
    if getattr(block, "locality", None) is not None:
        steps = torch.arange(query.shape[-2])
        distance = (steps[:, None] - steps[None]).abs()  # (t, t)
        scores = scores - F.softplus(block.locality.slope)[:, None, None] * distance
    return torch.cat((torch.softmax(scores, dim=-1) @ value).unbind(dim=1), dim=-1)  # (b, t, d)


TEMPORAL: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "TemporalConvolution": _tcn,
    "BidirectionalLSTM": _lstm,
    "TemporalTransformer": _transformer,
    "NoTemporal": lambda block, x, presence: x,
}


# both modalities


def _ca(block: nn.Module, x_a: Tensor, x_v: Tensor, masks: Masks) -> Pair:
    z = x_a @ block.correlation @ x_v.transpose(1, 2)  # (b, t, t)
    a_a = torch.softmax(z + masks.visual.log()[:, None], dim=-1)
    a_v = torch.softmax(z.transpose(1, 2) + masks.audio.log()[:, None], dim=-1)
    return torch.tanh(x_a + a_a @ x_v), torch.tanh(x_v + a_v @ x_a)


def _jca(block: nn.Module, x_a: Tensor, x_v: Tensor, masks: Masks) -> Pair:
    for layer in block.layers:
        joint = torch.cat([x_a * masks.audio[..., None], x_v * masks.visual[..., None]], dim=-1)  # (b, t, 2d)
        key, value, updated = layer.key(joint), layer.joint(joint), []
        for m, x in zip(MODALITIES, (x_a, x_v), strict=True):
            hidden = torch.relu(torch.tanh(_attention(layer.query[m](x), key, value, masks.either, layer)))
            updated.append(x + _drop_channels(torch.relu(layer.out[m](hidden)), layer.dropout))
        x_a, x_v = updated
    return x_a, x_v


def _jca_fixed(block: nn.Module, x_a: Tensor, x_v: Tensor, masks: Masks) -> Pair:
    for layer in block.layers:
        joint = torch.cat([x_a * masks.audio[..., None], x_v * masks.visual[..., None]], dim=-1)  # J (b, t, 2d)
        value, updated = layer.joint(joint), []  # Q (b, t, 2d)
        for m, x in zip(MODALITIES, (x_a, x_v), strict=True):
            key = layer.mix[m]((x * masks.of(m)[..., None]).transpose(1, 2))  # K_m (b, d, t)
            scores = _drop_elements(torch.tanh(key @ value / joint.shape[-1] ** 0.5), layer.dropout)  # S_m (b, d, 2d)
            hidden = torch.relu(torch.tanh(layer.query[m](x) @ scores))  # H_m (b, t, 2d)
            updated.append(x + _drop_elements(torch.relu(layer.out[m](hidden)), layer.dropout))
        x_a, x_v = updated
    return x_a, x_v


def _mha(block: nn.Module, x_a: Tensor, x_v: Tensor, masks: Masks) -> Pair:
    def into(part: nn.Module, x: Tensor, other: Tensor, presence: Tensor) -> Tensor:
        key, value = part.to_key_value(other).chunk(2, dim=-1)
        attended = _attention(part.to_query(x), key, value, presence, part)
        return x + _drop_channels(part.out(attended), part.dropout)

    return into(block.audio, x_a, x_v, masks.visual), into(block.visual, x_v, x_a, masks.audio)


def _lfan(block: nn.Module, x_a: Tensor, x_v: Tensor, masks: Masks) -> Pair:
    tokens = torch.stack([block.to_qkv["audio"](x_a), block.to_qkv["visual"](x_v)], dim=2)  # (b, t, 2, 3d)
    query, key, value = tokens.chunk(3, dim=-1)  # (b, t, 2, d)
    presence = torch.stack([masks.audio, masks.visual], dim=-1).log()[:, :, None]  # (b, t, 1, 2)
    weights = torch.softmax(query @ key.transpose(-1, -2) / x_a.shape[-1] ** 0.5 + presence, dim=-1)  # (b, t, 2, 2)
    return _drop_channels(block.out((weights @ value).flatten(2)), block.dropout), x_v


ATTENTION: dict[str, Callable[[nn.Module, Tensor, Tensor, Masks], Pair]] = {
    "ca": _ca,
    "jca": _jca,
    "rjca": _jca,
    "jca_fixed": _jca_fixed,
    "mha": _mha,
    "lfan": _lfan,
}


# gates and head


def _weights(gate: nn.Module, features: Tensor, first: Tensor | float, second: Tensor) -> Tensor:
    """softmax(Linear(g) / T + [b_1, b_2]): (b, t, 2)."""
    bias = torch.stack([torch.zeros_like(second) + first, second], dim=-1)
    return torch.softmax(gate.linear(features) / gate.temperature + bias, dim=-1)


def _mixed(weights: Tensor, *features: Tensor) -> Tensor:
    """relu(sum_i G_i * X_i), the weights repeated to (b, t, d, k)."""
    stacked = torch.stack(features, dim=-1)  # (b, t, d, k)
    return torch.relu((weights[:, :, None].repeat(1, 1, stacked.shape[2], 1) * stacked).sum(dim=-1))


def _gated(gating: nn.Module, h: dict[str, Tensor], crossed: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    own = h | {m: _encoder_layer(layer, h[m], masks.of(m)) for m, layer in gating.attend.items()}
    other = {"audio": masks.visual, "visual": masks.audio}
    g = {}
    for m, gate in gating.stage1.gates.items():
        lost = _lost(gating.stage1.absence[m], other[m])[0]  # (b, t)
        g[m] = _mixed(_weights(gate, crossed[m], torch.zeros_like(lost), lost), own[m], crossed[m])
    if gating.stage2 is None:
        return g
    if hasattr(gating.stage2, "gates"):  # within modalities
        zero = torch.zeros_like(masks.audio)
        return {m: _mixed(_weights(gate, g[m], 0.0, zero), h[m], g[m]) for m, gate in gating.stage2.gates.items()}
    both = torch.cat([g["audio"], g["visual"]], dim=-1)
    s = _weights(gating.stage2.gate, both, *_lost(gating.stage2.absence, masks.audio, masks.visual))  # (b, t, 2)
    return {m: torch.relu(2.0 * s[..., i : i + 1].repeat(1, 1, g[m].shape[-1]) * g[m]) for i, m in enumerate(g)}


def _lost(absence: nn.Module, *presence: Tensor) -> list[Tensor]:
    """-softplus(w_i) (1 - p_i), (b, t) each."""
    return [-F.softplus(w) * (1.0 - p) for w, p in zip(absence.loss, presence, strict=True)]


def _head(head: nn.Module, x: Tensor) -> Tensor:
    if head.context is not None:
        x = _lstm(head.context, x, x[..., 0])
    outputs = []
    for first, relu, dropout, last in head.regressors:
        outputs.append(last(_drop_channels(relu(first(x)), dropout)))
    return torch.tanh(torch.cat(outputs, dim=-1))
