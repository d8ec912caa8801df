"""Attention: which steps exist and count, how one sequence attends to another, and the cross-attentions of the family.

Every cross-attention maps the streams of both modalities, (b, t, d) twice, to the cross-attended pair, (b, t, d) twice.
[paper], [sibling] and [ours] are explained in `model.py`.

Letters: b batch, t steps, d width, h heads, k = 2 modality tokens, m a modality, n the other one, X_m (t x d) the
stream of m, p_m in [0, 1] (t) how far m counts at each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.errors import InputError
from iaca.fusion.config import FusionConfig

TINY = torch.finfo(torch.float32).tiny
PADDED = -1e9  # finite: a sequence without any real step stays finite; next to a real key, exp() of it is exactly zero


# --- masks ---


@dataclass
class Past:
    """What the parts of a causal model keep of the steps before those that they are given next.

    A sequence in pieces, with one `Past` for all of them, gives what the whole sequence gives. What is kept is bounded.
    """

    kept: dict[nn.Module, tuple[Tensor, ...]] = field(default_factory=dict)

    def joined(self, part: nn.Module, keep: int, *rows: Tensor) -> tuple[Tensor, ...]:
        """Rows (b, t, ...) with those kept by the part before them; the last `keep` of all are kept."""
        before = self.kept.get(part)
        if before is not None:
            rows = tuple(torch.cat(pair, dim=1) for pair in zip(before, rows, strict=True))
        self.kept[part] = tuple(x[:, max(x.shape[1] - keep, 0) :] for x in rows)
        return rows


@dataclass(frozen=True)
class Masks:
    """Presence and padding of a batch.

    Attributes:
        audio, visual: (b, t) float in [0, 1], how far the modality counts: 1 observed, 0 absent or padded.
        steps: (b, t) bool, True where the step exists.
        past: of a causal model that is given a sequence in pieces; None for a whole one.
    """

    audio: Tensor
    visual: Tensor
    steps: Tensor
    past: Past | None = None

    @classmethod
    def build(
        cls,
        like: Tensor,
        audio_present: Tensor | None,
        visual_present: Tensor | None,
        padding: Tensor | None,
        past: Past | None = None,
    ) -> Masks:
        """Masks of a batch shaped as `like` (b, t, ...). None means that everything is there.

        Raises:
            InputError: a mask is not (b, t).
        """
        given = {"audio_present": audio_present, "visual_present": visual_present, "padding": padding}
        for name, mask in given.items():
            if mask is not None and mask.shape != like.shape[:2]:
                raise InputError(f"{name} is {tuple(mask.shape)}, but the batch has (b, t) = {tuple(like.shape[:2])}")
        everything = torch.ones(like.shape[:2], dtype=torch.bool, device=like.device)
        audio, visual, steps = (everything if mask is None else mask.bool() for mask in given.values())
        return cls((audio & steps).to(like.dtype), (visual & steps).to(like.dtype), steps, past)

    def of(self, modality: str) -> Tensor:
        """(b, t) float of one modality."""
        return self.audio if modality == "audio" else self.visual

    def other(self, modality: str) -> Tensor:
        """(b, t) float of the other modality."""
        return self.visual if modality == "audio" else self.audio

    @property
    def either(self) -> Tensor:
        """(b, t) float: how far at least one modality counts."""
        return torch.maximum(self.audio, self.visual)

    def key_bias(self, presence: Tensor) -> Tensor:
        """What attention adds to the score of each key: log max(p, tiny), and -1e9 for padding [ours].

        An absent key gets no weight if any key is observed. If all are absent, they share the weight.

        Args:
            presence: (b, t) float in [0, 1].

        Returns:
            (b, 1, 1, t), broadcast over heads and queries.
        """
        return self._key_bias(presence)[:, None, None, :]

    def _key_bias(self, presence: Tensor) -> Tensor:
        return log_presence(presence).masked_fill(~self.steps, PADDED)  # (b, t)

    def joined(self, part: nn.Module, keep: int, *rows: Tensor) -> tuple[Tensor, ...]:
        """Rows (b, t, ...) with what the part kept of the steps before, if these are a piece of a sequence."""
        return rows if self.past is None else self.past.joined(part, keep, *rows)

    def keys(
        self, part: nn.Module, memory: int | None, presence: Tensor, *rows: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """What a part attends to, and the bias of `key_bias`.

        Args:
            part: that attends.
            memory: steps that a causal part reaches back; None reads the whole sequence.
            presence: (b, t) float in [0, 1], of the keys.
            rows: keys and values (b, t, d).

        Returns:
            The rows (b, s, d), s = t or more with steps kept from before; the bias (b, 1, 1 or t, s).
        """
        if memory is None:
            return rows, self.key_bias(presence)
        *joined, bias = self.joined(part, memory - 1, *rows, self._key_bias(presence))
        reach = within_reach(presence.shape[1], bias.shape[1], memory, bias.device)  # (t, s)
        return tuple(joined), torch.where(reach, bias[:, None, None, :], PADDED)


def within_reach(steps: int, keys: int, memory: int, device: torch.device) -> Tensor:
    """(t, s) bool: which keys a causal step reads, itself and the `memory` - 1 before it.

    Steps are the last t of the s keys.
    """
    behind = distances(steps, keys, device)
    return (behind >= 0) & (behind < memory)


def distances(steps: int, keys: int, device: torch.device) -> Tensor:
    """(t, s) how many steps each key is behind each step; steps are the last t of the s keys."""
    return torch.arange(keys - steps, keys, device=device)[:, None] - torch.arange(keys, device=device)


def log_presence(presence: Tensor) -> Tensor:
    """log max(p, tiny), finite for p = 0."""
    return presence.clamp(min=TINY).log()


# --- attention and the transformer layer made of it ---


class ChannelDropout(nn.Dropout1d):
    """Drops a channel for the whole sequence (variational dropout; Gal and Ghahramani, 2016) [ours].

    Noise that changes from step to step would be averaged away by every block that smooths over time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, d) -> (b, t, d)."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Locality(nn.Module):
    """-s_h |i - j|: how much less a head counts a step for each step of distance (Press et al., 2022) [ours].

    The slope s_h = softplus(.) is learned per head and starts at 1/8, 1/32, 1/128, ... per step.
    """

    def __init__(self, heads: int):
        super().__init__()
        slopes = [0.125 * 0.25**i for i in range(heads)]
        self.slope = nn.Parameter(torch.tensor([math.log(math.expm1(slope)) for slope in slopes]))

    def forward(self, t: int, keys: int | None = None) -> Tensor:
        """Number of steps, and of keys that end with them (None: these steps) -> what is added to scores, (h, t, s)."""
        distance = distances(t, t if keys is None else keys, self.slope.device).abs().to(self.slope.dtype)  # (t, s)
        return -F.softplus(self.slope)[:, None, None] * distance


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, heads: int = 1) -> Tensor:
    """softmax(query key^T / sqrt(d / h) + bias) value, per head.

    Args:
        query: (b, t, d).
        key, value: (b, s, d), s = t in self-attention and between streams.
        bias: (b, 1 or h, 1 or t, s) from `Masks.key_bias`, plus `Locality` where there is one.
        heads: h, a divisor of d.

    Returns:
        (b, t, d).
    """
    b, _, d = query.shape
    query, key, value = (
        x.view(b, -1, heads, d // heads).transpose(1, 2) for x in (query, key, value)
    )  # (b, h, t, d/h)
    if bias.requires_grad:  # `Locality` in training: the fused kernel's gradient would cost 7 % of an epoch
        scores = (query @ (key / (d // heads) ** 0.5).transpose(-1, -2)).add_(bias)  # (b, h, t, t)
        attended = torch.softmax(scores, dim=-1).to(value.dtype) @ value  # (b, h, t, d/h)
    else:
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
    return attended.transpose(1, 2).flatten(2)  # (b, t, d)


class EncoderLayer(nn.Module):
    """Pre-norm transformer encoder layer: the self-attended features [paper: that they exist; form ours].

    s = x + W_o attend(LN x);  s <- s + FFN(LN s). Positions come from the temporal encoder, or from `Locality`.
    """

    def __init__(self, width: int, heads: int, dropout: float, local: bool = False, memory: int | None = None):
        super().__init__()
        self.heads, self.memory = heads, memory
        self.locality = Locality(heads) if local else None
        self.norm_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.dropout = ChannelDropout(dropout)

    def forward(self, x: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """(b, t, d) -> (b, t, d), attending only to keys with `presence` (b, t) where there are any."""
        query, key, value = self.to_qkv(self.norm_attention(x)).chunk(3, dim=-1)  # 3 of (b, t, d)
        (key, value), bias = masks.keys(self, self.memory, presence, key, value)  # (b, s, d) twice, (b, 1, 1 or t, s)
        if self.locality is not None:
            bias = bias + self.locality(x.shape[1], key.shape[1])  # (b, h, t, s)
        x = x + self.dropout(self.out(attend(query, key, value, bias, self.heads)))
        update: Tensor = self.dropout(self.feedforward(self.norm_feedforward(x)))
        return x + update


def causal_memory(config: FusionConfig) -> int | None:
    """Steps that the attentions of a model reach back; None if they read the whole sequence."""
    return config.memory if config.causal else None


# --- cross-attention: each modality attends to the other one ---


class CrossAttention(nn.Module):
    """`ca` [paper, sibling]: cross-attention by one correlation matrix.

    Z = X_a W X_v^T (t x t);  A_a = softmax(Z), A_v = softmax(Z^T), over the source;  X_ca,m = tanh(X_m + A_m X_n).
    The key biases of the source's presence are ours.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        # scores of about unit variance at the start; the published initialisation has a variance of d [ours]
        self.correlation = nn.Parameter(torch.randn(config.width, config.width) / config.width)
        self.memory = causal_memory(config)
        self.from_voice, self.from_face = nn.Identity(), nn.Identity()  # each keeps its own source's past

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        if self.memory is not None:
            return self._causal(x_a, x_v, masks)
        from_v, from_a = masks.key_bias(masks.visual)[:, 0], masks.key_bias(masks.audio)[:, 0]  # (b, 1, t)
        z = x_a @ self.correlation @ x_v.transpose(1, 2)  # (b, t, t)
        a_a, a_v = torch.softmax(z + from_v, dim=-1), torch.softmax(z.transpose(1, 2) + from_a, dim=-1)
        return torch.tanh(x_a + a_a @ x_v), torch.tanh(x_v + a_v @ x_a)

    def _causal(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        (voice,), from_a = masks.keys(self.from_voice, self.memory, masks.audio, x_a)  # (b, s, d), (b, 1, t, s)
        (face,), from_v = masks.keys(self.from_face, self.memory, masks.visual, x_v)
        a_a = torch.softmax(x_a @ self.correlation @ face.transpose(1, 2) + from_v[:, 0], dim=-1)  # (b, t, s)
        a_v = torch.softmax(x_v @ self.correlation.T @ voice.transpose(1, 2) + from_a[:, 0], dim=-1)
        return torch.tanh(x_a + a_a @ face), torch.tanh(x_v + a_v @ voice)


class MultiHeadCrossAttention(nn.Module):
    """`mha`, what a practitioner tries first: X_ca,m = X_m + W_o multihead(X_m W_q, X_n W_k, X_n W_v)."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.audio = HeadsInto(config)
        self.visual = HeadsInto(config)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        return self.audio.between(x_a, x_v, masks.visual, masks), self.visual.between(x_v, x_a, masks.audio, masks)


class HeadsInto(nn.Module):
    """Multi-head attention of one sequence to another, with a residual."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        d, self.heads, self.memory = config.width, config.heads, causal_memory(config)
        self.to_query = nn.Linear(d, d)
        self.to_key_value = nn.Linear(d, 2 * d, bias=False)
        self.out = nn.Linear(d, d)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, other: Tensor, bias: Tensor) -> Tensor:
        """x (b, t, d), other (b, s, d), bias (b, 1, 1, s) -> (b, t, d)."""
        key, value = self.to_key_value(other).chunk(2, dim=-1)  # (b, s, d) twice
        return self._into(x, key, value, bias)

    def between(self, x: Tensor, other: Tensor, presence: Tensor, masks: Masks) -> Tensor:
        """x and other (b, t, d) of the same steps, presence of the other (b, t) -> (b, t, d)."""
        (key, value), bias = masks.keys(self, self.memory, presence, *self.to_key_value(other).chunk(2, dim=-1))
        return self._into(x, key, value, bias)

    def _into(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        attended = attend(self.to_query(x), key, value, bias, self.heads)  # (b, t, d)
        update: Tensor = self.dropout(self.out(attended))
        return x + update


# --- joint attention: each modality attends to both together, J = [X_a ; X_v] ---


class JointLayer(nn.Module):
    """One layer of `jca`, free of length [ours, after the sibling's form].

    The sibling's layer forms U_m (K_m Q), where K_m mixes over time by a fixed t x t matrix. Here U_m meets the keys of
    every step directly, and a softmax over time takes the place of that matrix:

    J = [p_a X_a ; p_v X_v] (t x 2d);  K = J W_k, Q = J W_q (t x d);  U_m = X_m W_u,m (t x d)
    A_m = softmax(U_m K^T / sqrt(d) + log max(p_a, p_v, tiny));  H_m = relu(tanh(A_m Q));  X_m <- X_m + relu(H_m W_o,m)

    An absent modality is zero in J, a step without either modality is not a key, and an absent modality still queries:
    that fills it in. With `locality`, A_m has several heads, each with its own reach, and sqrt(d / h).
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d = config.width
        self.key = nn.Linear(2 * d, d, bias=False)  # softmax removes what all keys share
        self.joint = nn.Linear(2 * d, d)
        self.query = nn.ModuleDict({m: nn.Linear(d, d) for m in config.modalities})
        self.out = nn.ModuleDict({m: nn.Linear(d, d) for m in config.modalities})
        self.heads = config.heads if config.locality else 1
        self.locality = Locality(self.heads) if config.locality else None
        self.memory = causal_memory(config)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        joint = torch.cat([x_a * masks.audio[..., None], x_v * masks.visual[..., None]], dim=-1)  # J (b, t, 2d)
        (key, value), bias = masks.keys(self, self.memory, masks.either, self.key(joint), self.joint(joint))  # K, Q
        if self.locality is not None:
            bias = bias + self.locality(x_a.shape[1], key.shape[1])  # (b, h, t, s)

        def updated(x: Tensor, modality: str) -> Tensor:
            hidden = attend(self.query[modality](x), key, value, bias, self.heads).tanh().relu()  # H_m (b, t, d)
            update: Tensor = self.dropout(self.out[modality](hidden).relu())
            return x + update

        return updated(x_a, "audio"), updated(x_v, "visual")


class FixedJointLayer(nn.Module):
    """One layer of `jca_fixed`: the published form, with its length t in the weights [sibling, exact; masks ours].

    Q = J W_q (t x 2d);  K_m = X_m^T W_k,m (d x t), mixing over time;  U_m = X_m W_u,m (t x d)
    S_m = tanh(K_m Q / sqrt(2d)) (d x 2d);  H_m = relu(tanh(U_m S_m)) (t x 2d);  X_m <- X_m + relu(H_m W_o,m)
    All with biases; dropout on S_m and on the update. A step where a modality is absent leaves the sums over time.
    Where the streams differ in width, d is d_m and 2d is d_a + d_v.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        if config.length is None:
            raise InputError(
                "attention='jca_fixed' needs length",
                remedy="set `length` to the number of steps of a window, or use attention='jca'",
            )
        t, both = config.length, sum(config.widths.values())
        self.length = t
        self.joint = nn.Linear(both, both)
        self.mix = nn.ModuleDict({m: nn.Linear(t, t) for m in config.widths})
        self.query = nn.ModuleDict({m: nn.Linear(d, d) for m, d in config.widths.items()})
        self.out = nn.ModuleDict({m: nn.Linear(both, d) for m, d in config.widths.items()})
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice.

        Raises:
            InputError: t is not the length in the weights.
        """
        if x_a.shape[1] != self.length:
            raise InputError(
                f"attention='jca_fixed' was built for length={self.length} steps, but the batch has {x_a.shape[1]}",
                remedy="pad to that length, with the padding mask, or use attention='jca'",
            )
        seen = {"audio": x_a * masks.audio[..., None], "visual": x_v * masks.visual[..., None]}  # (b, t, d)
        joint = torch.cat([seen["audio"], seen["visual"]], dim=-1)  # J (b, t, 2d)
        value = self.joint(joint)  # Q (b, t, 2d)
        scale = masks.steps[:, None].to(joint.dtype) / joint.shape[-1] ** 0.5  # (b, 1, t): padded steps leave K_m Q

        def updated(x: Tensor, modality: str) -> Tensor:
            key = self.mix[modality](seen[modality].transpose(1, 2)) * scale  # K_m / sqrt(2d) (b, d, t)
            scores = self.dropout((key @ value).tanh_())  # S_m (b, d, 2d)
            hidden = (self.query[modality](x) @ scores).tanh_().relu()  # H_m (b, t, 2d)
            update: Tensor = self.dropout(self.out[modality](hidden).relu())
            return x + update

        return updated(x_a, "audio"), updated(x_v, "visual")


class JointAttention(nn.Module):
    """Joint layers one after another, each with its own weights: `jca` is one, `rjca` and `jca_fixed` are `layers`."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        layer = FixedJointLayer if config.attention == "jca_fixed" else JointLayer
        depth = 1 if config.attention == "jca" else config.layers
        self.layers = nn.ModuleList(layer(config) for _ in range(depth))

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice: what the last layer gives."""
        return self.every_layer(x_a, x_v, masks)[-1]

    def every_layer(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> list[tuple[Tensor, Tensor]]:
        """(b, t, d) twice -> what each layer gives, first to last."""
        given = []
        for layer in self.layers:
            x_a, x_v = layer(x_a, x_v, masks)
            given.append((x_a, x_v))
        return given


# --- leader and follower: attention over the modalities of one step ---


class LeaderFollower(nn.Module):
    """`lfan` [the field's baseline; form ours, after its description]: the face leads, the voice follows.

    At each step the modalities are k tokens X = [x_a, x_v] (k x d) that attend to each other:
    Y = softmax((X W_q)(X W_k)^T / sqrt(d) + log p) X W_v;  c_a = W_o [y_a ; y_v], the follower;  c_v = x_v, the leader.
    Steps are independent of each other.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d = config.width
        self.to_qkv = nn.ModuleDict({m: nn.Linear(d, 3 * d) for m in config.modalities})
        self.out = nn.Linear(2 * d, d)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        tokens = torch.stack([self.to_qkv["audio"](x_a), self.to_qkv["visual"](x_v)], dim=2)  # (b, t, k, 3d)
        query, key, value = tokens.chunk(3, dim=-1)  # (b, t, k, d)
        presence = torch.stack([log_presence(masks.audio), log_presence(masks.visual)], dim=-1)  # (b, t, k)
        scores = query @ key.transpose(-1, -2) / x_a.shape[-1] ** 0.5 + presence[..., None, :]  # (b, t, k, k)
        attended = torch.softmax(scores, dim=-1) @ value  # (b, t, k, d)
        return self.dropout(self.out(attended.flatten(2))), x_v


ATTENTION: dict[str, type[nn.Module]] = {
    "ca": CrossAttention,
    "jca": JointAttention,
    "jca_fixed": JointAttention,
    "rjca": JointAttention,
    "mha": MultiHeadCrossAttention,
    "lfan": LeaderFollower,
}
"""Name in `FusionConfig.attention` -> class, built as `Class(config)`; `config.ATTENTION_PARTS` has the same names."""
