"""Gates over every layer, and fusion without attention across modalities: their equations in plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusion_models import SMALL, some_inputs, some_model
from torch import Tensor, nn
from torch.testing import assert_close

from iaca.fusion import FusionConfig, FusionModel, preset
from iaca.fusion.attention import Masks
from iaca.fusion.gates import (
    LATENTS,
    LIMIT,
    PENALTY,
    BottleneckFusion,
    GatedLayers,
    HierarchicalLayers,
    LatentFusion,
    RecurrentLayers,
)

D, B, T = 4, 2, 5
CONFIG = FusionConfig(
    audio_dim=1, visual_dim=1, width=D, heads=1, dropout=0.0, attention="rjca", gate="grjca", temperature=0.5,
    gate_init="default",
)  # fmt: skip


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def features(seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {m: torch.randn(B, T, D, generator=rng, dtype=torch.float64) for m in ("audio", "visual")}


def everywhere(visual: Tensor | None = None) -> Masks:
    return Masks.build(torch.zeros(B, T, D, dtype=torch.float64), None, visual, None)


def logits(linear: nn.Module, x: Tensor) -> np.ndarray:
    return (x.numpy() @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()) / CONFIG.temperature


def mixed(weights: np.ndarray, states: list[Tensor]) -> np.ndarray:
    return np.maximum(sum(weights[..., i : i + 1] * x.numpy() for i, x in enumerate(states)), 0)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_grjca_is_one_gate_over_what_enters_the_attention_and_every_layer(layers: int) -> None:
    torch.manual_seed(0)
    gates = GatedLayers(CONFIG.model_copy(update={"layers": layers})).double()
    raw, given = features(0), [features(i) for i in range(1, layers + 1)]
    fused, weights = gates(raw, given, everywhere())
    for m, gate in gates.gates.items():
        states = [raw[m], *(layer[m] for layer in given)]
        expected = softmax(logits(gate.gate.linear, states[-1]))
        assert_close(weights[m], torch.from_numpy(expected), rtol=0, atol=1e-12)
        assert_close(fused[m], torch.from_numpy(mixed(expected, states)), rtol=0, atol=1e-12)


def test_where_the_other_modality_is_absent_every_layer_loses_but_not_the_stream_itself() -> None:
    gates = GatedLayers(CONFIG.model_copy(update={"gate_init": "zero"})).double()
    _, weights = gates(features(0), [features(1), features(2)], everywhere(torch.zeros(B, T, dtype=torch.bool)))
    odds = 1 / (1 + np.exp(PENALTY))
    assert_close(weights["audio"][0, 0], torch.tensor([1, odds, odds]).double() / (1 + 2 * odds), rtol=0, atol=1e-7)
    assert_close(weights["visual"][0, 0], torch.full((3,), 1 / 3).double(), rtol=0, atol=1e-7)


def test_hgrjca_gates_up_to_each_layer_and_then_across_the_results() -> None:
    torch.manual_seed(0)
    gates = HierarchicalLayers(CONFIG).double()
    raw, (one, two) = features(0), (features(1), features(2))
    fused, weights = gates(raw, [one, two], everywhere())
    for m in ("audio", "visual"):
        x_0, x_1, x_2 = raw[m], one[m], two[m]
        first = softmax(logits(gates.first[m].gate.linear, x_1))
        second = softmax(logits(gates.second[m].gate.linear, x_2))
        across = softmax(logits(gates.across[m].linear, x_2))
        y_1, y_2 = mixed(first, [x_0, x_1]), mixed(second, [x_0, x_1, x_2])
        expected = mixed(across, [torch.from_numpy(y) for y in (y_1, y_2)])
        assert_close(fused[m], torch.from_numpy(expected), rtol=0, atol=1e-12)
        for name, of_one in ((f"{m}_first", first), (f"{m}_second", second), (m, across)):
            assert_close(weights[name], torch.from_numpy(of_one), rtol=0, atol=1e-12)


def test_tagf_reads_the_layers_of_one_step_as_a_sequence() -> None:
    """Against `nn.LSTM` with learned initial states, [x ; h] through a linear layer, scaled to unit length."""
    torch.manual_seed(0)
    gates = RecurrentLayers(CONFIG.model_copy(update={"temperature": 0.1})).double()
    raw, given = features(0), [features(1), features(2)]
    fused, weights = gates(raw, given, everywhere())
    for m, block in gates.over_layers.items():
        torchs = nn.LSTM(D, D // 2, bidirectional=True, batch_first=True).double()
        ways = {"": block.layers[0].ahead, "_reverse": block.layers[0].back}
        torchs.load_state_dict({name + end: x for end, way in ways.items() for name, x in way.state_dict().items()})
        states = torch.stack([raw[m], *(layer[m] for layer in given)], dim=2)  # (b, t, 3, d)
        for b in range(B):
            for t in range(T):
                of_step = states[b, t][None]  # (1, 3, d)
                hidden, _ = torchs(of_step, (block.start[0, 0][:, None], block.start[1, 0][:, None]))
                y = nn.functional.normalize(block.out(torch.cat([of_step, hidden], dim=-1)), dim=-1)[0]
                expected = torch.softmax(y.mean(dim=-1) / 0.1, dim=0)
                assert_close(weights[m][b, t], expected, rtol=0, atol=1e-12)
                assert_close(fused[m][b, t], (expected[:, None] * states[b, t]).sum(dim=0), rtol=0, atol=1e-12)


def test_tagf_does_not_look_at_other_steps() -> None:
    torch.manual_seed(0)
    gates = RecurrentLayers(CONFIG).double()
    raw, given = features(0), [features(1), features(2)]
    whole, _ = gates(raw, given, everywhere())
    cut = [{m: x[:, 2:3] for m, x in one.items()} for one in (raw, *given)]
    alone, _ = gates(cut[0], cut[1:], Masks.build(cut[0]["audio"], None, None, None))
    assert_close(alone["audio"], whole["audio"][:, 2:3], rtol=0, atol=1e-12)


def test_cold_weighs_each_feature_by_the_precision_of_its_modality() -> None:
    torch.manual_seed(0)
    gate = LatentFusion(CONFIG).double()
    for linear in gate.log_variance.values():
        nn.init.normal_(linear.weight, std=3.0)
    raw = features(0)
    there = torch.ones(B, T, dtype=torch.bool)
    there[0, 1] = False
    fused, weights = gate(raw, raw, everywhere(there))
    mean = {
        m: (x.numpy() @ gate.mean[m].weight.detach().numpy().T) + gate.mean[m].bias.detach().numpy()
        for m, x in raw.items()
    }
    log = {m: x.numpy() @ gate.log_variance[m].weight.detach().numpy().T for m, x in raw.items()}
    precision = {m: np.exp(-LIMIT * np.tanh(z / LIMIT)) for m, z in log.items()}
    precision["visual"][0, 1] = 0.0  # not observed
    total = precision["audio"] + precision["visual"]
    expected = sum(precision[m] * mean[m] for m in raw) / total
    assert_close(fused["both"], torch.from_numpy(expected), rtol=0, atol=1e-9)
    share = (precision["audio"] / total).mean(axis=-1)
    assert_close(weights["modalities"][..., 0], torch.from_numpy(share), rtol=0, atol=1e-9)


def test_cold_predicts_from_each_modality_alone_in_training_and_not_in_evaluation() -> None:
    model, inputs = (
        some_model(preset("cold", 3, 5, **{k: v for k, v in SMALL.items() if "dim" not in k})),
        some_inputs(),
    )
    assert inputs.through(model).alone == {}
    alone = inputs.through(model.train()).alone
    assert {m: tuple(x.shape) for m, x in alone.items()} == dict.fromkeys(("audio", "visual"), (3, 9, 3))


def test_raav_gates_the_sum_that_reads_what_latents_heard_of_the_voice() -> None:
    torch.manual_seed(0)
    gate = BottleneckFusion(CONFIG).double().eval()
    gate.prior.data = torch.tensor([0.3, -0.4], dtype=torch.float64)
    raw, there = features(0), torch.ones(B, T, dtype=torch.bool)
    there[1, 3] = False
    masks = everywhere(there)
    _, weights = gate(raw, raw, masks)
    scores = torch.cat([gate.score[m](raw[m]) for m in raw], dim=-1) + gate.prior
    expected = torch.softmax(scores, dim=-1)
    expected[1, 3] = torch.tensor([1.0, 0.0])
    assert_close(weights["modalities"], expected, rtol=0, atol=1e-9)
    assert gate.latents.shape == (LATENTS, D)
    louder = {**raw, "audio": raw["audio"].clone()}
    louder["audio"][0, 0] += 1.0
    changed = gate(louder, louder, masks)[0]["both"] - gate(raw, raw, masks)[0]["both"]
    assert changed[0, -1].abs().max() > 1e-6  # through the latents, far from the step
    assert not changed[1].any()


@pytest.mark.parametrize("gate", ["dca", "grjca", "hgrjca", "tagf"])
def test_iaca_over_a_sibling_takes_its_output_for_the_cross_attended_features(gate: str) -> None:
    attention = "ca" if gate == "dca" else "rjca"
    model = some_model(FusionConfig(**SMALL, attention=attention, inner_gate=gate))
    seen: dict[str, tuple] = {}
    model.inner.register_forward_hook(lambda _, given, out: seen.update(inner=out[0]))
    model.gating.register_forward_pre_hook(lambda _, given: seen.update(outer=given))
    output = some_inputs().through(model)
    assert all(torch.equal(seen["outer"][1][m], x) for m, x in seen["inner"].items())
    assert {f"inner_{name}" for name in model.inner.labels} < set(output.gates)


def test_a_layered_gate_reads_what_each_layer_of_the_attention_gives() -> None:
    model, inputs = some_model(FusionConfig(**SMALL, attention="rjca", gate="grjca")), some_inputs()
    seen: list = []
    model.gating.register_forward_pre_hook(lambda _, given: seen.append(given))
    inputs.through(model)
    raw, layers, masks = seen[0]
    once = FusionModel(model.config.model_copy(update={"attention": "jca", "gate": "none", "layers": 1})).attention
    once.layers[0].load_state_dict(model.attention.layers[0].state_dict())
    first = once.eval()(raw["audio"], raw["visual"], masks)
    assert torch.equal(first[0], layers[0]["audio"])
    assert torch.equal(model.attention(raw["audio"], raw["visual"], masks)[1], layers[1]["visual"])
