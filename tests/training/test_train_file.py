"""The engine's task: from embeddings and timelines to a model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_clips import CUES, annotated_clips, clip

from iaca.encoders import write_embedding
from iaca.training.choice import ModelChoice
from iaca.training.config import TrainingConfig
from iaca.training.model_file import history_of, load_model
from iaca.training.predict import predict_clip
from iaca.training.train import train_file

SHORT = TrainingConfig(length=30, hop=30, batch_size=4, epochs=2, accelerator="cpu", threads=1)
SMALL = {"width": 8, "heads": 2, "temporal_layers": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, clips = tmp_path_factory.mktemp("files"), annotated_clips(4)
    for name, one in clips.items():
        write_embedding(one.embedding, folder / f"{name}.safetensors")
        pd.DataFrame(one.labels, columns=["valence", "arousal"]).to_parquet(folder / f"{name}.parquet")
    return [folder / f"{name}{suffix}" for suffix in (".safetensors", ".parquet") for name in clips]


def run(files: list[Path], tmp_path: Path, training: TrainingConfig = SHORT, **choice: object) -> Path:
    train_file(
        *files,
        target=tmp_path / "model.safetensors",
        choice=ModelChoice(**choice),
        training=training,
        train_clips=["clip0", "clip1", "clip2"],
        validation_clips=["clip3"],
        corpus={"name": "synthetic", "caveat": "none"},
        checkpoints=tmp_path / "checkpoints",
    )
    return tmp_path / "model.safetensors"


def test_a_model_that_reads_cues_is_given_those_of_the_corpus(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, preset="iaca_plus", changes=SMALL))
    assert model.config.cues == CUES
    assert model.metadata["preset"] == "iaca_plus"
    assert np.isfinite(predict_clip(model, clip(9)).prediction).all()
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_choice_may_name_the_cues(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, preset="iaca_plus", changes={**SMALL, "cues": ["synchrony"]}))
    assert model.config.cues == ("synchrony",)


def test_a_model_that_reads_none_has_none(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, preset="concat", changes=SMALL))
    assert model.config.cues == ()
    assert model.normalisation.quality_mean.size == 0


def test_the_file_carries_the_history_of_a_pair_too(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, SHORT.model_copy(update={"per_dimension": True}), changes=SMALL))
    history = history_of(model)
    assert isinstance(history, pd.DataFrame)
    assert history["epoch"].tolist() == [0, 1]
    assert {"train_loss", "score", "validation_ccc_valence", "validation_ccc_arousal"} <= set(history.columns)
