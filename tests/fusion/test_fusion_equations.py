"""The equations against plain arithmetic, and the anchors between members of the family."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fusion_models import SMALL, every_combination, some_inputs, some_model
from torch.testing import assert_close

from iaca.errors import InputError
from iaca.fusion import FusionConfig, FusionModel
from iaca.fusion.attention import (
    CrossAttention,
    EncoderLayer,
    FixedJointLayer,
    JointLayer,
    LeaderFollower,
    Masks,
    MultiHeadCrossAttention,
)
from iaca.fusion.gates import PENALTY, AcrossModalities, Gate, StageOne, WithinModalities, mix
from iaca.fusion.iaca_plus import FAINT, REACHES, Fill
from iaca.fusion.temporal import TemporalTransformer, positions

# three steps of width two: small enough to follow with a pencil
X_A = np.array([[1.0, 0.0], [0.5, -0.5], [0.0, 2.0]])
X_V = np.array([[0.2, 1.0], [-1.0, 0.3], [0.7, 0.4]])
TINY = FusionConfig(audio_dim=1, visual_dim=1, width=2, heads=1, dropout=0.0, locality=False)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def batch(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x)[None]


def masks(audio: list[int] | None = None, visual: list[int] | None = None) -> Masks:
    present = [None if m is None else torch.tensor([m]) for m in (audio, visual)]
    return Masks.build(batch(X_A), *present, None)


def affine(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    bias = 0.0 if layer.bias is None else layer.bias.detach().numpy()
    return x @ layer.weight.detach().numpy().T + bias


def test_ca_worked_by_hand() -> None:
    """With W = 1: Z = X_a X_v^T = [[.2, -1, .7], [-.4, -.65, .15], [2, .6, .8]]."""
    layer = CrossAttention(TINY).double()
    layer.correlation.data = torch.eye(2, dtype=torch.float64)
    c_a, c_v = layer(batch(X_A), batch(X_V), masks())
    e = np.exp([0.2, -1.0, 0.7])
    first = np.tanh([1.0 + (e @ X_V)[0] / e.sum(), 0.0 + (e @ X_V)[1] / e.sum()])
    assert_close(c_a[0, 0], torch.from_numpy(first), atol=1e-6, rtol=0)
    assert_close(c_v[0], torch.from_numpy(np.tanh(X_V + softmax((X_A @ X_V.T).T) @ X_A)), atol=1e-6, rtol=0)


def test_ca_with_any_correlation_and_an_absent_source_step() -> None:
    layer = CrossAttention(TINY).double()
    w = np.array([[0.3, -1.2], [0.8, 0.5]])
    layer.correlation.data = torch.from_numpy(w)
    c_a, c_v = layer(batch(X_A), batch(X_V), masks(visual=[1, 0, 1]))
    z = X_A @ w @ X_V.T
    seen = [0, 2]
    assert_close(c_a[0], torch.from_numpy(np.tanh(X_A + softmax(z[:, seen]) @ X_V[seen])), atol=1e-6, rtol=0)
    assert_close(c_v[0], torch.from_numpy(np.tanh(X_V + softmax(z.T) @ X_A)), atol=1e-6, rtol=0)


def test_jca_fixed_worked_by_hand() -> None:
    layer = FixedJointLayer(FusionConfig(audio_dim=1, visual_dim=1, width=2, attention="jca_fixed", length=3, heads=1))
    layer = layer.double().eval()
    outputs = layer(batch(X_A), batch(X_V), masks())
    q = affine(layer.joint, np.hstack([X_A, X_V]))  # (t, 2d)
    for x, m, c in zip((X_A, X_V), ("audio", "visual"), outputs, strict=True):
        k = affine(layer.mix[m], x.T)  # (d, t)
        s = np.tanh(k @ q / np.sqrt(4))  # (d, 2d)
        h = np.maximum(np.tanh(affine(layer.query[m], x) @ s), 0)  # (t, 2d)
        assert_close(c[0], torch.from_numpy(x + np.maximum(affine(layer.out[m], h), 0)), atol=1e-6, rtol=0)


def test_jca_free_of_length_worked_by_hand_with_absent_steps() -> None:
    layer = JointLayer(TINY).double()
    p_a, p_v = np.array([1, 0, 0]), np.array([1, 1, 0])  # both, the face alone, nothing
    outputs = layer(batch(X_A), batch(X_V), masks(p_a.tolist(), p_v.tolist()))
    j = np.hstack([X_A * p_a[:, None], X_V * p_v[:, None]])
    key, value = affine(layer.key, j)[:2], affine(layer.joint, j)[:2]  # the third step is no key
    for x, m, c in zip((X_A, X_V), ("audio", "visual"), outputs, strict=True):
        a = softmax(affine(layer.query[m], x) @ key.T / np.sqrt(2))
        h = np.maximum(np.tanh(a @ value), 0)
        assert_close(c[0], torch.from_numpy(x + np.maximum(affine(layer.out[m], h), 0)), atol=1e-6, rtol=0)


def test_locality_takes_a_slope_per_step_of_distance_off_the_score() -> None:
    layer = EncoderLayer(2, 1, 0.0, local=True).double()
    with torch.no_grad():
        layer.locality.slope.fill_(math.log(math.expm1(0.5)))  # softplus of it is 0.5
    x, norm = batch(X_A), layer.norm_attention
    q, k, v = affine(layer.to_qkv, norm(x)[0].detach().numpy()).reshape(3, 3, 2).transpose(1, 0, 2)
    distance = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    weights = softmax(q @ k.T / np.sqrt(2) - 0.5 * distance)
    attended = X_A + affine(layer.out, weights @ v)
    s = torch.from_numpy(attended)
    assert_close(
        layer(x, masks().audio, masks())[0], s + layer.feedforward(layer.norm_feedforward(s)), atol=1e-6, rtol=0
    )


def test_mha_is_the_multi_head_attention_of_torch() -> None:
    config = TINY.model_copy(update={"heads": 2})
    layer = MultiHeadCrossAttention(config).double().eval()
    outputs = layer(batch(X_A), batch(X_V), masks(audio=[1, 1, 0], visual=[1, 0, 1]))
    sides = ((layer.audio, X_A, X_V, [False, True, False]), (layer.visual, X_V, X_A, [False, False, True]))
    for c, (part, x, other, absent) in zip(outputs, sides, strict=True):
        torchs = torch.nn.MultiheadAttention(2, 2, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            torchs.in_proj_weight.copy_(torch.cat([part.to_query.weight, part.to_key_value.weight]))
            torchs.in_proj_bias.copy_(torch.cat([part.to_query.bias, torch.zeros(4)]))
            torchs.out_proj.load_state_dict(part.out.state_dict())
        mask = torch.tensor([absent])
        attended, _ = torchs(batch(x), batch(other), batch(other), key_padding_mask=mask)
        assert_close(c, batch(x) + attended, atol=1e-6, rtol=0)


def test_lfan_worked_by_hand_with_absent_steps() -> None:
    layer = LeaderFollower(TINY).double().eval()
    c_a, c_v = layer(batch(X_A), batch(X_V), masks(audio=[1, 1, 0]))
    for step, present in enumerate([[0, 1], [0, 1], [1]]):  # which of the two tokens are keys
        tokens = [affine(layer.to_qkv[m], x[step]) for m, x in (("audio", X_A), ("visual", X_V))]
        q, k, v = np.array(tokens).reshape(2, 3, 2).transpose(1, 0, 2)
        y = softmax(q @ k[present].T / np.sqrt(2)) @ v[present]
        assert_close(c_a[0, step], torch.from_numpy(affine(layer.out, y.flatten())), atol=1e-6, rtol=0)
    assert torch.equal(c_v, batch(X_V))


def test_the_transformer_adds_sinusoids_of_the_place_among_the_real_steps() -> None:
    steps = torch.tensor([[True, True, False, True]])
    place = np.array([0, 1, 1, 2])[:, None] * np.array([1.0, 10_000 ** (-2 / 3)])  # d = 3: two rates
    expected = np.stack([np.sin(place), np.cos(place)], axis=-1).reshape(4, 4)[:, :3]
    assert_close(positions(steps, 3)[0], torch.from_numpy(expected).float(), atol=1e-6, rtol=0)
    block = TemporalTransformer(TINY.model_copy(update={"temporal_layers": 1})).eval()
    x, there = batch(X_A).float(), masks()
    assert_close(block(x, there.audio, there), block.layers[0](x + positions(there.steps, 2), there.audio, there))


@pytest.mark.parametrize("attention", ["jca", "rjca"])
def test_without_slopes_locality_changes_nothing_for_one_head(attention: str) -> None:
    near = some_model(FusionConfig(**{**SMALL, "heads": 1}, attention=attention))
    far = FusionModel(FusionConfig(**{**SMALL, "heads": 1}, attention=attention, locality=False)).eval()
    far.load_state_dict({name: w for name, w in near.state_dict().items() if not name.endswith("slope")})
    with torch.no_grad():
        for name, parameter in near.named_parameters():
            if name.endswith("slope"):
                parameter.fill_(-50.0)  # softplus of it is 0
    assert_close(some_inputs().through(near).prediction, some_inputs().through(far).prediction, atol=1e-6, rtol=0)


def test_the_gate_worked_by_hand() -> None:
    """Logits (1, -1) / 0.5 = (2, -2): weights 1 / (1 + e^-4) and 1 / (1 + e^4)."""
    gate = Gate(2, 2, TINY.model_copy(update={"temperature": 0.5})).double()
    gate.linear.weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    weights = gate(batch(X_A))
    expected = np.array([1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))])
    assert_close(weights[0, 0], torch.from_numpy(expected), atol=1e-6, rtol=0)
    mixed = mix(weights, [batch(X_A), batch(X_V)])[0, 0]
    assert_close(mixed, torch.from_numpy(np.maximum(expected[0] * X_A[0] + expected[1] * X_V[0], 0)), atol=1e-6, rtol=0)


def test_the_dca_gate_is_the_published_one() -> None:
    """relu(sum_i softmax(Linear(attended) / T)_i * X_i), T = 0.1, between features before and after attention."""
    stage = StageOne(TINY.model_copy(update={"temperature": 0.1, "gate_init": "default"})).double()
    before, after = {"audio": batch(X_A), "visual": batch(X_V)}, {"audio": batch(X_V + 1), "visual": batch(X_A - 1)}
    gated, _ = stage(before, after, masks())
    for m, gate in stage.gates.items():
        g = softmax(affine(gate.linear, after[m][0].numpy()) / 0.1)
        expected = np.maximum(g[:, :1] * before[m][0].numpy() + g[:, 1:] * after[m][0].numpy(), 0)
        assert_close(gated[m][0], torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_stage_2_across_the_modalities_worked_by_hand() -> None:
    stage = AcrossModalities(TINY.model_copy(update={"temperature": 0.5, "gate_init": "default"})).double()
    a, v = np.abs(X_A), np.abs(X_V)
    fused, weights = stage({}, {"audio": batch(a), "visual": batch(v)}, masks(audio=[1, 0, 1]))
    logits = affine(stage.gate.linear, np.hstack([a, v])) / 0.5
    logits[1, 0] -= np.log1p(np.exp(PENALTY))  # the absence of the audio
    s = softmax(logits)
    assert_close(weights["modalities"][0], torch.from_numpy(s), atol=1e-6, rtol=0)
    assert_close(fused["audio"][0], torch.from_numpy(2 * s[:, :1] * a), atol=1e-6, rtol=0)
    assert_close(fused["visual"][0], torch.from_numpy(2 * s[:, 1:] * v), atol=1e-6, rtol=0)


def test_hierarchical_stage_2_worked_by_hand() -> None:
    stage = WithinModalities(TINY.model_copy(update={"temperature": 0.5, "gate_init": "default"})).double()
    raw, gated = {"audio": batch(X_A), "visual": batch(X_V)}, {"audio": batch(X_V + 1), "visual": batch(X_A - 1)}
    fused, weights = stage(raw, gated, masks())
    for m, gate in stage.gates.items():
        s = softmax(affine(gate.linear, gated[m][0].numpy()) / 0.5)
        expected = np.maximum(s[:, :1] * raw[m][0].numpy() + s[:, 1:] * gated[m][0].numpy(), 0)
        assert_close(weights[f"{m}_hierarchy"][0], torch.from_numpy(s), atol=1e-6, rtol=0)
        assert_close(fused[m][0], torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_zero_initialised_gates_start_undecided_and_published_ones_saturate() -> None:
    inputs = some_inputs(batch=16)
    small = {key: value for key, value in SMALL.items() if key != "width"}
    undecided = FusionModel(FusionConfig(**small, width=32, attention="ca")).eval()(inputs.audio, inputs.visual)
    torch.manual_seed(0)
    published = FusionConfig(**small, width=32, attention="ca", temperature=0.1, gate_init="default")
    decided = FusionModel(published).eval()(inputs.audio, inputs.visual)
    assert all(torch.equal(weights, torch.full_like(weights, 0.5)) for weights in undecided.gates.values())
    assert decided.gates["audio"].max() > 0.99


@pytest.mark.parametrize("attention", ["ca", "jca", "rjca", "mha"])
def test_iaca_on_raw_features_without_stage_2_is_dca(attention: str) -> None:
    dca = some_model(FusionConfig(**SMALL, attention=attention, gate="dca"))
    iaca = FusionModel(
        FusionConfig(**SMALL, attention=attention, gate="iaca", stage1_source="raw", stage2="none")
    ).eval()
    iaca.load_state_dict(dca.state_dict())
    assert torch.equal(some_inputs().through(iaca).prediction, some_inputs().through(dca).prediction)


@pytest.mark.parametrize("gate", ["none", "dca", "iaca"])
def test_rjca_of_one_layer_is_jca(gate: str) -> None:
    jca = some_model(FusionConfig(**SMALL, attention="jca", gate=gate))
    rjca = FusionModel(FusionConfig(**SMALL, attention="rjca", layers=1, gate=gate)).eval()
    rjca.load_state_dict(jca.state_dict())
    assert torch.equal(some_inputs().through(rjca).prediction, some_inputs().through(jca).prediction)


def test_layers_of_rjca_have_weights_of_their_own() -> None:
    sizes = [
        sum(p.numel() for p in FusionModel(FusionConfig(**SMALL, attention="rjca", layers=n)).parameters())
        for n in (1, 2, 3)
    ]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] > 0


def test_stage_2_turns_away_from_what_is_absent() -> None:
    inputs = some_inputs()
    absent = torch.zeros_like(inputs.padding)
    there = torch.ones_like(inputs.padding)
    model = FusionModel(FusionConfig(**SMALL)).eval()  # whose gates are undecided but for what is absent
    odds = math.exp(-math.log1p(math.exp(PENALTY)))
    whole = model(inputs.audio, inputs.visual, there, there).gates
    assert all(torch.equal(weights, torch.full_like(weights, 0.5)) for weights in whole.values())
    turned = model(inputs.audio, inputs.visual, absent, there).gates
    away = torch.tensor([1.0, odds]) / (1 + odds)
    assert_close(turned["modalities"], away.flip(0).expand(3, 9, 2), atol=1e-6, rtol=0)
    assert_close(turned["visual"], away.expand(3, 9, 2), atol=1e-6, rtol=0)  # own features, of which there are some
    assert_close(turned["audio"], torch.full((3, 9, 2), 0.5), atol=1e-6, rtol=0)


@every_combination
def test_any_length_is_taken_unless_it_is_in_the_weights(config: FusionConfig) -> None:
    model = some_model(config)
    for steps in (1, 2, 31):
        inputs = some_inputs(batch=2, steps=steps)
        if config.length is None:
            assert inputs.through(model).prediction.shape == (2, steps, 2)
        else:
            with pytest.raises(InputError, match=f"length=9 steps, but the batch has {steps}"):
                inputs.through(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": torch.zeros(3, 9, 4)}, r"audio is \(3, 9, 4\).*\(b, t, 3\)"),
        ({"visual": torch.zeros(3, 8, 5)}, r"audio has \(b, t\) = \(3, 9\), but visual has \(3, 8\)"),
        ({"visual_present": torch.ones(3, 1, dtype=torch.bool)}, r"visual_present is \(3, 1\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    inputs = vars(some_inputs()) | change
    with pytest.raises(InputError, match=message):
        some_model(FusionConfig(**SMALL))(**inputs)


@pytest.mark.parametrize("attention", ["none", "ca", "jca", "mha"])
def test_bfloat16_autocast_stays_close(attention: str) -> None:
    model, inputs = some_model(FusionConfig(**SMALL, attention=attention)), some_inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = inputs.through(model)
    assert_close(coarse.prediction.float(), inputs.through(model).prediction, atol=0.1, rtol=0)


def test_the_repair_of_one_gap_worked_by_hand() -> None:
    """x <- r x + (1 - r) (w_0 token + sum_i w_i E_i), r <- r + (1 - r) (1 - w_0), E_i = K_i (r x) / K_i r."""
    fill, shares = Fill().double(), np.array([0.3, 0.1, 0.2, 0.25, 0.15])  # w: of the token, then of each reach
    torch.nn.init.zeros_(fill.judge[-1].weight)
    with torch.no_grad():
        fill.judge[-1].bias.copy_(torch.from_numpy(np.log(shares)))
    near = np.exp(-1 / np.array(REACHES))  # K_i at a distance of one step
    x, token = np.array([[2.0, -1.0], [np.e, np.pi], [5.0, 4.0]]), np.array([0.5, 7.0])

    def repaired(*r: float) -> tuple[np.ndarray, np.ndarray]:
        found, known = fill(batch(x), torch.from_numpy(token), batch(np.array(r, float)))
        return found[0].detach().numpy(), known[0].detach().numpy()

    found, known = repaired(1, 0, 1)  # a gap between two observed steps, equally near
    estimates = [k * (x[0] + x[2]) / (2 * k + FAINT) for k in near]
    expected = shares[0] * token + sum(w * e for w, e in zip(shares[1:], estimates, strict=True))
    assert_close(found, np.stack([x[0], expected, x[2]]), rtol=0, atol=1e-6)
    assert_close(known, np.array([1.0, 0.7, 1.0]), rtol=0, atol=1e-6)

    found, known = repaired(0, 1, 0.25)  # a step at the edge, and one that counts for a quarter
    first = [(k * x[1] + 0.25 * k**2 * x[2]) / (k + 0.25 * k**2 + FAINT) for k in near]
    last = [(k * x[1] + 0.25 * x[2]) / (k + 0.25 + FAINT) for k in near]
    filled = [shares[0] * token + sum(w * e for w, e in zip(shares[1:], es, strict=True)) for es in (first, last)]
    assert_close(found, np.stack([filled[0], x[1], 0.25 * x[2] + 0.75 * filled[1]]), rtol=0, atol=1e-6)
    assert_close(known, np.array([0.7, 1.0, 0.25 + 0.75 * 0.7]), rtol=0, atol=1e-6)


def test_a_constant_sequence_is_repaired_to_that_constant() -> None:
    fill = Fill().double()
    with torch.no_grad():
        fill.judge[-1].bias[0] = -100.0  # nothing from the token
    constant, r = torch.tensor([3.0, -2.0]).double(), torch.ones(1, 12).double()
    r[:, [0, 4, 5, 6]] = 0.0
    found, known = fill(constant.expand(1, 12, 2), torch.full((2,), 99.0).double(), r)
    assert_close(found, constant.expand(1, 12, 2), rtol=5e-3, atol=0)  # FAINT takes off less than that
    assert_close(known, torch.ones(1, 12).double(), rtol=0, atol=1e-6)
