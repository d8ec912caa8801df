"""What `iaca_plus` adds to `iaca`: learned reliability, the repair of gaps, and a gate over readings of voice and face.

All of it is [ours]. `late` and `ridge` are the readings alone.

Letters: b batch, t steps, d width, e hidden width, m a modality, k ways of a gate, q cues, n (in the repair) reaches,
p_m presence, r_m reliability: how far m counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.attention import Masks, causal_memory, distances, within_reach
from iaca.fusion.config import FusionConfig
from iaca.fusion.gates import Features
from iaca.fusion.temporal import TemporalConvolution
from iaca.parameters import MODALITIES

# --- learned reliability ---

LABELS = ("trusted", "doubted")
MOTION, LEVEL = "mouth_motion", "sound_level"
TRUST = 2.0  # logit at the start: an observed modality is trusted until training says otherwise
REACH = 4  # layers of the judging TCN: 5-step kernels with dilations 1 to 8 see 30 steps either way


class Reliability(nn.Module):
    """How far each modality can be trusted at each step: the heart of `iaca_plus` [ours].

    u = TCN(W [x_a, x_v, |x_a - x_v|, (x_a - mu_a)^2, (x_v - mu_v)^2, q, q_motion q_level])
    trusted_m = sigmoid(w_m . u)          supervised by the corruption that training injects: the explanation
    r_m = p_m sigmoid(v_m . u)            trained by the loss alone: replaces presence p_m in every key and every gate

    The two are separate, since a corrupted stream may still help once it is smoothed over time.

    x_m are the projected embeddings, before the temporal encoder mixes them, so that a corrupted step is judged before
    it spreads. mu_m is the mean of x_m over the observed steps of the sequence (with `causal`, over those in memory): a
    stretch of another person stands out against the rest, which tells *which* of two contradicting modalities is wrong.
    The product of mouth
    motion and sound level, smoothed by the TCN, is their covariance: does the mouth move with the sound?
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d, e = config.width, max(config.width // 2, 8)
        self.memory = causal_memory(config)
        self.kept = nn.ModuleDict({m: nn.Identity() for m in config.modalities})  # of the past of each
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
        features = [x_a, x_v, (x_a - x_v).abs(), *(self._deviation(embedded[m], masks, m) for m in MODALITIES)]
        mixed = self.mix(torch.cat([*features, *self._cues(quality, x_a)], dim=-1))  # (b, t, e)
        logits = self.out(self.context(mixed, masks.either, masks))  # (b, t, 4)
        judged = torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        trusted, used = judged.chunk(2, dim=-1)  # (b, t, 2) twice
        return replace(masks, audio=masks.audio * used[..., 0], visual=masks.visual * used[..., 1]), trusted

    def _deviation(self, x: Tensor, masks: Masks, modality: str) -> Tensor:
        presence = masks.of(modality)
        if self.memory is None:
            return _deviation(x, presence)
        seen, there = masks.joined(self.kept[modality], self.memory - 1, x, presence)  # (b, s, d), (b, s)
        reach = within_reach(x.shape[1], seen.shape[1], self.memory, x.device).to(x.dtype)  # (t, s)
        weight = reach * there[:, None]  # (b, t, s)
        mean = weight @ seen / weight.sum(dim=-1, keepdim=True).clamp(min=1.0)  # (b, t, d)
        return (x - mean).square() * presence[..., None]

    def _cues(self, quality: Tensor | None, like: Tensor) -> list[Tensor]:
        if self.cues == 0:
            return []
        q = like.new_zeros(*like.shape[:2], self.cues) if quality is None else quality.to(like.dtype)
        if len(self.pair) < 2:
            return [q]
        return [q, q[..., self.pair].prod(dim=-1, keepdim=True)]  # (b, t, 1)


def _deviation(x: Tensor, presence: Tensor) -> Tensor:
    """(x - mean over observed steps)^2, (b, t, d); 0 where not observed."""
    weight = presence[..., None]  # (b, t, 1)
    mean = (x * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp(min=1.0)  # (b, 1, d)
    return (x - mean).square() * weight


def gates_of(trusted: Tensor) -> dict[str, Tensor]:
    """Sigmoids (b, t, 2) of both modalities -> two gates (b, t, 2) (trusted, doubted), in the form of every gate."""
    pair = torch.stack([trusted, 1.0 - trusted], dim=-1)  # (b, t, modality, 2)
    return {"reliability_audio": pair[:, :, 0], "reliability_visual": pair[:, :, 1]}


# --- repair of gaps ---

REACHES = (3.0, 10.0, 30.0, 100.0)  # steps, at the start
HIDDEN = 16
FAINT = 1e-3  # of a step's weight: an estimate from less than that counts as nothing
DOUBT = -1.0  # logit of the token at the start: the neighbours are preferred


class Repair(nn.Module):
    """Gaps filled by normalised convolution (Knutsson and Westin, CVPR 1993) over the observed steps [ours].

    E_i = K_i (r x) / (K_i r),  K_i[s, u] = exp(-|s - u| / reach_i)                 an estimate for each of n reaches
    w = softmax(MLP[log K_1 r, ..., log K_n r])                                     over the estimates and the token
    x <- r x + (1 - r) (w_0 token + sum_i w_i E_i);   r <- r + (1 - r) (1 - w_0)

    Near the edge of a gap the neighbours are as good as the step itself; in the middle of a long one they say little.
    How fast that changes is learned. A filled step counts in keys and gates as far as it does not rest on the token.
    Without repair the temporal encoder meets a token at every gap, and a stream with every second step missing looks
    like no stream at all. With `causal`, only steps before a gap fill it, of those in memory.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.fill = nn.ModuleDict({m: Fill(causal_memory(config)) for m in config.modalities})

    def forward(
        self, embedded: dict[str, Tensor], tokens: dict[str, Tensor], masks: Masks
    ) -> tuple[dict[str, Tensor], Masks]:
        """Projected embeddings (b, t, d) and the absent token (d,) per modality -> both, repaired."""
        repaired, known = dict(embedded), {}
        for m, fill in self.fill.items():
            repaired[m], known[m] = fill(embedded[m], tokens[m], masks.of(m), masks)
            known[m] = known[m] * masks.steps
        return repaired, replace(masks, **known)


class Fill(nn.Module):
    """The repair of one modality."""

    def __init__(self, memory: int | None = None) -> None:
        super().__init__()
        n, self.memory = len(REACHES), memory
        self.rate = nn.Parameter(torch.tensor([math.log(math.expm1(1.0 / reach)) for reach in REACHES]))
        choice = nn.Linear(HIDDEN, 1 + n)  # the token, and each reach
        with torch.no_grad():
            choice.bias.copy_(torch.tensor([DOUBT] + n * [0.0]))
        self.judge = nn.Sequential(nn.Linear(n, HIDDEN), nn.ReLU(), choice)

    def forward(self, x: Tensor, token: Tensor, presence: Tensor, masks: Masks | None = None) -> tuple[Tensor, Tensor]:
        """x (b, t, d), token (d,), presence (b, t) -> x and presence, repaired; `masks` are needed with a memory."""
        there = presence.to(x.dtype)  # r (b, t)
        if self.memory is not None and masks is not None:
            filled, weights = self._from_past(x, token, there, masks, self.memory)
        else:
            filled, weights = self._from_around(x, token, there)
        known = presence + (1.0 - presence) * (1.0 - weights[..., 0]).to(presence.dtype)
        return there[..., None] * x + (1.0 - there[..., None]) * filled, known

    def _from_past(self, x: Tensor, token: Tensor, there: Tensor, masks: Masks, memory: int) -> tuple[Tensor, Tensor]:
        seen, observed = masks.joined(self, memory - 1, x, there)  # (b, s, d), (b, s)
        behind = distances(x.shape[1], seen.shape[1], x.device)  # (t, s)
        reach = within_reach(x.shape[1], seen.shape[1], memory, x.device).to(x.dtype)
        kernel = torch.exp(-F.softplus(self.rate)[:, None, None] * behind.clamp(min=0)).to(x.dtype) * reach  # (n, t, s)
        mass = torch.einsum("nts,bs->btn", kernel, observed)  # K_i r
        weights = torch.softmax(self.judge((mass + FAINT).log()), dim=-1)  # w (b, t, 1 + n)
        shares = weights[..., 1:] / (mass + FAINT)  # (b, t, n)
        taken = torch.einsum("btn,nts,bs->bts", shares, kernel, observed)
        return weights[..., :1] * token + taken @ seen, weights

    def _from_around(self, x: Tensor, token: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        kernel = self._kernel(x)  # K (n, t, t)
        mass = (there @ kernel).permute(1, 2, 0)  # K_i r (b, t, n)
        weights = torch.softmax(self.judge((mass + FAINT).log()), dim=-1)  # w (b, t, 1 + n)
        shares = weights[..., 1:] / (mass + FAINT)  # (b, t, n)
        taken = (shares.transpose(0, 1) @ kernel.transpose(0, 1)).transpose(0, 1)  # sum_i w_i K_i / K_i r (b, t, t)
        return weights[..., :1] * token + (taken * there[:, None]) @ x, weights  # (b, t, d)

    def _kernel(self, x: Tensor) -> Tensor:
        """How much each reach counts a step at each distance, (n, t, t)."""
        steps = torch.arange(x.shape[1], device=x.device)
        distance = (steps[:, None] - steps[None]).abs().to(self.rate.dtype)  # (t, t)
        return torch.exp(-F.softplus(self.rate)[:, None, None] * distance).to(x.dtype)


# --- readings of voice and face ---


class Readings(nn.Module):
    """What ridge regressions read in voice and in face, and late fusion of the two [ours].

    r_m = A_0 x_m + sum_i A_i mean_i(x_m) + constant                        over the averages of `config.averages_s`
    S_d = softmax over m of [prior_md - contradiction_md + log p_m + share_d (log r_m / p_m + logits_md)]
    y_d = mean_d + sum_m S_md (r_md - mean_d) / sqrt(S_d' C_d S_d) + share_d correction_d

    An average of two readings that agree only in part varies less than either; C_d, their correlation, undoes that.
    Every parameter is a buffer, fitted in `iaca.training.readings`: without a fit, readings and their prior are 0.
    `joint` is the sum of the two parts of one regression, without any weights.

    Axes of readings: (b, t, modality, dimension), in the order of `MODALITIES` and of valence and arousal.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.averages_s, self.joint = config.averages_s, config.readings == "joint"
        for m, dim in config.dims.items():
            self.register_buffer(f"{m}_weights", torch.zeros(dim, 1 + len(self.averages_s), 2))
        self.register_buffer("constant", torch.zeros(2, 2))
        self.register_buffer("mean", torch.zeros(2))  # of the annotation
        if not self.joint:
            self.register_buffer("prior", torch.zeros(2, 2))  # log weights (modality, dimension)
            self.register_buffer("correlation", torch.zeros(2))
        if config.has_network:
            self.register_buffer("share", torch.ones(2))

    def forward(self, parts: Iterable[Features], present: Tensor, rate: Tensor) -> Tensor:
        """Readings of whole sequences, (b, t, modality, 2).

        Where a modality is absent the averages around the step are used, and far from any observation the constant.

        Args:
            parts: of the sequences, one after the other: normalised embeddings (b, s, D_m), 0 where absent.
            present: (b, t, modality) bool.
            rate: (b,) steps per second.
        """
        projected = torch.cat([self._project(part) for part in parts], dim=1)  # (b, t, modality, 1 + n, 2)
        there = present[..., None].to(projected.dtype)  # (b, t, modality, 1)
        readings = projected[..., 0, :] * there + self.get_buffer("constant")
        for i, seconds in enumerate(self.averages_s, start=1):
            half = torch.round(rate.double() * seconds).long() // 2
            readings = readings + local_mean(projected[..., i, :], there, half)
        return readings

    def _project(self, features: Features) -> Tensor:
        """(b, s, modality, 1 + n, 2): what is averaged are products with the weights, which are narrower."""
        weights = {m: self.get_buffer(f"{m}_weights") for m in MODALITIES}
        return torch.stack([torch.einsum("btd,dnk->btnk", features[m], weights[m]) for m in MODALITIES], dim=2)

    def weigh(self, readings: Tensor, learned: Tensor | None, presence: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Late fusion: (b, t, 2), and the weights (b, t, modality) by name of the gate.

        Args:
            readings: (b, t, modality, 2).
            learned: (b, t, modality, 2), what a network adds to the log weights; None adds nothing.
            presence: (b, t, modality), above 0 where that modality was observed.
        """
        mean = self.get_buffer("mean")
        if self.joint:
            return readings.sum(dim=2), {}
        absent = (presence <= 0) & (presence > 0).any(dim=-1, keepdim=True)  # with neither, the prior is left
        logits = self.get_buffer("prior") + (0.0 if learned is None else self.get_buffer("share") * learned)
        logits = logits - self._contradicted(readings, presence)[:, None]
        weights = torch.softmax(logits.masked_fill(absent[..., None], -torch.inf), dim=2)  # (b, t, modality, 2)
        both: Tensor = weights.square().sum(2) + 2 * self.get_buffer("correlation") * weights.prod(2)  # S' C S
        fused = mean + (weights * (readings - mean)).sum(dim=2) * both.rsqrt()
        return fused, {f"readings_{name}": weights[..., i] for i, name in enumerate(("valence", "arousal"))}

    def _contradicted(self, readings: Tensor, presence: Tensor) -> Tensor:
        """What the less reliable modality loses of its log weight where it contradicts the other throughout.

        (b, modality, 2): `CONTRADICTION` times the negative part of the correlation of both readings over the sequence,
        of each dimension; 0 where they agree, and with few steps that have both.
        """
        both = (presence > 0).all(dim=-1)[..., None].to(readings.dtype)  # (b, t, 1)
        steps = both.sum(dim=1)  # (b, 1)
        centred = [readings[:, :, m] * both for m in range(2)]  # (b, t, 2)
        centred = [x - both * (x.sum(dim=1) / steps.clamp(min=1.0))[:, None] for x in centred]
        voice, face = centred
        spread = (voice.square().sum(dim=1) * face.square().sum(dim=1)).sqrt()
        correlation = (voice * face).sum(dim=1) / spread.clamp(min=1e-9)
        says_something = (steps >= CONTRADICTION_STEPS) & (spread > 1e-6 * steps)  # a reading may be constant
        loss = CONTRADICTION * torch.where(says_something, (-correlation).clamp(min=0.0), 0.0)  # (b, 2)
        prior = self.get_buffer("prior")
        weaker = (prior < prior.flip(0)).to(readings.dtype)  # (modality, 2)
        return loss[:, None] * weaker


CONTRADICTION = 2.0
"""Log weight that a modality loses whose readings are the opposite of the more reliable one's."""
CONTRADICTION_STEPS = 50
"""A correlation over fewer steps says nothing."""


def local_mean(x: Tensor, there: Tensor, half: Tensor) -> Tensor:
    """The mean over the observed steps of a centred window, cut at the ends of the sequence; 0 where there is none.

    Args:
        x: (b, t, ..., k).
        there: (b, t, ..., 1), 1 where observed, else 0.
        half: (b,) steps of the window before and after its centre.
    """
    sums = F.pad(torch.cat([x * there, there], dim=-1).flatten(2).double().cumsum(dim=1), (0, 0, 1, 0))  # (b, t + 1, n)
    steps = torch.arange(x.shape[1], device=x.device)[None]  # (1, t)
    start, end = (steps - half[:, None]).clamp(min=0), (steps + half[:, None] + 1).clamp(max=x.shape[1])
    first, last = (sums.gather(1, i[..., None].expand(-1, -1, sums.shape[-1])) for i in (start, end))
    inside = (last - first).view(*x.shape[:-1], x.shape[-1] + 1)
    mean: Tensor = inside[..., :-1] / inside[..., -1:].clamp(min=1.0)
    return mean.to(x.dtype)


class ReadingGate(nn.Module):
    """What the network of `iaca_plus` adds to late fusion: log weights and a correction, both 0 at the start [ours].

    logits_md = Linear(f),  correction = tanh(regressor(f)), of the fused features f. Last layers start at zero.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.logits = nn.Linear(len(config.modalities) * config.width, len(config.modalities) * 2)
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, fused: Tensor, reliability: Tensor) -> Tensor:
        """Fused features (b, t, f), learned reliability (b, t, modality) in [0, 1] -> (b, t, modality, 2)."""
        logits: Tensor = self.logits(fused).view(*reliability.shape, 2)
        trust = reliability.clamp(min=torch.finfo(torch.float32).tiny).log()  # absent ones are masked later
        return torch.where(reliability[..., None] > 0, logits + trust[..., None], 0.0)
