"""Benchmark parameters: which comparisons are accepted, and which are refused before any training."""

import pytest
from pydantic import ValidationError

from iaca.evaluation.config import BenchmarkConfig, run_settings
from iaca.training.config import TrainingConfig


def test_the_default_runs_every_kind_of_model_with_five_seeds():
    config = BenchmarkConfig()
    labels = {model.label for model in config.models}
    assert {"iaca", "iaca_plus", "concat", "audio", "visual", "ca", "jca", "dca", "lfan", "late", "ridge"} == labels
    assert len(config.runs()) == 5 * len(labels)
    assert "iaca-seed0" in config.runs()


def test_runs_are_ordered_by_seed_so_that_a_stopped_benchmark_is_a_comparison():
    names = list(BenchmarkConfig(models=["iaca", "concat"], seeds=[3, 1], main=["iaca"]).runs())
    assert names == ["iaca-seed3", "concat-seed3", "iaca-seed1", "concat-seed1"]


def test_a_variant_has_a_name_of_its_own_that_decides_nothing():
    config = BenchmarkConfig(
        models=["iaca", {"preset": "iaca", "width": 32, "name": "narrow"}], main=["iaca", "narrow"]
    )
    _, narrow = config.models
    assert narrow.label == "narrow"
    assert narrow.choice().build(3, 4).width == 32
    renamed = narrow.model_copy(update={"name": "thin"})
    assert renamed.choice() == narrow.choice()


def test_runs_differ_in_their_seed_only():
    training = TrainingConfig(epochs=3, seed=9)
    one, other = run_settings(training, 0, True), run_settings(training, 1, False)
    assert one.seed == 0
    assert one == other.model_copy(update={"seed": 0})
    assert one == training.model_copy(update={"seed": 0, "threads": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ["iaca"]}, "at least 2"),
        ({"models": ["iaca", "iaca"], "main": ["iaca"]}, "each once"),
        ({"models": ["iaca", "iacca"], "main": ["iaca"]}, "iacca"),
        ({"models": ["iaca", {"preset": "iaca", "width": 32}], "main": ["iaca"]}, "name of its own"),
        ({"models": ["iaca", {"preset": "ca", "name": "../ca"}], "main": ["iaca"]}, "pattern"),
        ({"models": ["iaca", "concat"], "main": ["jca"]}, "main names jca"),
        (
            {"models": ["iaca", "concat"], "main": ["rjca", "mha", "jca", "lfan", "ca"]},
            "main names ca, jca, lfan, mha, rjca, but",
        ),
        ({"models": ["iaca", "concat"], "main": []}, "main must be named"),
        ({"seeds": [0, 0]}, "each once"),
        ({"seeds": []}, "at least 1"),
        ({"epochs": 3}, "Extra inputs"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, message):
    with pytest.raises((ValidationError, ValueError), match=message):
        BenchmarkConfig(**changes)


def test_lists_are_joined_by_plus_on_the_command_line():
    config = BenchmarkConfig(models="iaca+concat", seeds="3+1", main="iaca")
    assert config == BenchmarkConfig(models=["iaca", "concat"], seeds=[3, 1], main=["iaca"])
    assert BenchmarkConfig(seeds=7).seeds == (7,)
    with pytest.raises(ValidationError, match="main names iaca_plus, but the models are iaca, concat"):
        BenchmarkConfig(models="iaca+concat")
