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
from iaca.fusion.iaca_plus import local_mean
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
