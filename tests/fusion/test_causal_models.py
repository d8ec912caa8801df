"""Causal members: no output depends on what comes later than `lookahead`, and a sequence in pieces is the whole one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fusion_models import CUES, SMALL, Inputs, combinations, padded, some_inputs, some_model, spread, title
from pydantic import ValidationError
from torch.testing import assert_close

from iaca.fusion import FusionConfig, FusionOutput
from iaca.fusion.attention import Past
from iaca.fusion.config import PRESETS, preset

MEMORY, STEPS, LOOKAHEAD = 4, 23, 3
TWO_WAY = {"temporal": "lstm_unit", "attention": "jca_fixed", "gate": "raav"}
OPTIONS: list[dict] = [
    {"context": "lstm"}, {"locality": False}, {"repair": True}, {"repair": True, "modalities": ("audio",)},
    {"attention": "rjca", "inner_gate": "tagf"}, {"attention": "rjca", "gate": "hgrjca"}, {"head": "separate"},
    {"gate": "iaca_plus", "repair": False, "cues": CUES}, {"memory": 1}, {"memory": 100}, {"lookahead": LOOKAHEAD},
    {"gate": "iaca_plus", "cues": CUES, "temporal": "lstm", "lookahead": LOOKAHEAD}, {"bounds": "clip"},
]  # fmt: skip


def causal(configs: list[FusionConfig]) -> list[FusionConfig]:
    able = [c for c in configs if all(getattr(c, part) != name for part, name in TWO_WAY.items())]
    return [FusionConfig(**{**c.model_dump(), "causal": True, "memory": MEMORY}) for c in able]


def options() -> list[FusionConfig]:
    return [FusionConfig(**{**SMALL, "causal": True, "memory": MEMORY, **change}) for change in OPTIONS]


every_causal = pytest.mark.parametrize("config", causal(combinations()) + options(), ids=title)
some_causal = pytest.mark.parametrize("config", causal(spread()) + options(), ids=title)


def assert_same(one: FusionOutput, other: FusionOutput, steps: slice, tolerance: float) -> None:
    assert_close(one.prediction[:, steps], other.prediction[:, steps], atol=tolerance, rtol=0)
    for name, weights in one.gates.items():
        assert_close(weights[:, steps], other.gates[name][:, steps], atol=tolerance, rtol=0)


def with_another_future(inputs: Inputs, first: int) -> Inputs:
    """Everything from step `first` on is replaced: values, presence, and where the sequence ends."""
    other = some_inputs(len(inputs.audio), STEPS, seed=7)
    later = torch.arange(STEPS) >= first
    return Inputs(
        *(
            torch.where(later.view(1, -1, *([1] * (x.ndim - 2))), y, x)
            for x, y in zip(vars(inputs).values(), vars(other).values(), strict=True)
        )
    )


@every_causal
def test_no_output_depends_on_what_comes_later_than_the_lookahead(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs(2, STEPS)
    one = inputs.through(model)
    for step in (0, 6, 14):
        other = with_another_future(inputs, step + config.lookahead + 1).through(model)
        assert_same(one, other, slice(step + 1), tolerance=2e-7)  # kernels may add up a longer row in another order


def test_an_output_does_depend_on_the_steps_of_the_lookahead_and_on_the_past() -> None:
    config = FusionConfig(**SMALL, causal=True, memory=MEMORY, lookahead=LOOKAHEAD)
    model, inputs = some_model(config), some_inputs(2, STEPS)
    one, other = inputs.through(model), with_another_future(inputs, 6 + LOOKAHEAD).through(model)
    assert_same(one, other, slice(6), tolerance=2e-7)
    assert (one.prediction[:, 6] - other.prediction[:, 6]).abs().min() > 1e-3


@some_causal
def test_a_stream_in_pieces_of_any_length_gives_what_the_whole_sequence_gives(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs(2, STEPS)
    whole = inputs.through(model)
    for lengths in ([1] * STEPS, [5, 1, 9, 8]):
        past, parts = Past(), []
        for piece in zip(*(x.split(lengths, dim=1) for x in vars(inputs).values()), strict=True):
            arguments = dict(zip(vars(inputs), piece, strict=True))
            parts.append(model(**arguments, past=past))
        prediction = torch.cat([part.prediction for part in parts], dim=1)
        gates = {name: torch.cat([part.gates[name] for part in parts], dim=1) for name in whole.gates}
        streamed, ahead = FusionOutput(prediction, gates, whole.observed), config.lookahead
        assert_close(streamed.prediction[:, ahead:], whole.prediction[:, : STEPS - ahead], atol=1e-6, rtol=0)
        for name, weights in gates.items():
            assert_close(weights[:, ahead:], whole.gates[name][:, : STEPS - ahead], atol=1e-6, rtol=0)
        last = slice(STEPS - 1 - ahead, STEPS)  # what is still awaited at the end is that of the last step
        assert_close(whole.prediction[:, last], prediction[:, -1:].expand(-1, ahead + 1, -1), atol=1e-6, rtol=0)


@pytest.mark.slow
@some_causal
def test_what_a_stream_keeps_does_not_grow(config: FusionConfig) -> None:
    def size(past: Past) -> int:
        return sum(x.numel() for rows in past.kept.values() for x in rows)

    model, past, sizes = some_model(config), Past(), []
    for seed in range(80 if config.temporal_layers > 1 else 20):
        model(**vars(some_inputs(1, 4, seed)), past=past)
        sizes.append(size(past))
    assert sizes[-1] == sizes[len(sizes) // 2]


@some_causal
def test_padding_after_a_sequence_changes_nothing(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs(2, STEPS)
    together = padded(inputs, [STEPS, 9]).through(model)
    alone = inputs.map(lambda x: x[1:, :9]).through(model)
    assert_close(together.prediction[1:, :9], alone.prediction, atol=1e-6, rtol=0)


@some_causal
def test_nan_where_nothing_was_observed_reaches_neither_outputs_nor_gradients(config: FusionConfig) -> None:
    model, inputs = some_model(config), some_inputs(2, STEPS)
    spoilt = replace(inputs, audio=torch.where(inputs.audio_present[..., None], inputs.audio, float("nan")))
    assert torch.equal(spoilt.through(model).prediction, inputs.through(model).prediction)
    spoilt.through(model).prediction.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_memory_is_how_far_an_attention_reaches_back() -> None:
    alone = {"temporal": "none", "gate": "none", "attention": "jca"}
    model, inputs = some_model(FusionConfig(**SMALL, causal=True, memory=MEMORY, **alone)), some_inputs(1, STEPS)
    inputs = replace(inputs, audio_present=inputs.padding, visual_present=inputs.padding)
    changed = replace(inputs, audio=inputs.audio.clone())
    changed.audio[:, 10] += 1.0
    moved = (inputs.through(model).prediction - changed.through(model).prediction).abs().amax(dim=(0, 2)) > 0
    assert moved.nonzero()[:, 0].tolist() == list(range(10, 10 + MEMORY))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"temporal": "lstm_unit"}, "temporal='lstm_unit' reads later steps"),
        ({"attention": "jca_fixed", "length": 9, "gate": "none"}, "attention='jca_fixed' reads later steps"),
        ({"attention": "none", "gate": "raav"}, "gate='raav' reads later steps"),
        ({"context": "lstm_unit"}, "context='lstm_unit' reads later steps"),
        ({"gate": "iaca_plus", "readings": "residual"}, "readings='residual' reads later steps"),
        ({"causal": False, "lookahead": 2}, "lookahead=2 is of a causal model"),
    ],
)
def test_what_has_no_causal_form_is_refused_by_name(change: dict, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        FusionConfig(**{**SMALL, "causal": True, **change})


def test_a_model_that_is_not_causal_is_dumped_as_before() -> None:
    assert not {"causal", "lookahead", "memory"} & set(FusionConfig(**SMALL).model_dump())
    assert FusionConfig(**SMALL, causal=True, lookahead=2).model_dump()["lookahead"] == 2


@pytest.mark.parametrize("name", ["iaca", "dca", "concat", "audio", "rjca", "mha", "cold", "lfan"])
def test_presets_have_a_causal_form(name: str) -> None:
    assert name in PRESETS
    assert preset(name, 3, 5, causal=True).causal
