"""The engine's task: from embeddings and timelines to a model file."""

from __future__ import annotations

import gc
import pickle
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_clips import CUES, annotated_clips, clip

from iaca.encoders import AnnotatedClip, read_annotated, read_embedding, write_embedding
from iaca.encoders.embedding import embeddings_of
from iaca.errors import InputError
from iaca.fusion.config import ModelChoice
from iaca.training.checkpoints import data_fingerprint
from iaca.training.config import TrainingConfig
from iaca.training.data import training_loader, validation_loaders
from iaca.training.model_file import history_of, load_model
from iaca.training.predict import predict_clip
from iaca.training.sample import Normalisation, WindowSpec
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


@pytest.mark.slow
def test_a_model_learns_from_the_train_clips_alone(files: list[Path], tmp_path: Path) -> None:
    """Their number, their fingerprint and their statistics are in its file, however far off the validation clip is."""
    folder, clips = tmp_path / "shifted", annotated_clips(4)
    folder.mkdir()
    far = clips["clip3"].embedding
    shifted = replace(far, audio=far.audio + 100, visual=far.visual - 50, quality=far.quality + 7)
    write_embedding(shifted, folder / "clip3.safetensors")
    given = [folder / path.name if path.name == "clip3.safetensors" else path for path in files]
    model = load_model(run(given, tmp_path, preset="iaca_plus", **SMALL))
    train_clips = {name: clips[name] for name in ("clip0", "clip1", "clip2")}
    assert model.metadata["clips"] == "3"
    assert model.metadata["data_fingerprint"] == data_fingerprint(train_clips)
    expected = Normalisation.fit(embeddings_of(train_clips), CUES)
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(model.normalisation, name), values)


def test_a_timeline_of_another_clip_is_refused(files: list[Path], tmp_path: Path) -> None:
    short = tmp_path / "short.parquet"
    pd.read_parquet(files[4])[:-1].to_parquet(short)
    with pytest.raises(InputError, match=r"short\.parquet: the timeline has 59 steps, but 60 are embedded"):
        run([*files[:4], short, *files[5:]], tmp_path)


@pytest.mark.slow
def test_a_model_that_reads_cues_is_given_those_of_the_corpus(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, preset="iaca_plus", **SMALL))
    assert model.config.cues == CUES
    assert model.metadata["preset"] == "iaca_plus"
    assert np.isfinite(predict_clip(model, clip(9)).prediction).all()
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.slow
def test_the_choice_may_name_the_cues(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, preset="iaca_plus", **SMALL, cues=["synchrony"]))
    assert model.config.cues == ("synchrony",)


def test_a_model_that_reads_none_has_none(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, preset="concat", **SMALL))
    assert model.config.cues == ()
    assert model.normalisation.quality_mean.size == 0


@pytest.mark.slow
def test_the_file_carries_the_history_of_a_pair_too(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, SHORT.model_copy(update={"per_dimension": True}), **SMALL))
    history = history_of(model)
    assert isinstance(history, pd.DataFrame)
    assert history["epoch"].tolist() == [0, 1]
    assert {"train_loss", "score", "validation_ccc_valence", "validation_ccc_arousal"} <= set(history.columns)


@pytest.mark.slow
def test_rows_of_float16_give_nearly_the_same_predictions(files: list[Path], tmp_path: Path) -> None:
    model = load_model(run(files, tmp_path, preset="iaca_plus", **SMALL))
    full = read_embedding(files[0])
    write_embedding(full, tmp_path / "half.safetensors", "float16")
    half = read_embedding(tmp_path / "half.safetensors")
    assert half.audio.dtype == np.float16
    np.testing.assert_allclose(predict_clip(model, half).prediction, predict_clip(model, full).prediction, atol=1e-3)


def test_float16_files_train_nearly_the_same_model(files: list[Path], tmp_path: Path) -> None:
    halves = [tmp_path / path.name for path in files[:4]]
    for path, half in zip(files, halves, strict=False):
        write_embedding(read_embedding(path), half, "float16")
    scores = []
    for given, folder in (files, "full"), ([*halves, *files[4:]], "half"):
        (tmp_path / folder).mkdir()
        scores.append(history_of(load_model(run(given, tmp_path / folder, preset="late")))["score"])
    np.testing.assert_allclose(*scores, atol=2e-3)


def test_a_worker_does_not_keep_the_clips_of_earlier_models(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their mapping ends before the next model is trained."""
    opened: list[weakref.ref[AnnotatedClip]] = []

    def watched(*paths: Path) -> AnnotatedClip:
        clip = read_annotated(*paths)
        opened.append(weakref.ref(clip))
        return clip

    monkeypatch.setattr("iaca.training.train.read_annotated", watched)
    gc.disable()
    try:
        run(files, tmp_path, preset="concat", **SMALL)
        first = list(opened)
        run(files, tmp_path, preset="concat", **SMALL)
    finally:
        gc.enable()
    assert len(first) == 4
    assert [clip() for clip in first] == [None] * 4


def test_processes_of_other_devices_get_paths_and_not_clips(files: list[Path]) -> None:
    """`ddp_spawn` pickles the loaders: at the size of Aff-Wild2, 7.5 GiB for each process."""
    clips = {path.stem: read_annotated(path, path.with_suffix(".parquet")) for path in files[:4]}
    spec = WindowSpec(30, Normalisation.fit(embeddings_of(clips)))
    loaders = [training_loader(clips, SHORT, spec), *validation_loaders(clips, SHORT, spec)]
    sent = pickle.dumps([loader.dataset for loader in loaders])
    assert all(one.embedding.audio.tobytes() not in sent for one in clips.values())
    there = pickle.loads(sent)[0]
    for key in ((0, 0), (3, 5)):
        np.testing.assert_array_equal(there[key].visual, loaders[0].dataset[key].visual)
