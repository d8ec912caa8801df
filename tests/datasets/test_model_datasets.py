"""Models as data sets: what was saved comes back, and what is missing or another's says so."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kedro.io.core import DatasetError, Version

from iaca.datasets.model import AdaptedModelDataset, BaselinesDataset, ModelDataset, ModelPath
from iaca.encoders.config import EmbeddingConfig
from iaca.errors import InputError
from iaca.fusion import FusionConfig, FusionModel
from iaca.inference.config import NAMED, find_models
from iaca.inference.members import FIRST, AdaptedModel
from iaca.inference.zero_shot import ZeroShot
from iaca.training.model_file import TrainedBaselines, TrainedModel
from iaca.training.sample import Normalisation


def test_an_adapted_model_comes_back_and_another_file_is_refused(tmp_path: Path) -> None:
    dataset = AdaptedModelDataset(filepath=str(tmp_path / "adapted.safetensors"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="run the `adaptation` pipeline first"):
        dataset.load()
    width = FIRST + 2 + sum(EmbeddingConfig().dim(modality) for modality in ("audio", "visual"))
    saved = AdaptedModel(ZeroShot.read(NAMED["zero_shot"]).config, np.ones((width, 2)), {"clips": "1"})
    dataset.save(saved)
    assert dataset.exists()
    loaded = dataset.load()
    assert (loaded.zero_shot, loaded.facts) == (saved.zero_shot, saved.facts)
    np.testing.assert_array_equal(loaded.weights, saved.weights)


def test_a_trained_model_shows_what_it_is_and_where_it_comes_from(tmp_path: Path) -> None:
    config = FusionConfig(audio_dim=3, visual_dim=4, width=8)
    normalisation = Normalisation(*(np.ones(n, np.float32) for n in (3, 3, 4, 4)))
    dataset = ModelDataset(filepath=str(tmp_path / "model.safetensors"))
    dataset.save(TrainedModel(config, FusionModel(config).state_dict(), normalisation, {"corpus": "<b>c</b>"}))
    shown = json.loads(str(dataset.preview()))
    assert (shown["config"]["width"], shown["corpus"]) == (8, "<b>c</b>")


def test_baselines_come_back_by_version_and_may_be_missing(tmp_path: Path) -> None:
    file = str(tmp_path / "baselines.safetensors")
    asked = "2026-01-31T12.00.00.000Z"
    assert BaselinesDataset(filepath=file, version=Version(None, asked)).load() is None
    config = FusionConfig(audio_dim=3, visual_dim=4, width=8)
    normalisation = Normalisation(*(np.ones(n, np.float32) for n in (3, 3, 4, 4)))
    model = TrainedModel(config, FusionModel(config).state_dict(), normalisation, {"seed": "1"})
    BaselinesDataset(filepath=file, version=Version(None, asked)).save(TrainedBaselines("ab", {"x": model}))
    for version in (None, asked):
        found = BaselinesDataset(filepath=file, version=Version(version, None)).load()
        assert found is not None
        assert (found.main, list(found.models)) == ("ab", ["x"])
    assert BaselinesDataset(filepath=file, version=Version("2025-01-31T12.00.00.000Z", None)).load() is None


def test_the_path_of_a_model_is_read_alone(tmp_path: Path) -> None:
    assert ModelPath(filepath=str(tmp_path / "zero_shot")).load() == [NAMED["zero_shot"]]
    assert ModelPath(filepath=str(tmp_path / "zero_shot")).exists()
    assert not ModelPath(filepath=str(tmp_path / "none")).exists()
    with pytest.raises(DatasetError, match="read, not written"):
        ModelPath(filepath=str(tmp_path / "none")).save([])  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
def test_what_is_said_of_a_missing_model_names_every_one_that_comes_with_the_project(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as of_kedro:
        ModelPath(filepath=str(tmp_path / "missing.safetensors")).load()
    with pytest.raises(InputError) as of_inference:
        find_models(tmp_path / "missing.safetensors")
    assert set(NAMED) >= {"zero_shot", "zero_shot_blendshapes", "zero_shot_heads"}
    for said in (str(of_kedro.value), str(of_inference.value)):
        assert ", ".join(NAMED) in said


def test_a_model_that_equals_the_newest_version_is_not_saved_again(tmp_path: Path) -> None:
    config = FusionConfig(audio_dim=3, visual_dim=4, width=8)
    normalisation = Normalisation(*(np.ones(n, np.float32) for n in (3, 3, 4, 4)))
    model = TrainedModel(config, FusionModel(config).state_dict(), normalisation, {"seed": "0"})
    other = replace(model, metadata={"seed": "1"})

    def saved(number: int, model: TrainedModel, load: str | None = None) -> ModelDataset:
        dataset = ModelDataset(filepath=str(tmp_path / "m.x"), version=Version(load, versions[number]))
        dataset.save(model)
        return dataset

    versions = [f"2026-01-31T12.00.00.00{number}Z" for number in range(5)]
    assert saved(0, model).load().metadata == {"seed": "0"}
    again = saved(1, model)
    assert again.load().metadata == {"seed": "0"}
    assert again.exists()
    assert again.resolve_load_version() == versions[1]
    assert saved(2, other).load().metadata == {"seed": "1"}
    assert saved(3, model).load().metadata == {"seed": "0"}  # as the first, but not as the newest
    assert sorted(path.name for path in (tmp_path / "m.x").iterdir()) == [versions[0], versions[2], versions[3]]
    assert ModelDataset(filepath=str(tmp_path / "m.x"), version=Version(None, None)).load().metadata == {"seed": "0"}
