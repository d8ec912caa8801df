"""Configurations: sensible defaults, and refusals that name the fields that clash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import ValidationError

import iaca.fusion
from iaca.errors import InputError
from iaca.fusion import PRESETS, FusionConfig, FusionModel, preset
from iaca.fusion.attention import ATTENTION, Masks
from iaca.fusion.config import ATTENTION_PARTS, GATE_PARTS, NONE, TEMPORAL_PARTS, Part
from iaca.fusion.gates import GATES
from iaca.fusion.temporal import TEMPORAL


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
        ({"gate": "iaca_plus"}, ("jca", "iaca_plus", "modalities")),
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
        ({"gate": "icaa"}, ("gate", "iaca_plus")),
        ({"attention": "jcaa"}, ("attention", "jca_fixed", "none")),
        ({"temporal": "gru"}, ("temporal", "tcn", "lstm")),
        ({"gate": "iaca", "cues": ("snr_estimate",)}, ("cues", "gate")),
        ({"gate": "iaca_plus", "cues": ("snr", "snr")}, ("cues",)),
        ({"context": "lstm", "width": 7, "heads": 1}, ("context", "width")),
        ({"gate": "grjca"}, ("gate", "attention", "rjca")),
        ({"attention": "rjca", "layers": 3, "gate": "hgrjca"}, ("gate", "2 layers", "layers=3")),
        ({"attention": "rjca", "gate": "tagf", "width": 7, "heads": 1}, ("gate", "width")),
        ({"attention": "jca", "gate": "cold"}, ("gate", "attention")),
        ({"attention": "none", "gate": "cold", "modalities": ("audio",)}, ("gate", "modalities")),
        ({"gate": "dca", "inner_gate": "dca"}, ("inner_gate", "gate")),
        ({"inner_gate": "grjca"}, ("inner_gate", "attention", "rjca")),
        ({"inner_gate": "iaca"}, ("inner_gate", "hgrjca")),
        ({"audio_width": 64}, ("audio_width", "jca_fixed")),
        (
            {"audio_width": 7, "attention": "jca_fixed", "length": 9, "gate": "dca", "temporal": "lstm"},
            ("width", "temporal"),
        ),
        ({"gate": "iaca_plus", "init": "xavier"}, ("init", "gate")),
        ({"widht": 64}, ("widht", "did you mean width")),
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
    narrow = {"width": 8} if PRESETS[name].get("audio_width") is None else {"width": 8, "audio_width": 4}
    model = FusionModel(preset(name, 3, 5, **narrow))
    learned, fitted = (sum(x.numel() for x in some) for some in (model.parameters(), model.buffers()))
    assert (learned > 0) == (name not in ("ridge", "late"))
    assert (fitted > 0) == (name in ("ridge", "late", "iaca_plus"))


def test_quality_cues_are_given_to_the_models_that_read_them_and_to_no_other() -> None:
    cues = ("snr_estimate", "face_score")
    assert preset("iaca_plus", 3, 5, cues).cues == cues
    assert all(preset(name, 3, 5, cues).cues == () for name in PRESETS if name != "iaca_plus")


def test_the_configuration_names_the_parts_that_there_are() -> None:
    assert set(TEMPORAL_PARTS) == set(TEMPORAL)
    assert set(ATTENTION_PARTS) == {NONE, *ATTENTION}
    assert set(GATE_PARTS) == {NONE, *GATES}


def test_a_new_part_is_a_class_and_a_line_in_the_registry_and_in_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ATTENTION, "swap", Swap)
    monkeypatch.setitem(ATTENTION_PARTS, "swap", Part())
    monkeypatch.setitem(GATES, "halves", Halves)
    monkeypatch.setitem(GATE_PARTS, "halves", Part())
    model = FusionModel(FusionConfig(audio_dim=3, visual_dim=5, width=8, attention="swap", gate="halves"))
    output = model(torch.randn(2, 4, 3), torch.randn(2, 4, 5))
    assert output.gates["halves"].shape == (2, 4, 2)
    assert model.gate_labels == {"halves": ("audio", "visual")}


class Swap(torch.nn.Module):
    """Each modality is attended by becoming the other one."""

    def __init__(self, config: FusionConfig):
        super().__init__()

    def forward(self, x_a: torch.Tensor, x_v: torch.Tensor, masks: Masks) -> tuple[torch.Tensor, torch.Tensor]:
        return x_v, x_a


class Halves(torch.nn.Module):
    """A gate that never decides."""

    labels: ClassVar = {"halves": ("audio", "visual")}

    def __init__(self, config: FusionConfig):
        super().__init__()

    def forward(self, raw: dict, crossed: dict, masks: Masks) -> tuple[dict, dict]:
        return {m: 0.5 * x for m, x in crossed.items()}, {"halves": torch.full((*masks.steps.shape, 2), 0.5)}


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no model named 'iacca'.*iaca"):
        preset("iacca", 3, 5)


@pytest.mark.slow
def test_configurations_are_read_without_torch() -> None:
    script = """
import sys
from importlib.util import module_from_spec, spec_from_file_location

from iaca.training.config import TrainingConfig

spec = spec_from_file_location("config", sys.argv[1])  # alone: its package also holds the model
config = sys.modules["config"] = module_from_spec(spec)
spec.loader.exec_module(config)
config.preset("iaca", 3, 5)
sys.exit("torch" in sys.modules)
"""
    file = Path(iaca.fusion.__file__).with_name("config.py")
    assert subprocess.run([sys.executable, "-c", script, file], check=False).returncode == 0
