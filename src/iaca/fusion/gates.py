"""The gates: which features to trust, step by step. Their weights are the model's explanation.

First the gate and the two stages of `dca` and `iaca`, then what `iaca_plus` adds: learned reliability, and the repair
of gaps. [paper], [sibling] and [ours] are explained in `model.py`.

Letters: b batch, t steps, d width, e hidden width, m a modality, n the other one, k ways of a gate, T temperature,
q cues, n (in the repair) reaches, p_m presence, r_m reliability: how far m counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.attention import EncoderLayer, Masks
from iaca.fusion.config import FusionConfig
from iaca.fusion.temporal import TemporalConvolution

Features = dict[str, Tensor]  # modality -> (b, t, d)
PENALTY = 2.0  # at the start, before softplus: an absent modality weighs about a ninth of what it would


# --- the gate and its two stages ---


class Gate(nn.Module):
    """G = softmax(Linear(g) / T + bias) [sibling, exact; the bias of presence is ours, and zero where all is observed].

    Starts at zero weights, hence undecided [ours]: with T = 0.1 and torch's own initialisation it saturates at once.
    """

    def __init__(self, inputs: int, ways: int, config: FusionConfig):
        super().__init__()
        self.temperature = config.temperature
        self.linear = nn.Linear(inputs, ways)
        if config.gate_init == "zero":
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, bias: Tensor | None = None) -> Tensor:
        """(b, t, inputs), bias (b, t, k) -> weights (b, t, k) that sum to one."""
        logits: Tensor = self.linear(features) / self.temperature
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # bfloat16 is coarse at T = 0.1
        return torch.softmax(logits if bias is None else logits + bias, dim=-1)


class Absence(nn.Module):
    """-softplus(w_i) (1 - p_i): what each option of a gate loses where what it is made of is absent [ours].

    Finite and learned, not log p: a modality that is absent at this step was observed a moment ago, and what attention
    carries over from there is worth something.
    """

    def __init__(self, options: int):
        super().__init__()
        self.loss = nn.Parameter(torch.full((options,), PENALTY))

    def forward(self, *presence: Tensor) -> Tensor:
        """Presence (b, t) of each option -> (b, t, k)."""
        return -F.softplus(self.loss) * (1.0 - torch.stack(presence, dim=-1))


def mix(weights: Tensor, features: Sequence[Tensor]) -> Tensor:
    """relu(sum_i G_i * X_i) [sibling]: weights (b, t, k), k features (b, t, d) -> (b, t, d)."""
    first, *others = (weights[..., i : i + 1] * x for i, x in enumerate(features))  # (b, t, 1) * (b, t, d)
    return sum(others, first).relu()


class StageOne(nn.Module):
    """Per modality, a two-way gate between its own features s_m and the cross-attended ones c_m.

    G_m = softmax(c_m W_g,m / T + [0, absence of n]);  g_m = relu(G_m0 s_m + G_m1 c_m)

    `iaca` [paper]: s_m is self-attended. `dca` [sibling]: s_m is what went into the attention.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.gates = nn.ModuleDict({m: Gate(config.width, 2, config) for m in config.modalities})
        self.absence = nn.ModuleDict({m: Absence(1) for m in config.modalities})

    def forward(self, own: Features, crossed: Features, masks: Masks) -> tuple[Features, Features]:
        """Features (b, t, d) per modality -> gated features (b, t, d), weights (b, t, 2) (own, cross) per modality."""
        other = {"audio": masks.visual, "visual": masks.audio}
        weights, gated = {}, {}
        for m, gate in self.gates.items():
            bias = F.pad(self.absence[m](other[m]), (1, 0))  # (b, t, 2): 0, and the absence of the other modality
            weights[m] = gate(crossed[m], bias)  # (b, t, 2)
            gated[m] = mix(weights[m], [own[m], crossed[m]])  # (b, t, d)
        return gated, weights


class AcrossModalities(nn.Module):
    """Stage 2 of `iaca` [paper: "fuses modalities while downweighting corrupted information"; form ours].

    S = softmax(Linear([g_a ; g_v]) / T + absence of [a, v]);  f = [2 S_a g_a ; 2 S_v g_v]

    The factor 2 makes an undecided gate the identity. g_m >= 0, so another relu would change nothing.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.gate = Gate(2 * config.width, 2, config)
        self.absence = Absence(2)

    def forward(self, raw: Features, gated: Features, masks: Masks) -> tuple[Features, Features]:
        """Gated features (b, t, d) -> weighted features (b, t, d), weights (b, t, 2) (audio, visual)."""
        bias = self.absence(masks.audio, masks.visual)  # (b, t, 2)
        weights = self.gate(torch.cat([gated["audio"], gated["visual"]], dim=-1), bias)  # (b, t, 2)
        s_a, s_v = weights[..., :1], weights[..., 1:]  # (b, t, 1) twice
        return {"audio": 2 * s_a * gated["audio"], "visual": 2 * s_v * gated["visual"]}, {"modalities": weights}


class WithinModalities(nn.Module):
    """Hierarchical stage 2 [sibling: GRJCA gates within a modality on top of gates; form ours].

    S_m = softmax(g_m W_s,m / T);  f_m = relu(S_m0 h_m + S_m1 g_m), h_m being the features before any attention.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.gates = nn.ModuleDict({m: Gate(config.width, 2, config) for m in config.modalities})

    def forward(self, raw: Features, gated: Features, masks: Masks) -> tuple[Features, Features]:
        """Features (b, t, d) per modality -> features (b, t, d), weights (b, t, 2) (raw, gated) per modality."""
        weights = {m: gate(gated[m]) for m, gate in self.gates.items()}  # (b, t, 2)
        return {m: mix(w, [raw[m], gated[m]]) for m, w in weights.items()}, {
            f"{m}_hierarchy": w for m, w in weights.items()
        }


STAGE2: dict[str, type[nn.Module]] = {"modalities": AcrossModalities, "hierarchical": WithinModalities}
STAGE2_LABELS: dict[str, dict[str, tuple[str, ...]]] = {
    "modalities": {"modalities": ("audio", "visual")},
    "hierarchical": {"audio_hierarchy": ("raw", "gated"), "visual_hierarchy": ("raw", "gated")},
    "none": {},
}


class Gating(nn.Module):
    """`dca` and `iaca`: own features, stage 1, stage 2. `iaca` on raw features without stage 2 is `dca`."""

    def __init__(self, config: FusionConfig):
        super().__init__()
        d, heads, dropout = config.width, config.heads, config.dropout
        self.attend = nn.ModuleDict(
            {m: EncoderLayer(d, heads, dropout, config.locality) for m in config.modalities if config.self_attends}
        )
        self.stage1 = StageOne(config)
        self.stage2 = None if config.stage2 == "none" else STAGE2[config.stage2](config)
        own = "self" if config.self_attends else "raw"
        stage1_labels: dict[str, tuple[str, ...]] = dict.fromkeys(config.modalities, (own, "cross"))
        self.labels = stage1_labels | STAGE2_LABELS[config.stage2]

    def forward(self, raw: Features, crossed: Features, masks: Masks) -> tuple[Features, Features]:
        """Features before and after cross-attention (b, t, d) -> fused features (b, t, d), gates name -> (b, t, k)."""
        own = raw | {m: layer(raw[m], masks.of(m), masks) for m, layer in self.attend.items()}  # s_m (b, t, d)
        fused, gates = self.stage1(own, crossed, masks)
        if self.stage2 is None:
            return fused, gates
        fused, more = self.stage2(raw, fused, masks)
        return fused, gates | more


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
    it spreads. mu_m is the mean of x_m over the observed steps of the sequence: a stretch of another person stands out
    against the rest of its stream, which tells *which* of two contradicting modalities is wrong. The product of mouth
    motion and sound level, smoothed by the TCN, is their covariance: does the mouth move with the sound?
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
    like no stream at all.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.fill = nn.ModuleDict({m: Fill() for m in config.modalities})

    def forward(
        self, embedded: dict[str, Tensor], tokens: dict[str, Tensor], masks: Masks
    ) -> tuple[dict[str, Tensor], Masks]:
        """Projected embeddings (b, t, d) and the absent token (d,) per modality -> both, repaired."""
        repaired, known = dict(embedded), {}
        for m, fill in self.fill.items():
            repaired[m], known[m] = fill(embedded[m], tokens[m], masks.of(m))
            known[m] = known[m] * masks.steps
        return repaired, replace(masks, **known)


class Fill(nn.Module):
    """The repair of one modality."""

    def __init__(self) -> None:
        super().__init__()
        n = len(REACHES)
        self.rate = nn.Parameter(torch.tensor([math.log(math.expm1(1.0 / reach)) for reach in REACHES]))
        choice = nn.Linear(HIDDEN, 1 + n)  # the token, and each reach
        with torch.no_grad():
            choice.bias.copy_(torch.tensor([DOUBT] + n * [0.0]))
        self.judge = nn.Sequential(nn.Linear(n, HIDDEN), nn.ReLU(), choice)

    def forward(self, x: Tensor, token: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """x (b, t, d), token (d,), presence (b, t) -> x and presence, repaired."""
        there = presence.to(x.dtype)  # r (b, t)
        kernel = self._kernel(x)  # K (n, t, t)
        mass = (there @ kernel).permute(1, 2, 0)  # K_i r (b, t, n)
        weights = torch.softmax(self.judge((mass + FAINT).log()), dim=-1)  # w (b, t, 1 + n)
        shares = weights[..., 1:] / (mass + FAINT)  # (b, t, n)
        taken = (shares.transpose(0, 1) @ kernel.transpose(0, 1)).transpose(0, 1)  # sum_i w_i K_i / K_i r (b, t, t)
        filled = weights[..., :1] * token + (taken * there[:, None]) @ x  # (b, t, d)
        known = presence + (1.0 - presence) * (1.0 - weights[..., 0]).to(presence.dtype)
        return there[..., None] * x + (1.0 - there[..., None]) * filled, known

    def _kernel(self, x: Tensor) -> Tensor:
        """How much each reach counts a step at each distance, (n, t, t)."""
        steps = torch.arange(x.shape[1], device=x.device)
        distance = (steps[:, None] - steps[None]).abs().to(self.rate.dtype)  # (t, t)
        return torch.exp(-F.softplus(self.rate)[:, None, None] * distance).to(x.dtype)


GATES: dict[str, type[nn.Module]] = {"dca": Gating, "iaca": Gating, "iaca_plus": Gating}
"""Name in `FusionConfig.gate` -> class, built as `Class(config)`; `config.GATE_PARTS` has the same names."""
