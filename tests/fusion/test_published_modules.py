"""The published presets against golden numbers of the public modules: outputs, and the norm of every gradient.

`golden/published.csv` holds what the public modules gave in float64, without dropout, for the inputs and weights of
`number`: of the prediction (`jca_paper`, `rjca_paper`, `dca_paper`) or of the gated features (`grjca_paper`,
`hgrjca_paper`) every 24th or so, by flat index, and the norm of the gradient of every tensor, by its name here. The
modules are those of the authors' repositories Joint-Cross-Attention-for-Audio-Visual-Fusion, RecurrentJointAttention-
withLSTMs (with two joint layers, as in RJCAforSpeakerVerification), Dynamic-CrossAttention and GRJCA, made narrower.

What the public modules take, and a preset does not: sound without a linear layer before its BiLSTM, here the identity;
49 regions of a face, of which a pooled embedding is one, so that the audio-guided attention over regions has nothing to
choose and is its linear layer.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from iaca.fusion import FusionConfig, FusionModel, preset

FOLDER = Path(__file__).with_name("golden")
GOLDEN = pd.read_csv(FOLDER / "published.csv", dtype={"what": str})
SPANS = {"audio_dim": 12, "visual_dim": 512, "width": 12}
FRAMES = {"audio_dim": 8, "visual_dim": 12, "width": 12, "audio_width": 8, "temporal": "none"}
SIZES = {
    "jca_paper": SPANS, "rjca_paper": SPANS, "dca_paper": SPANS, "grjca_paper": FRAMES, "hgrjca_paper": FRAMES,
}  # fmt: skip
each = pytest.mark.parametrize("name", SIZES)


def number(name: str, *shape: int) -> Tensor:
    """2 frac(43758.5453 sin(12.9898 i + 78.233 c)) - 1, i = 1 ... n, c the name's CRC-32 modulo 1000."""
    wave = 43758.5453 * np.sin(12.9898 * np.arange(1, np.prod(shape) + 1) + 78.233 * (zlib.crc32(name.encode()) % 1000))
    return torch.from_numpy(2 * (wave - np.floor(wave)) - 1).view(shape)


def fill(model: FusionModel) -> None:
    """Make every tensor `number` times sqrt(3 / inputs), 4 for a vector."""
    for tensor, parameter in model.named_parameters():
        inputs = parameter.shape[-1] if parameter.ndim > 1 else 4
        parameter.copy_(number(tensor, *parameter.shape) * (3 / inputs) ** 0.5)


def published(name: str) -> FusionModel:
    """The preset without dropout, in training mode, with the weights of `fill`."""
    model = FusionModel(preset(name, **SIZES[name], dropout=0.0, temporal_dropout=0.0)).double()
    with torch.no_grad():
        fill(model)
        for stream in model.streams.values():
            if stream.project.in_features == stream.project.out_features:  # the public modules have none
                torch.nn.init.eye_(stream.project.weight)
                torch.nn.init.zeros_(stream.project.bias)
    return model


def inputs(model: FusionModel) -> tuple[Tensor, Tensor]:
    config = model.config
    return number("audio", 2, config.length, config.audio_dim), number("visual", 2, config.length, config.visual_dim)


def output(model: FusionModel) -> Tensor:
    """What the public module gives: the prediction, or the gated features of a class without a head."""
    if not model.config.gate.endswith("grjca"):
        return model(*inputs(model)).prediction
    read: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    model(*inputs(model))
    return read[0]


def golden(name: str) -> tuple[dict[int, float], dict[str, float]]:
    """Values of the output by flat index, norms of gradients by name."""
    of_one = GOLDEN[GOLDEN["member"] == name]
    both = dict(zip(of_one["what"], of_one["value"], strict=True))
    values = {int(what): value for what, value in both.items() if what.isdigit()}
    return values, {what: value for what, value in both.items() if not what.isdigit()}


@each
def test_outputs_are_those_of_the_public_module(name: str) -> None:
    values, _ = golden(name)
    given = output(published(name)).flatten()
    assert len(values) >= 24
    np.testing.assert_allclose([given[i].item() for i in values], list(values.values()), rtol=1e-8, atol=1e-8)


@each
def test_outputs_in_single_precision_are_those_of_the_public_module(name: str) -> None:
    values, _ = golden(name)
    model = published(name).float()
    model.forward = lambda *x, forward=model.forward: forward(*(one.float() for one in x))
    given = output(model).flatten()
    np.testing.assert_allclose([given[i].item() for i in values], list(values.values()), rtol=0, atol=1e-5)


@each
def test_gradients_are_those_of_the_public_module(name: str) -> None:
    _, norms = golden(name)
    model = published(name)
    given = output(model)
    (given * number("loss", *given.shape)).sum().backward()
    found = {tensor: parameter.grad for tensor, parameter in model.named_parameters() if parameter.grad is not None}
    np.testing.assert_allclose([found[tensor].norm().item() for tensor in norms], list(norms.values()), rtol=1e-7)
    elsewhere = {tensor for tensor, gradient in found.items() if gradient.any()} - set(norms)
    assert all(".project." in tensor for tensor in elsewhere)  # there is none in the public module


@each
def test_in_evaluation_predictions_stay_within_the_scale(name: str) -> None:
    model = published(name)
    with torch.no_grad():
        for regressor in model.head.regressors:
            regressor[-1].bias.fill_(50.0)
    assert model(*inputs(model)).prediction.max() > 1 or model.config.bounds == "tanh"
    assert model.eval()(*inputs(model)).prediction.max() <= 1


def test_published_layers_start_xavier_uniform_with_zero_bias() -> None:
    torch.manual_seed(0)
    model = FusionModel(preset("dca_paper", 512, 512))
    gate = model.gating.stage1.gates["visual"].linear
    assert gate.weight.abs().max().item() == pytest.approx((6 / 514) ** 0.5, rel=0.02)  # 0.108; torch's own is 0.044
    assert not gate.bias.any()
    undecided = FusionModel(preset("dca_paper", 512, 512, gate_init="zero")).gating.stage1.gates["visual"].linear
    assert not undecided.weight.any()


def test_published_models_take_masks_of_absence() -> None:
    model = published("dca_paper").eval()
    audio, visual = inputs(model)
    there = torch.rand(2, 16, generator=torch.Generator().manual_seed(0)) > 0.4
    kept = model(audio, visual, there, there)
    spoilt = model(audio.masked_fill(~there[..., None], 1e9), visual.masked_fill(~there[..., None], -1e9), there, there)
    assert_close(kept.prediction, spoilt.prediction, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["jca_paper", "rjca_paper", "dca_paper", "iaca_paper", "grjca_paper"])
def test_a_model_of_an_older_version_of_the_preset_loads_and_predicts_the_same(name: str) -> None:
    """`golden/older_presets.json`: written by the version whose presets had other forms, with the weights of `fill`."""
    older = json.loads((FOLDER / "older_presets.json").read_text())[name]
    model = FusionModel(FusionConfig.model_validate(older["config"])).double().eval()
    assert {tensor: list(x.shape) for tensor, x in sorted(model.state_dict().items())} == older["tensors"]
    with torch.no_grad():
        fill(model)
    prediction = model(number("audio", 1, 12, 3), number("visual", 1, 12, 5)).prediction
    np.testing.assert_allclose(prediction.detach().flatten(), older["prediction"], rtol=0, atol=1e-9)
