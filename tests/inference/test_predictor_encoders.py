"""A model file and the encoders it was trained on: the same ones again, or none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.identity import describe
from iaca.encoders.registry import VISUAL
from iaca.errors import InputError
from iaca.fusion import FusionModel, preset
from iaca.inference import Predictor
from iaca.training import TrainedModel
from iaca.training.model_file import save_model
from iaca.training.normalisation import Normalisation


def model_on(config: EmbeddingConfig) -> TrainedModel:
    fusion = preset("concat", config.dim("audio"), config.dim("visual"), width=8)
    there, values = np.ones(4, bool), np.zeros((4, 2), np.float32)
    rows = (np.ones((4, config.dim(modality)), np.float32) for modality in ("audio", "visual"))
    clip = ClipEmbedding(*rows, there, there, np.arange(4.0), values, values[:, :0])
    return TrainedModel(fusion, FusionModel(fusion).state_dict(), Normalisation.fit({"a": clip}), describe(config))


def save_weights(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    save_file(VISUAL["resnet18"].build({}, None).backbone.state_dict(), path)
    return path


def test_a_model_brings_its_encoders_checkpoints_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = save_weights(tmp_path / "own.safetensors", 0)
    config = EmbeddingConfig(visual={"name": "resnet18", "weights": str(weights), "changes": {"side": 64}})
    save_model(model_on(config), tmp_path / "model.safetensors")
    assert Predictor.load(tmp_path / "model.safetensors").embedding == config
    save_weights(weights, 1)
    with pytest.raises(InputError, match=r"model\.safetensors: the model was trained on other encoders.*#"):
        Predictor.load(tmp_path / "model.safetensors")
    weights.unlink()
    with pytest.raises(InputError, match=r"own\.safetensors: no such checkpoint"):
        Predictor.load(tmp_path / "model.safetensors")
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    save_weights(tmp_path / "elsewhere/own.safetensors", 0)
    assert Predictor.load(tmp_path / "model.safetensors").embedding == config


def test_a_model_of_another_version_or_of_bare_features_is_refused(tmp_path: Path) -> None:
    model = model_on(EmbeddingConfig())
    for metadata, message in (
        ({**model.metadata, "audio_version": "0"}, "audio_version '1', not '0'"),
        ({"visual_encoder": "features", "audio_encoder": "features"}, "can't be made here"),
        ({}, "can't be made here"),
    ):
        save_model(replace(model, metadata=metadata), tmp_path / "model.safetensors")
        with pytest.raises(InputError, match=message):
            Predictor.load(tmp_path / "model.safetensors")
