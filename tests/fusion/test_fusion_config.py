"""Configurations: sensible defaults, and refusals that name the fields that clash."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from iaca.errors import InputError
from iaca.fusion import PRESETS, FusionConfig, FusionModel, preset


def test_the_default_is_what_the_study_measured_best() -> None:
    config = FusionConfig(audio_dim=60, visual_dim=135)
    chosen = (config.attention, config.gate, config.stage2, config.temperature, config.gate_init, config.normalisation)
    assert chosen == ("jca", "iaca", "modalities", 1.0, "zero", "layer")
    assert (config.width, config.temporal, config.modalities) == (128, "tcn", ("audio", "visual"))


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ({"modalities": ("visual",)}, ("none", "none", "none")),
        ({"attention": "none"}, ("none", "none", "none")),
        ({"gate": "none"}, ("jca", "none", "none")),
        ({"attention": "ca", "gate": "dca"}, ("ca", "dca", "none")),
        ({"attention": "rjca"}, ("rjca", "iaca", "modalities")),
    ],
)
def test_parts_that_do_not_apply_are_left_out_without_being_told(given: dict, resolved: tuple) -> None:
    config = FusionConfig(audio_dim=3, visual_dim=5, **given)
    assert (config.attention, config.gate, config.stage2) == resolved
    assert FusionConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"modalities": ("audio",), "attention": "ca", "gate": "none"}, ("attention", "modalities")),
        ({"attention": "none", "gate": "dca"}, ("gate", "attention")),
        ({"gate": "dca", "stage2": "modalities"}, ("stage2", "gate")),
        ({"gate": "none", "stage1_source": "raw"}, ("stage1_source", "gate")),
        ({"attention": "jca_fixed"}, ("attention", "length")),
        ({"attention": "jca", "length": 300}, ("attention", "length")),
        ({"temporal": "lstm", "width": 7, "heads": 1}, ("temporal", "width")),
        ({"temporal": "tcn", "kernel": 4}, ("temporal", "kernel")),
        ({"width": 10, "heads": 4}, ("heads", "width")),
        ({"modalities": ("audio", "audio")}, ("modalities",)),
        ({"modalities": ()}, ("modalities",)),
        ({"temperature": 0.0}, ("temperature",)),
        ({"gate": "iaca_plus"}, ("gate",)),
        ({"widht": 64}, ("widht",)),
    ],
)
def test_what_does_not_fit_is_refused_and_named(given: dict, named: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as refusal:
        FusionConfig(audio_dim=3, visual_dim=5, **given)
    assert all(field in str(refusal.value) for field in named)


def test_several_clashes_are_told_at_once() -> None:
    with pytest.raises(ValidationError, match=r"kernel=4(.|\n)*heads=3|heads=3(.|\n)*kernel=4"):
        FusionConfig(audio_dim=3, visual_dim=5, kernel=4, heads=3)


@pytest.mark.parametrize("name", PRESETS)
def test_every_named_model_builds(name: str) -> None:
    assert sum(p.numel() for p in FusionModel(preset(name, 3, 5, width=8)).parameters()) > 0


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no model named 'iacca'.*iaca"):
        preset("iacca", 3, 5)


def test_configurations_are_read_without_torch() -> None:
    imports = "import sys; from iaca.fusion import preset; from iaca.training import TrainingConfig"
    script = f"{imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
