"""What every member of the family keeps, whatever it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fusion_models import (
    LENGTH,
    combinations,
    every_combination,
    every_pair,
    padded,
    pairs,
    some_inputs,
    some_model,
    spread,
)
from torch.testing import assert_close

from iaca.fusion import FusionConfig, FusionOutput


def assert_same(one: FusionOutput, other: FusionOutput, tolerance: float = 1e-5) -> None:
    assert_close(one.prediction, other.prediction, atol=tolerance, rtol=0)
    assert one.gates.keys() == other.gates.keys()
    for name, weights in one.gates.items():
        assert_close(weights, other.gates[name], atol=tolerance, rtol=0)
    assert torch.equal(one.observed, other.observed)


def cropped(output: FusionOutput, row: int, steps: int) -> FusionOutput:
    gates = {name: weights[row : row + 1, :steps] for name, weights in output.gates.items()}
    return FusionOutput(output.prediction[row : row + 1, :steps], gates, output.observed[row : row + 1, :steps])


@pytest.mark.slow
def test_the_chosen_combinations_hold_every_pair_of_an_encoder_and_another_part() -> None:
    assert set().union(*map(pairs, spread())) == set().union(*map(pairs, combinations()))
    chosen, every = ([c.model_copy(update={"temporal": "none"}) for c in some] for some in (spread(), combinations()))
    assert all(config in chosen for config in every)


@every_combination
def test_a_sequence_gives_the_same_answer_alone_and_inside_a_padded_batch(config: FusionConfig) -> None:
    model, lengths = some_model(config), [LENGTH, 4, 1]
    inputs = padded(some_inputs(), lengths)
    together = inputs.through(model)
    for row, steps in enumerate(lengths):
        whole = LENGTH if config.length else steps  # a length in the weights leaves only padding to be shorter
        alone = inputs.map(lambda x, row=row, whole=whole: x[row : row + 1, :whole]).through(model)
        assert_same(cropped(alone, 0, steps), cropped(together, row, steps))


@every_pair
def test_what_stands_where_nothing_was_observed_has_no_influence_nan_included(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs()
    inputs = replace(
        inputs, audio_present=inputs.audio_present & (torch.arange(3)[:, None] > 0)
    )  # row 0: no audio at all
    clean = inputs.through(model)
    for rubbish in (0.0, 1e9, float("inf"), float("nan")):
        spoilt = replace(
            inputs,
            audio=torch.where(inputs.audio_present[..., None], inputs.audio, rubbish),
            visual=torch.where(inputs.visual_present[..., None], inputs.visual, rubbish),
        )
        assert_same(spoilt.through(model), clean, tolerance=0.0)


@every_pair
def test_nan_under_a_mask_reaches_no_gradient(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs()
    inputs = replace(inputs, audio=torch.where(inputs.audio_present[..., None], inputs.audio, float("nan")))
    inputs.through(model).prediction.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_pair
def test_with_neither_modality_the_output_is_finite_and_says_not_observed(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs()
    nothing = torch.zeros_like(inputs.padding)
    blind = replace(inputs, audio_present=nothing, visual_present=nothing)
    for output in (blind.through(model), replace(blind, padding=nothing).through(model)):
        assert output.prediction.isfinite().all()
        assert all(weights.isfinite().all() for weights in output.gates.values())
        assert not output.observed.any()


@every_pair
def test_the_order_of_the_batch_changes_nothing_but_the_order(config: FusionConfig) -> None:
    model, inputs = some_model(config), padded(some_inputs(), [LENGTH, 5, 7])
    order = torch.tensor([2, 0, 1])
    output = inputs.through(model)
    expected = FusionOutput(
        output.prediction[order], {name: w[order] for name, w in output.gates.items()}, output.observed[order]
    )
    assert_same(inputs.map(lambda x: x[order]).through(model), expected)


@every_pair
def test_evaluation_is_deterministic_and_training_is_not(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs()
    assert_same(inputs.through(model), inputs.through(model), tolerance=0.0)
    model.train()
    assert not torch.equal(inputs.through(model).prediction, inputs.through(model).prediction)


@every_pair
def test_gates_sum_to_one_and_are_labelled(config: FusionConfig) -> None:
    model = some_model(config)
    output = padded(some_inputs(), [LENGTH, 4, 2]).through(model)
    assert output.gates.keys() == model.gate_labels.keys()
    for name, weights in output.gates.items():
        assert weights.shape == (3, LENGTH, len(model.gate_labels[name]))
        assert (weights >= 0).all()
        assert_close(weights.sum(dim=-1), torch.ones(3, LENGTH), atol=1e-6, rtol=0)


@every_pair
def test_the_gradient_reaches_every_parameter(config: FusionConfig) -> None:
    """On a model off its initial values: at zero, a gate passes no gradient to what it looks at."""
    model, inputs = some_model(config), some_inputs(batch=8)
    output = inputs.through(model)
    target = torch.randn(output.prediction.shape, generator=torch.Generator().manual_seed(3))
    (output.prediction - target).square().sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@every_pair
def test_observed_is_where_the_step_exists_and_something_was_there(config: FusionConfig) -> None:
    inputs = padded(some_inputs(), [LENGTH, 4, 2])
    output = inputs.through(some_model(config))
    assert torch.equal(output.observed, (inputs.audio_present | inputs.visual_present) & inputs.padding)


@every_pair
def test_without_masks_everything_is_there(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs()
    everything = torch.ones_like(inputs.padding)
    told = model(inputs.audio, inputs.visual, everything, everything, everything, quality=None)
    assert_same(model(inputs.audio, inputs.visual), told, tolerance=0.0)
    assert told.prediction.shape == (3, LENGTH, 2)
    assert told.prediction.abs().max() < 1
