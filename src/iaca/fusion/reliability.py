"""Learned reliability: how far each modality can be believed at each step. The heart of `iaca_plus` [ours].

Letters: b batch, t steps, d width, e hidden width, m a modality, n the other, q cues, p_m presence, r_m reliability.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from iaca.fusion.config import FusionConfig
from iaca.fusion.masks import Masks
from iaca.fusion.temporal import TemporalConvolution

LABELS = ("trusted", "doubted")
MOTION, LEVEL = "mouth_motion", "sound_level"
TRUST = 2.0  # logit at the start: believe what is there until taught otherwise
REACH = 4  # layers of the TCN that judges: 5-step kernels with dilations 1 to 8 see 30 steps either way


class Reliability(nn.Module):
    """What is wrong with a modality, and how far the model acts on it.

    u = TCN(W [x_a, x_v, |x_a - x_v|, (x_a - mu_a)^2, (x_v - mu_v)^2, q, q_motion q_level])
    trusted_m = sigmoid(w_m . u), taught by the corruption that training injects: the explanation;
    r_m = p_m sigmoid(v_m . u), taught by the loss alone: what takes the place of presence p_m in the token, in every
    key and in every gate. The two are apart, since a spoilt stream may still help once it is smoothed over time: what
    is known to be wrong need not be thrown away.

    x_m are the projected embeddings before any neighbour has heard of them, so that a corrupted step is judged before
    it spreads. mu_m is the mean of x_m over the observed steps of the sequence: a stretch that is somebody else's
    stands out against the rest of its own stream, which says *who* is wrong of two that contradict each other. The
    product of mouth motion and sound level, smoothed by the TCN, is their covariance: does the mouth move with the
    sound?
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d, e = config.width, max(config.width // 2, 8)
        self.pair = [config.cues.index(name) for name in (MOTION, LEVEL) if name in config.cues]
        self.cues = len(config.cues)
        self.mix = nn.Linear(5 * d + self.cues + (len(self.pair) == 2), e)
        judge = {"width": e, "temporal_layers": REACH, "kernel": 5}
        self.context = TemporalConvolution(config.model_copy(update=judge))
        self.out = nn.Linear(e, 4)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, TRUST)

    def forward(self, embedded: dict[str, Tensor], quality: Tensor | None, masks: Masks) -> tuple[Masks, Tensor]:
        """Projected embeddings (b, t, d) per modality, cues (b, t, q) or None -> masks of r_m, trusted_m (b, t, 2)."""
        x_a, x_v = embedded["audio"], embedded["visual"]
        features = [x_a, x_v, (x_a - x_v).abs(), _deviation(x_a, masks.audio), _deviation(x_v, masks.visual)]
        mixed = self.mix(torch.cat([*features, *self._cues(quality, x_a)], dim=-1))  # (b, t, e)
        logits = self.out(self.context(mixed, masks.either, masks))  # (b, t, 4)
        judged = torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        trusted, used = judged.chunk(2, dim=-1)  # (b, t, 2) twice
        return replace(masks, audio=masks.audio * used[..., 0], visual=masks.visual * used[..., 1]), trusted

    def _cues(self, quality: Tensor | None, like: Tensor) -> list[Tensor]:
        if self.cues == 0:
            return []
        q = like.new_zeros(*like.shape[:2], self.cues) if quality is None else quality.to(like.dtype)
        if len(self.pair) < 2:
            return [q]
        return [q, q[..., self.pair].prod(dim=-1, keepdim=True)]  # (b, t, 1)


def _deviation(x: Tensor, presence: Tensor) -> Tensor:
    """(x - mean over observed steps)^2, (b, t, d); 0 where not observed, whose token is no deviation."""
    weight = presence[..., None]  # (b, t, 1)
    mean = (x * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp(min=1.0)  # (b, 1, d)
    return (x - mean).square() * weight


def gates_of(trusted: Tensor) -> dict[str, Tensor]:
    """Sigmoids (b, t, 2) of both modalities -> two gates (b, t, 2) (trusted, doubted), in the form of every gate."""
    pair = torch.stack([trusted, 1.0 - trusted], dim=-1)  # (b, t, modality, 2)
    return {"reliability_audio": pair[:, :, 0], "reliability_visual": pair[:, :, 1]}
