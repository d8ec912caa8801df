"""Joint cross-attention: each modality looks at both together, J = [X_a ; X_v].

Letters: b batch, t steps, d width, m a modality, p_m its presence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iaca.errors import InputError
from iaca.fusion.config import FusionConfig
from iaca.fusion.dropout import ChannelDropout, ElementDropout
from iaca.fusion.masks import Masks
from iaca.fusion.products import add_product, affine, half_tanh_, mixed
from iaca.fusion.selfattention import Locality, attend


class JointLayer(nn.Module):
    """One layer of `jca`, free of length [ours, after the sibling's form].

    The sibling's layer forms U_m (K_m Q), where K_m mixes over time by a fixed t x t matrix. Here U_m meets the keys of
    every step directly, and a softmax over time takes the place of that matrix:

    J = [p_a X_a ; p_v X_v];  K = J W_k, Q = J W_q (t x d);  U_m = X_m W_u,m
    A_m = softmax(U_m K^T / sqrt(d) + log max(p_a, p_v, tiny));  H_m = relu(tanh(A_m Q));  X_m <- X_m + relu(H_m W_o,m)

    An absent half leaves J; a step with neither half is no key; an absent modality still asks, and so is filled in.
    With `locality`, A_m has several heads, each with a reach of its own, and sqrt(d / h) in place of sqrt(d).
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d = config.width
        self.key = nn.Linear(2 * d, d, bias=False)  # softmax takes out what all keys share
        self.joint = nn.Linear(2 * d, d)
        self.query = nn.ModuleDict({m: nn.Linear(d, d) for m in config.modalities})
        self.out = nn.ModuleDict({m: nn.Linear(d, d) for m in config.modalities})
        self.heads = config.heads if config.locality else 1
        self.locality = Locality(self.heads) if config.locality else None
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        joint = torch.cat([x_a * masks.audio[..., None], x_v * masks.visual[..., None]], dim=-1)  # (b, t, 2d)
        key, value, bias = self.key(joint), self.joint(joint), masks.key_bias(masks.either)  # K, Q (b, t, d)
        if self.locality is not None:
            bias = bias + self.locality(x_a.shape[1])  # (b, h, t, t)

        def updated(x: Tensor, modality: str) -> Tensor:
            hidden = attend(self.query[modality](x), key, value, bias, self.heads).tanh().relu()  # H_m (b, t, d)
            return self.dropout.residual(x, self.out[modality](hidden).relu())

        return updated(x_a, "audio"), updated(x_v, "visual")


class FixedJointLayer(nn.Module):
    """One layer of `jca_fixed`: the published form, its length t in the weights [sibling, exact; masks ours].

    Q = J W_q (t x 2d);  K_m = X_m^T W_k,m (d x t), mixing over time;  U_m = X_m W_u,m (t x d)
    S_m = tanh(K_m Q / sqrt(2d)) (d x 2d);  H_m = relu(tanh(U_m S_m)) (t x 2d);  X_m <- X_m + relu(H_m W_o,m)
    All with biases; dropout on S_m and on the update. Where a modality is absent, its row leaves the sums over time.

    Passes over (d, 2d) matrices cost as much as a quarter of the products, so every constant factor is put into a small
    matrix of weights, and tanh is taken from `half_tanh_`.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        if config.length is None:
            raise InputError("attention='jca_fixed' needs length")
        d, t = config.width, config.length
        self.length = t
        self.joint = nn.Linear(2 * d, 2 * d)
        self.mix = nn.ModuleDict({m: nn.Linear(t, t) for m in config.modalities})
        self.query = nn.ModuleDict({m: nn.Linear(d, d) for m in config.modalities})
        self.out = nn.ModuleDict({m: nn.Linear(2 * d, d) for m in config.modalities})
        self.dropout = ElementDropout(config.dropout)

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
        exists = masks.steps[..., None].to(joint.dtype)
        value = add_product(exists * self.joint.bias, joint, self.joint.weight)  # Q (b, t, 2d), 0 at padded steps
        gain = self.dropout.gain  # 1 / (1 - p)

        def updated(x: Tensor, modality: str) -> Tensor:
            key = mixed(self.mix[modality], seen[modality], 2.0 * value.shape[-1] ** -0.5)  # 2 K_m^T / sqrt(2d)
            scores = half_tanh_(self.dropout.drop_(key.transpose(1, 2) @ value))  # S_m / 2 (b, d, 2d), dropped
            query = affine(self.query[modality], x, 4.0 * gain, 4.0 * gain)  # 4 U_m (b, t, d)
            hidden = half_tanh_(query @ scores).relu_()  # H_m / 2 (b, t, 2d)
            update = affine(self.out[modality], hidden, 2.0 * gain, gain).relu()  # (b, t, d)
            return self.dropout.add_dropped(x, update)

        return updated(x_a, "audio"), updated(x_v, "visual")


class JointAttention(nn.Module):
    """Joint layers one after another, each with its own weights: `jca` is one, `rjca` and `jca_fixed` are `layers`."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        layer = FixedJointLayer if config.attention == "jca_fixed" else JointLayer
        depth = 1 if config.attention == "jca" else config.layers
        self.layers = nn.ModuleList(layer(config) for _ in range(depth))

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice."""
        for layer in self.layers:
            x_a, x_v = layer(x_a, x_v, masks)
        return x_a, x_v
