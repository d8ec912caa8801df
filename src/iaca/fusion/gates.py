"""The gates: which features to trust, step by step. Their weights are the model's explanation.

First the gate and the two stages of `dca` and `iaca`. What `iaca_plus` adds is in `iaca_plus.py`. [paper], [sibling]
and [ours] are explained in `model.py`.

Letters: b batch, t steps, d width, m a modality, n the other one, k ways of a gate, T temperature, p_m presence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.attention import EncoderLayer, Masks
from iaca.fusion.config import FusionConfig

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


GATES: dict[str, type[nn.Module]] = {"dca": Gating, "iaca": Gating, "iaca_plus": Gating}
"""Name in `FusionConfig.gate` -> class, built as `Class(config)`; `config.GATE_PARTS` has the same names."""
