"""The gates: which features to trust, step by step. Their weights are the model's explanation.

The gate, the two stages of `dca` and `iaca`, the gates that weigh every layer of a recursive attention (`grjca`,
`hgrjca`, `tagf`), and two fusions without attention across the modalities (`cold`, `raav`). What `iaca_plus` adds is in
`iaca_plus.py`. [paper], [sibling] and [ours] are explained in `model.py`.

Letters: b batch, t steps, d width, m a modality, n the other one, k ways of a gate, T temperature, p_m presence,
X_m0 the stream that enters the attention, X_mi the output of its layer i = 1 ... l.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.attention import EncoderLayer, HeadsInto, Masks, causal_memory, log_presence
from iaca.fusion.config import FusionConfig
from iaca.fusion.temporal import TemporalTransformer, UnitBiLSTM

Features = dict[str, Tensor]  # modality -> (b, t, d)
PENALTY = 2.0  # at the start, before softplus: an absent modality weighs about a ninth of what it would


# --- the gate and its two stages ---


class Gate(nn.Module):
    """G = softmax(Linear(g) / T + bias) [sibling, exact; the bias of presence is ours, and zero where all is observed].

    Starts at zero weights, hence undecided [ours]: with T = 0.1 and torch's own initialisation it saturates at once.
    """

    def __init__(self, inputs: int, ways: int, config: FusionConfig):
        super().__init__()
        self.temperature, self.undecided = config.temperature, config.gate_init == "zero"
        self.linear = nn.Linear(inputs, ways)
        self.start()

    def start(self) -> None:
        """Make the gate undecided, if it is to start like that."""
        if self.undecided:
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
        self.gates = nn.ModuleDict({m: Gate(d, 2, config) for m, d in config.widths.items()})
        self.absence = nn.ModuleDict({m: Absence(1) for m in config.modalities})

    def forward(self, own: Features, crossed: Features, masks: Masks) -> tuple[Features, Features]:
        """Features (b, t, d) per modality -> gated features (b, t, d), weights (b, t, 2) (own, cross) per modality."""
        weights, gated = {}, {}
        for m, gate in self.gates.items():
            bias = F.pad(self.absence[m](masks.other(m)), (1, 0))  # (b, t, 2): 0, and the absence of the other modality
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
    """Hierarchical stage 2 [ours, after `hgrjca`, which gates within a modality on top of gates].

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
            {
                m: EncoderLayer(d, heads, dropout, config.locality, causal_memory(config))
                for m in config.modalities
                if config.self_attends
            }
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


# --- gates over every layer of a recursive attention ---


class LayerGate(nn.Module):
    """relu(sum_i G_i X_i), G = softmax(Linear(fed) / T + absence of n in all but the first) [sibling; absence ours]."""

    def __init__(self, width: int, ways: int, config: FusionConfig):
        super().__init__()
        self.gate = Gate(width, ways, config)
        self.absence = Absence(ways - 1)

    def forward(self, fed: Tensor, states: Sequence[Tensor], other: Tensor) -> tuple[Tensor, Tensor]:
        """What feeds the gate and k states (b, t, d), presence of n (b, t) -> mixture (b, t, d), weights (b, t, k)."""
        bias = F.pad(self.absence(*[other] * (len(states) - 1)), (1, 0))  # (b, t, k)
        weights: Tensor = self.gate(fed, bias)
        return mix(weights, states), weights


def layer_labels(layers: int) -> tuple[str, ...]:
    """Names of X_0 ... X_l: raw, layer1, layer2, ..."""
    return ("raw", *(f"layer{i}" for i in range(1, layers + 1)))


class GatedLayers(nn.Module):
    """`grjca` [sibling]: per modality one gate over all states, fed by the last one.

    f_m = relu(sum_i G_mi X_mi),  G_m = softmax(X_ml W_m / T + absence)
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.gates = nn.ModuleDict({m: LayerGate(d, config.layers + 1, config) for m, d in config.widths.items()})
        self.labels: dict[str, tuple[str, ...]] = dict.fromkeys(config.widths, layer_labels(config.layers))

    def forward(self, raw: Features, layers: list[Features], masks: Masks) -> tuple[Features, Features]:
        """Features (b, t, d) before the attention and of each layer -> fused features (b, t, d), gates (b, t, k)."""
        fused, weights = {}, {}
        for m, gate in self.gates.items():
            states = [raw[m], *(layer[m] for layer in layers)]
            fused[m], weights[m] = gate(states[-1], states, masks.other(m))
        return fused, weights


class HierarchicalLayers(nn.Module):
    """`hgrjca` [sibling]: per modality a gate up to each of two layers, and one across the results.

    Y_1 = relu(gate of (X_0, X_1), fed by X_1);  Y_2 = relu(gate of (X_0, X_1, X_2), fed by X_2)
    f_m = relu(gate of (Y_1, Y_2), fed by X_2)
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.first = nn.ModuleDict({m: LayerGate(d, 2, config) for m, d in config.widths.items()})
        self.second = nn.ModuleDict({m: LayerGate(d, 3, config) for m, d in config.widths.items()})
        self.across = nn.ModuleDict({m: Gate(d, 2, config) for m, d in config.widths.items()})
        self.labels: dict[str, tuple[str, ...]] = {}
        for m in config.widths:
            self.labels |= {f"{m}_first": layer_labels(1), f"{m}_second": layer_labels(2), m: ("first", "second")}

    def forward(self, raw: Features, layers: list[Features], masks: Masks) -> tuple[Features, Features]:
        """Features (b, t, d) before the attention and of both layers -> fused features (b, t, d), gates (b, t, k)."""
        fused, weights = {}, {}
        for m in raw:
            x_0, x_1, x_2 = raw[m], layers[0][m], layers[1][m]
            y_1, weights[f"{m}_first"] = self.first[m](x_1, [x_0, x_1], masks.other(m))
            y_2, weights[f"{m}_second"] = self.second[m](x_2, [x_0, x_1, x_2], masks.other(m))
            weights[m] = self.across[m](x_2)
            fused[m] = mix(weights[m], [y_1, y_2])
        return fused, weights


class RecurrentLayers(nn.Module):
    """`tagf` [after TAGF, arXiv 2507.02080]: a BiLSTM over the states of one step, not over time, says which count.

    y = UnitBiLSTM(X_m0, ..., X_ml);  G_m = softmax(mean over d of y / T + absence);  f_m = sum_i G_mi X_mi
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.temperature = config.temperature
        self.over_layers = nn.ModuleDict({m: UnitBiLSTM(d, d, 1, config.dropout) for m, d in config.widths.items()})
        self.absence = nn.ModuleDict({m: Absence(config.layers) for m in config.widths})
        self.labels: dict[str, tuple[str, ...]] = dict.fromkeys(config.widths, layer_labels(config.layers))

    def forward(self, raw: Features, layers: list[Features], masks: Masks) -> tuple[Features, Features]:
        """Features (b, t, d) before the attention and of each layer -> fused features (b, t, d), gates (b, t, k)."""
        fused, weights = {}, {}
        for m, over_layers in self.over_layers.items():
            states = torch.stack([raw[m], *(layer[m] for layer in layers)], dim=2)  # (b, t, k, d)
            of_step = states.flatten(0, 1)  # (b t, k, d)
            scores = over_layers(of_step, of_step.new_ones(of_step.shape[:2], dtype=torch.bool)).mean(dim=-1)
            bias = F.pad(self.absence[m](*[masks.other(m)] * len(layers)), (1, 0))  # (b, t, k)
            weights[m] = torch.softmax(scores.view_as(bias).to(bias.dtype) / self.temperature + bias, dim=-1)
            fused[m] = (weights[m][..., None] * states).sum(dim=2)  # (b, t, d)
        return fused, weights


# --- fusion of streams that have not met ---

LIMIT = 5.0
"""Largest size of a log variance: the precisions of two modalities differ by e^10 at most."""


class LatentFusion(nn.Module):
    """`cold` [after COLD Fusion, arXiv 2206.05833; form ours]: per step each modality has a latent normal distribution.

    mu_m, log s_m^2 = Linear(x_m), the latter within +-5
    w_m = p_m s_m^-2 / (p_a s_a^-2 + p_v s_v^-2), per feature;  z = sum_m w_m mu_m

    In training the head also reads each mean alone, and `iaca.training.loss.latent_loss` makes the variances calibrated
    and ordered: proportional to the squared error of what is read. The gate is the mean of w_m over the features.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.mean = nn.ModuleDict({m: nn.Linear(d, d) for m, d in config.widths.items()})
        self.log_variance = nn.ModuleDict({m: nn.Linear(d, d) for m, d in config.widths.items()})
        for linear in self.log_variance.values():  # at first, both modalities weigh the same
            nn.init.zeros_(linear.weight)  # type: ignore[arg-type]  # a ModuleDict forgets its types
            nn.init.zeros_(linear.bias)  # type: ignore[arg-type]
        self.labels = {"modalities": tuple(config.modalities)}

    def latents(self, raw: Features) -> dict[str, tuple[Tensor, Tensor]]:
        """Streams (b, t, d) -> mean and log variance (b, t, d) per modality."""
        return {m: (self.mean[m](x), LIMIT * torch.tanh(self.log_variance[m](x) / LIMIT)) for m, x in raw.items()}

    def weigh(self, latents: dict[str, tuple[Tensor, Tensor]], masks: Masks) -> tuple[Features, Features]:
        """`latents` -> one stream (b, t, d), gate (b, t, 2) (audio, visual)."""
        means = torch.stack([mean for mean, _ in latents.values()], dim=2)  # (b, t, m, d)
        precision = torch.stack([log_presence(masks.of(m))[..., None] - s for m, (_, s) in latents.items()], dim=2)
        weights = torch.softmax(precision, dim=2)  # (b, t, m, d)
        return {"both": (weights * means).sum(dim=2)}, {"modalities": weights.mean(dim=-1)}

    def forward(self, raw: Features, crossed: Features, masks: Masks) -> tuple[Features, Features]:
        """Streams (b, t, d) per modality -> one stream (b, t, d), gate (b, t, 2)."""
        return self.weigh(self.latents(raw), masks)


LATENTS = 4  # published


class BottleneckFusion(nn.Module):
    """`raav` [after RAAV, ABAW10; form ours]: a gated sum that reads what a few latents have heard.

    G = softmax over m of [MLP_m(x_m) + prior_m + log p_m],  MLP = Linear-GELU-Linear;  x = sum_m G_m x_m
    l = attention of K = 4 learned latents to the voice, over time;  f = transformer(x + attention of x to l)
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d = config.width
        self.score = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(d, max(d // 2, 1)), nn.GELU(), nn.Linear(max(d // 2, 1), 1))
                for m in config.widths
            }
        )
        self.prior = nn.Parameter(torch.zeros(len(config.modalities)))
        self.latents = nn.Parameter(torch.randn(LATENTS, d) * d**-0.5)
        self.hear = HeadsInto(config)
        self.read = HeadsInto(config)
        self.over_time = TemporalTransformer(config)
        self.labels = {"modalities": tuple(config.modalities)}

    def forward(self, raw: Features, crossed: Features, masks: Masks) -> tuple[Features, Features]:
        """Streams (b, t, d) per modality -> one stream (b, t, d), gate (b, t, 2) (audio, visual)."""
        scores = torch.cat([score(raw[m]) for m, score in self.score.items()], dim=-1) + self.prior  # (b, t, 2)
        presence = torch.stack([log_presence(masks.of(m)) for m in raw], dim=-1)  # (b, t, 2)
        weights = torch.softmax(scores.to(presence.dtype) + presence, dim=-1)
        x = (weights[..., None] * torch.stack(list(raw.values()), dim=2)).sum(dim=2)  # (b, t, d)
        latents = self.latents.expand(x.shape[0], -1, -1)  # (b, K, d)
        heard = self.hear(latents, raw["audio"], masks.key_bias(masks.audio))  # (b, K, d)
        x = self.read(x, heard, heard.new_zeros(1, 1, 1, LATENTS))  # (b, t, d)
        return {"both": self.over_time(x, masks.either, masks)}, {"modalities": weights}


GATES: dict[str, type[nn.Module]] = {
    "dca": Gating,
    "grjca": GatedLayers,
    "hgrjca": HierarchicalLayers,
    "tagf": RecurrentLayers,
    "cold": LatentFusion,
    "raav": BottleneckFusion,
    "iaca": Gating,
    "iaca_plus": Gating,
}
"""Name in `FusionConfig.gate` -> class, built as `Class(config)`; `config.GATE_PARTS` has the same names."""
