"""Where a run computes. No GPU is needed: torch's fake tensors know the device of every operand, and refuse to mix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from short_runs import SHORT
from synthetic_clips import AUDIO_DIM, CUES, VISUAL_DIM, annotated
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from iaca.encoders.config import ENCODERS, EmbeddingConfig, EncoderChoice
from iaca.encoders.networks import build_network, pick_dtype, set_tf32
from iaca.fusion import preset
from iaca.fusion.config import PRESETS
from iaca.fusion.model import FusionModel
from iaca.training.checkpoints import restored_torch_settings
from iaca.training.config import TrainingConfig
from iaca.training.data import on_gpu, placement, training_loader
from iaca.training.loss import gate_supervision, training_loss
from iaca.training.sample import Normalisation, Window, WindowSpec, collate, cut_sample, model_arguments

STEPS = 12


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("auto", 1)),
        ({"accelerator": "gpu", "devices": 4}, ("gpu", 4)),
        ({"device": "cpu"}, ("cpu", 1)),
        ({"device": "cuda", "devices": 2}, ("gpu", 2)),
        ({"device": "cuda:3"}, ("gpu", [3])),
        ({"device": "mps"}, ("mps", 1)),
    ],
)
def test_one_parameter_places_a_run_and_the_former_ones_still_do(given: dict, expected: tuple) -> None:
    assert tuple(placement(TrainingConfig(**given)).values()) == expected


@pytest.mark.parametrize(
    "given",
    [{"device": "cuda", "accelerator": "cpu"}, {"device": "cpu", "accelerator": "gpu"},
     {"device": "cuda:1", "devices": 2}, {"device": "gpu"}, {"device": "cuda:x"}],
)  # fmt: skip
def test_two_places_are_refused(given: dict) -> None:
    with pytest.raises(ValidationError, match="device"):
        TrainingConfig(**given)


def test_the_machine_of_a_run_is_not_in_the_fingerprint_of_its_task() -> None:
    assert TrainingConfig(device="auto", loaders=None, tf32=False).model_dump() == TrainingConfig().model_dump()
    assert {"device", "loaders", "tf32"}.isdisjoint(TrainingConfig().model_dump())
    assert TrainingConfig(tf32=True).model_dump()["tf32"]


def test_float32_means_the_same_everywhere_unless_tf32_is_asked_for() -> None:
    """torch rounds convolutions and LSTMs on a GPU by default."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with restored_torch_settings(None):
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)
    with restored_torch_settings(None, tf32=True):
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_a_gpu_is_fed_from_pinned_memory_by_workers_that_are_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = {"a": annotated(3, steps=3 * STEPS)}
    spec = WindowSpec(STEPS, Normalisation.fit({name: one.embedding for name, one in clips.items()}))
    config = SHORT.model_copy(update={"accelerator": "auto"})
    loader = training_loader(clips, config, spec)
    assert (loader.num_workers, loader.pin_memory) == (0, False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert on_gpu(config)
    assert not on_gpu(SHORT)
    loader = training_loader(clips, config, spec)
    assert (loader.num_workers, loader.pin_memory, loader.persistent_workers) == (4, True, True)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    one = annotated(3, steps=3 * STEPS)
    spec = WindowSpec(STEPS, Normalisation.fit({"a": one.embedding}, CUES), CUES)
    sample = cut_sample(one, Window("a", 0, 0), spec)
    corrupted = np.zeros_like(sample.corrupted)
    corrupted[3:6, 0] = True
    return collate([replace(sample, corrupted=corrupted)] * 2)


@pytest.mark.parametrize("name", PRESETS)
def test_every_member_computes_on_the_device_of_its_input(name: str, batch: dict[str, torch.Tensor]) -> None:
    """Forward, loss and supervision of gates, without a tensor left on the CPU. (Backward needs a driver.)"""
    length = {"length": STEPS} if "jca_fixed" in str(PRESETS[name]) else {}
    model = FusionModel(preset(name, AUDIO_DIM, VISUAL_DIM, CUES, width=8, heads=2, **length)).train()
    with FakeTensorMode(), torch.backends.cudnn.flags(enabled=False):  # cuDNN asks the driver
        weights = on_gpu_of(dict(model.named_parameters()) | dict(model.named_buffers()))
        there = on_gpu_of(batch)
        output = functional_call(model, weights, model_arguments(there, reads_cues=bool(model.config.cues)))
        assert {tensor.device.type for tensor in (output.prediction, *output.gates.values())} == {"cuda"}
        loss = training_loss(output.prediction, there["labels"], there["valid"], SHORT.loss)
        if model.config.learns_reliability:
            loss = loss + gate_supervision(output.gates, there["corrupted"], there["present"], there["padding"])
        assert loss.device.type == "cuda"


def on_gpu_of(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors without values that claim to be on a GPU."""
    made = {name: torch.empty(one.shape, dtype=one.dtype, device="cuda") for name, one in tensors.items()}
    return {name: one.requires_grad_(tensors[name].requires_grad) for name, one in made.items()}


FACES, CLIPS_OF_FACES = (2, 112, 112, 3), (2, 8, 112, 112, 3)
WINDOWS = {"logmel_resnet18": (2, 107, 64), "vggish": (2, 96, 64), "ge2e": (2, 160, 40)}


NETWORKS = [name for name in ENCODERS["visual"] if name != "blendshapes"]  # that runs in LiteRT, on the CPU


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modality", "name"), [*(("visual", name) for name in NETWORKS), *(("audio", name) for name in WINDOWS)]
)
def test_every_encoder_computes_on_the_device_of_its_input(modality: str, name: str) -> None:
    module = build_network(EncoderChoice(name=name), modality, None).eval()
    shape = WINDOWS.get(name, CLIPS_OF_FACES if name == "r2plus1d_18" else FACES)
    with FakeTensorMode(), torch.backends.cudnn.flags(enabled=False):  # cuDNN asks the driver
        weights = on_gpu_of(dict(module.named_parameters()) | dict(module.named_buffers()))
        given = torch.empty(shape, dtype=torch.uint8 if modality == "visual" else torch.float32, device="cuda")
        rows = functional_call(module, weights, (given,))
    assert rows.device.type == "cuda"
    assert rows.shape == (2, ENCODERS[modality][name].dim)


def test_a_network_on_a_gpu_rounds_only_if_asked_to() -> None:
    assert pick_dtype("tf32", torch.device("cpu")) == pick_dtype("float32", torch.device("cpu")) == torch.float32
    assert EmbeddingConfig(precision="tf32").precision == "tf32"
    with restored_torch_settings(None):
        set_tf32(True)
        assert torch.backends.cudnn.allow_tf32
