"""Several models answer as their mean, and must share their encoders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_models import model_on

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.inference.config import find_models
from iaca.inference.members import FusionMember, join, observed_shares
from iaca.training.model_file import save_model
from iaca.training.predict import BuiltModel

CONFIG = EmbeddingConfig(device="cpu")


def clip(steps: int = 12) -> ClipEmbedding:
    rng = np.random.default_rng(0)
    audio, visual = (rng.normal(size=(steps, CONFIG.dim(m))).astype(np.float32) for m in ("audio", "visual"))
    there = np.ones(steps, bool)
    return ClipEmbedding(audio, visual, there, there, np.arange(steps) / 10, np.zeros((steps, 0), np.float32))


def members(*names: str) -> list[FusionMember]:
    return [FusionMember(BuiltModel.of(model_on(CONFIG, name, seed))) for seed, name in enumerate(names)]


def test_one_model_answers_as_it_does_alone():
    (model,), one = members("iaca"), clip()
    alone, joint = model.predict(one), join([model], [model.predict(one)])
    np.testing.assert_array_equal(joint.prediction.prediction, alone.prediction)
    for name, weights in alone.gates.items():
        np.testing.assert_array_equal(joint.prediction.gates[name], weights)
    assert joint.labels == model.gate_labels


def test_several_answer_as_their_mean():
    models, one = members("iaca", "iaca", "iaca"), clip()
    said = [model.predict(one) for model in models]
    joint, values = join(models, said), np.stack([s.prediction for s in said])
    np.testing.assert_allclose(joint.prediction.prediction, values.mean(axis=0), atol=1e-6)
    weighed = [replace(s, gates={**s.gates, "modalities": np.tile(np.float32([w, 1 - w]), (12, 1))})
               for s, w in zip(said, (0.1, 0.3, 0.8), strict=True)]  # fmt: skip
    np.testing.assert_allclose(join(models, weighed).prediction.gates["modalities"][0], [0.4, 0.6], atol=1e-6)


def test_gates_that_not_all_have_are_left_out_and_dimensions_are_averaged_over_those_that_know_them():
    models, one = members("iaca", "concat"), clip()
    said = [model.predict(one) for model in models]
    half = replace(said[1], prediction=said[1].prediction * np.float32([1, np.nan]))
    joint = join(models, [said[0], half])
    assert joint.labels == {}
    np.testing.assert_array_equal(joint.prediction.prediction[:, 1], said[0].prediction[:, 1])
    assert joint.prediction.bounds is None


def test_bounds_and_inconsistency_are_averaged_if_all_members_have_them():
    models, one = members("iaca", "iaca"), clip()
    said = [
        replace(model.predict(one), bounds=np.full((12, 2, 2), b, np.float32), inconsistency=np.full(12, i, np.float32))
        for model, b, i in zip(models, (0.0, 0.5), (np.nan, 0.4), strict=True)
    ]
    joint = join(models, said).prediction
    assert (joint.bounds == 0.25).all()
    assert np.isnan(joint.inconsistency).all()
    assert join(models, [said[0], replace(said[1], inconsistency=None)]).prediction.inconsistency is None


def test_models_of_other_encoders_do_not_answer_together(tmp_path: Path) -> None:
    model = model_on(CONFIG)
    for name in "ab":
        save_model(model, tmp_path / f"{name}.safetensors")
    for version in ("visual_version", "audio_version", "embedding_version"):
        save_model(replace(model, metadata={**model.metadata, version: "0"}), tmp_path / "c.safetensors")
        with pytest.raises(InputError, match=rf"c\.safetensors.*same encoders.*a\.safetensors.*{version}"):
            Predictor.load(tmp_path)
    (tmp_path / "c.safetensors").unlink()
    predictor = Predictor.load(tmp_path, "cpu")
    assert len(predictor.members) == 2
    assert predictor.origin()["members"] == "2"
    assert "members" not in Predictor.load(tmp_path / "a.safetensors", "cpu").origin()


def test_model_files_are_found_by_file_folder_pattern_list_and_newest_version(tmp_path: Path) -> None:
    others = ("runs/notes.txt", "runs/.tmp-1-a.safetensors")  # the second is what a killed run leaves
    first, second = "2026-01-31T12.00.00.000Z", "2026-01-31T12.00.00.001Z"
    versions = [f"m.x/{version}/m.x" for version in (first, second, "backup", "2099-01-01", "zzz")]
    for name in ("runs/a.safetensors", "runs/b.safetensors", *others, *versions, f"m.x/2099{first[4:]}/other.x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    a, b, newest = (tmp_path / name for name in ("runs/a.safetensors", "runs/b.safetensors", f"m.x/{second}/m.x"))
    assert find_models(a) == [a]
    assert find_models(tmp_path / "runs") == [a, b]
    assert find_models(str(tmp_path / "runs/*.safetensors")) == [a, b]
    assert find_models(tmp_path / "m.x") == [newest]
    assert find_models(["zero_shot", a])[0].name == "zero_shot.json"
    assert find_models([b, tmp_path / "runs", tmp_path / "m.x"]) == [b, a, newest]
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "none", []):
        with pytest.raises(InputError, match="no model"):
            find_models(nothing)


def test_the_share_of_a_modality_falls_with_the_time_since_it_was_there():
    """A network's gate gives some weight to a face that is absent; nothing is behind it."""
    one = clip(60)
    one = replace(one, time_s=np.arange(60) / 10, face_found=np.arange(60) < 20, audio_present=np.arange(60) < 50)
    gates = {"modalities": np.full((60, 2), (0.25, 0.75), np.float32), "audio": np.full((60, 2), 0.5, np.float32)}
    labels = {"modalities": ("audio", "visual"), "audio": ("self", "cross")}
    shares = observed_shares(gates, labels, one)
    np.testing.assert_array_equal(shares["audio"], gates["audio"])
    voice, face = shares["modalities"].T
    np.testing.assert_allclose(face[:20], 0.75)
    np.testing.assert_allclose(face[29], 0.375 / (0.375 + 0.25), rtol=1e-6)  # a second after the last face
    assert (np.diff(face[19:50]) < 0).all()
    assert face[49] < 0.29
    np.testing.assert_allclose((voice + face)[:50], 1)
    assert np.isnan(shares["modalities"][50:]).all()
    never = observed_shares(gates, labels, replace(one, face_found=np.zeros(60, bool)))["modalities"]
    np.testing.assert_array_equal(never[:50], np.tile(np.float32([1, 0]), (50, 1)))
