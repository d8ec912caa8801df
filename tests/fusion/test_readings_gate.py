"""Late fusion of two readings: its formula, what absence does, and that `iaca_plus` starts from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_models import CUES, SMALL, padded, some_inputs
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from iaca.errors import InputError
from iaca.fusion import FusionModel, FusionOutput, preset
from iaca.fusion.iaca_plus import ReadingGate, local_mean
from iaca.training.readings import local_mean as plain_local_mean

SIZES = {**SMALL, "cues": CUES}
MEAN, CORRELATION = torch.tensor([0.1, -0.2]), torch.tensor([0.3, 0.0])
RELIABILITY = torch.tensor([[0.2, 0.6], [0.8, 0.3]])  # of voice and face, of valence and arousal


def model_of(name: str, seed: int = 2) -> FusionModel:
    """An untrained model with readings that were fitted, at random."""
    torch.manual_seed(7)
    sizes = {k: v for k, v in SIZES.items() if k != "cues" or name == "iaca_plus"}
    model = FusionModel(preset(name, **sizes)).eval()
    rng = torch.Generator().manual_seed(seed)
    assert model.readings is not None
    with torch.no_grad():
        for m in ("audio", "visual"):
            weights = model.readings.get_buffer(f"{m}_weights")
            weights.copy_(0.2 * torch.randn(weights.shape, generator=rng))
        model.readings.get_buffer("constant").copy_(0.1 * torch.randn(2, 2, generator=rng))
        model.readings.get_buffer("mean").copy_(MEAN)
        if name != "ridge":
            model.readings.get_buffer("prior").copy_(2 * RELIABILITY.log())
            model.readings.get_buffer("correlation").copy_(CORRELATION)
    return model


def some_readings(seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(3, 9, 2, 2, generator=torch.Generator().manual_seed(seed))


def read(model: FusionModel, inputs, rate: float = 2.0) -> Tensor:
    present = torch.stack([inputs.audio_present, inputs.visual_present], dim=-1) & inputs.padding[..., None]
    features = {
        m: torch.where(present[..., i : i + 1], getattr(inputs, m), 0.0) for i, m in enumerate(("audio", "visual"))
    }
    return model.read([features], present, torch.full((len(present),), rate))


def through(model: FusionModel, inputs, readings: Tensor) -> FusionOutput:
    return model(**vars(inputs), readings=readings)


def test_late_fusion_is_the_formula_and_what_is_absent_gives_its_weight_to_the_other() -> None:
    inputs, readings = some_inputs(), some_readings()
    output = through(model_of("late"), inputs, readings)
    for row in range(3):
        for step in range(9):
            there = [bool(inputs.audio_present[row, step]), bool(inputs.visual_present[row, step])]
            for d, name in enumerate(("valence", "arousal")):
                squared = [float(RELIABILITY[m, d]) ** 2 for m in range(2)]
                weights = [w if p or not any(there) else 0.0 for w, p in zip(squared, there, strict=True)]
                a, v = (w / sum(weights) for w in weights)
                apart = [float(readings[row, step, m, d] - MEAN[d]) for m in range(2)]
                spread = (a**2 + v**2 + 2 * float(CORRELATION[d]) * a * v) ** 0.5
                expected = float(MEAN[d]) + (a * apart[0] + v * apart[1]) / spread
                assert float(output.prediction[row, step, d]) == pytest.approx(expected, abs=1e-6)
                assert_close(output.gates[f"readings_{name}"][row, step], torch.tensor([a, v]))


def contradicting(steps: int, apart: float) -> tuple[Tensor, Tensor]:
    """Weights of the voice (valence, arousal), less reliable for valence, whose valence is `apart` times the face's."""
    face = torch.sin(torch.arange(steps) / 5.0)
    voice = apart * face
    readings = torch.stack([torch.stack([voice, face]), torch.stack([face, face])], dim=-1).permute(1, 0, 2)[None]
    inputs = {m: torch.zeros(1, steps, SIZES[f"{m}_dim"]) for m in ("audio", "visual")}
    output = model_of("late")(**inputs, readings=0.5 * readings)
    return tuple(output.gates[f"readings_{name}"][0, :, 0] for name in ("valence", "arousal"))


def test_the_less_reliable_modality_loses_weight_where_it_contradicts_throughout() -> None:
    (agreeing, beside), (opposed, beside_opposed) = contradicting(60, 1.0), contradicting(60, -1.0)
    odds = [weight / (1 - weight) for weight in (agreeing, opposed)]
    assert_close(odds[0], torch.full((60,), (0.2 / 0.8) ** 2))
    assert_close(odds[1], odds[0] * float(np.exp(-2.0)))
    assert_close(beside, beside_opposed)
    assert_close(contradicting(49, -1.0)[0], contradicting(49, 1.0)[0])  # too few steps to say so


def test_of_one_modality_alone_late_fusion_is_its_reading() -> None:
    inputs, readings = some_inputs(), some_readings()
    everywhere, nowhere = torch.ones_like(inputs.padding), torch.zeros_like(inputs.padding)
    only = replace(inputs, audio_present=nowhere, visual_present=everywhere)
    assert_close(through(model_of("late"), only, readings).prediction, readings[:, :, 1].clamp(-1, 1))


def test_ridge_is_the_sum_of_both_parts_and_has_no_gate() -> None:
    readings = some_readings()
    output = through(model_of("ridge"), some_inputs(), readings)
    assert_close(output.prediction, readings.sum(dim=2).clamp(-1, 1))
    assert output.gates == {}


def test_predictions_stay_on_the_scale() -> None:
    for name in ("late", "ridge", "iaca_plus"):
        assert through(model_of(name), some_inputs(), 50 * some_readings()).prediction.abs().max() == 1


def test_untrained_iaca_plus_is_late_fusion() -> None:
    inputs, readings = some_inputs(), some_readings()
    late, plus = (through(model_of(name), inputs, readings) for name in ("late", "iaca_plus"))
    assert_close(plus.prediction, late.prediction, atol=1e-6, rtol=0)
    for name, weights in late.gates.items():
        assert_close(plus.gates[name], weights, atol=1e-6, rtol=0)


def moved(model: FusionModel) -> FusionModel:
    """The model with every parameter off its initial value."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng))
    return model


def test_learned_reliability_multiplies_the_weight_of_its_modality() -> None:
    gate = ReadingGate(model_of("iaca_plus").config)
    fused = torch.randn(1, 2, gate.logits.in_features, generator=torch.Generator().manual_seed(0))
    reliability = torch.tensor([[[0.5, 0.25], [1.0, 0.0]]])
    added = gate(fused, reliability)  # logits are 0 at the start
    assert_close(added[0, 0].exp(), torch.tensor([[0.5, 0.5], [0.25, 0.25]]))
    assert_close(added[0, 1], torch.zeros(2, 2))  # absent ones are masked later
    with torch.no_grad():
        gate.logits.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert_close(gate(fused, reliability)[0, 0] - added[0, 0], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


def test_a_network_that_is_held_back_completely_is_late_fusion_dimension_by_dimension() -> None:
    inputs, readings = some_inputs(), some_readings()
    plus, late = moved(model_of("iaca_plus")), through(model_of("late"), inputs, readings)
    trained = through(plus, inputs, readings).prediction
    plus.get_buffer("readings.share").copy_(torch.tensor([0.0, 1.0]))
    held = through(plus, inputs, readings).prediction
    assert_close(held[..., 0], late.prediction[..., 0], atol=1e-6, rtol=0)
    assert_close(held[..., 1], trained[..., 1], atol=1e-6, rtol=0)
    assert not torch.allclose(trained[..., 0], late.prediction[..., 0], atol=1e-3)


@pytest.mark.parametrize("name", ["late", "ridge", "iaca_plus"])
def test_a_sequence_gives_the_same_answer_alone_and_inside_a_padded_batch(name: str) -> None:
    model, inputs = moved(model_of(name)), padded(some_inputs(), [9, 5, 1])
    together = through(model, inputs, read(model, inputs))
    for row, steps in enumerate((9, 5, 1)):
        alone = inputs.map(lambda x, row=row, steps=steps: x[row : row + 1, :steps])
        output = through(model, alone, read(model, alone))
        assert_close(output.prediction[0], together.prediction[row, :steps], atol=1e-5, rtol=0)
        for gate, weights in output.gates.items():
            assert_close(weights[0], together.gates[gate][row, :steps], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["late", "ridge", "iaca_plus"])
def test_with_nothing_observed_the_prediction_is_finite(name: str) -> None:
    model, inputs = moved(model_of(name)), some_inputs()
    nothing = torch.zeros_like(inputs.padding)
    blind = replace(inputs, audio_present=nothing, visual_present=nothing)
    output = through(model, blind, read(model, blind))
    assert output.prediction.isfinite().all()
    assert all(weights.isfinite().all() for weights in output.gates.values())


def test_gates_are_labelled_and_sum_to_one() -> None:
    for name in ("late", "ridge", "iaca_plus"):
        model = model_of(name)
        output = through(model, some_inputs(), some_readings())
        assert output.gates.keys() == model.gate_labels.keys()
        for gate, weights in output.gates.items():
            assert weights.shape[-1] == len(model.gate_labels[gate])
            assert_close(weights.sum(-1), torch.ones(3, 9))


def test_the_gradient_of_a_moved_model_reaches_every_parameter() -> None:
    model = moved(model_of("iaca_plus"))
    output = through(model, some_inputs(batch=3), 0.1 * some_readings())
    (output.prediction - torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(1))).square().sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in dead if not name.startswith("reliability")] == []


def test_without_readings_the_model_still_answers() -> None:
    for name in ("late", "ridge", "iaca_plus"):
        model, inputs = model_of(name), some_inputs()
        zeros = torch.zeros(3, 9, 2, 2)
        assert_close(model(**vars(inputs)).prediction, through(model, inputs, zeros).prediction)


def test_a_mean_over_time_is_that_of_the_fit() -> None:
    x, there = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).random(40) > 0.4
    for steps in (1, 2, 5, 9.0, 200):
        found = local_mean(
            torch.from_numpy(x)[None],
            torch.from_numpy(there)[None, :, None].double(),
            torch.tensor([round(steps) // 2]),
        )
        np.testing.assert_allclose(found[0].numpy(), plain_local_mean(x, there, steps), atol=1e-12)


def test_readings_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"readings are \(3, 9, 2\), but the model takes \(3, 9, 2, 2\)"):
        through(model_of("late"), some_inputs(), torch.zeros(3, 9, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ("audio",), "readings": "late"}, "readings='late' needs both"),
        ({"readings": "joint", "attention": "ca"}, "readings='joint' has no network, but attention='ca'"),
    ],
)
def test_readings_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        preset("iaca", 3, 5, **changes)


def test_the_gates_that_are_named_are_those_that_the_prediction_follows() -> None:
    assert model_of("late").weighing_gates == {"valence": "readings_valence", "arousal": "readings_arousal"}
    assert not model_of("ridge").weighing_gates
    held_back, inputs, readings = moved(model_of("iaca_plus")), some_inputs(), some_readings()
    held_back.readings.get_buffer("share").zero_()
    output = through(held_back, inputs, readings)
    assert "modalities" in output.gates
    mean, correlation = (held_back.readings.get_buffer(name) for name in ("mean", "correlation"))
    for i, name in enumerate(("valence", "arousal")):
        weights = output.gates[held_back.weighing_gates[name]]
        scale = (weights.square().sum(-1) + 2 * correlation[i] * weights.prod(-1)).rsqrt()
        expected = mean[i] + (weights * (readings[..., i] - mean[i])).sum(-1) * scale
        assert_close(output.prediction[..., i], expected.clamp(-1, 1))


def test_a_model_without_readings_weighs_by_its_gate_across_modalities() -> None:
    presets = {"iaca": {"prediction": "modalities"}, "iaca_plus": {"prediction": "modalities"}, "concat": {}, "dca": {}}
    for name, gates in presets.items():
        changes = {"readings": "none"} if name == "iaca_plus" else {}
        assert FusionModel(preset(name, 4, 6, width=8, **changes)).weighing_gates == gates
