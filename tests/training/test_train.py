"""Training: it learns, it is reproducible bit for bit, and it resumes after an interruption."""

from __future__ import annotations

import io
import logging
import pickle
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from short_runs import MODEL, PLUS, SHORT, TRAIN, VALIDATION, PowerCutError, equal, run_until
from synthetic_clips import AUDIO_DIM, VISUAL_DIM, annotated_clips

from iaca.errors import InputError
from iaca.fusion import FusionConfig, preset
from iaca.training.checkpoints import AtomicCheckpointIO, data_fingerprint, read_checkpoint, run_fingerprint
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel
from iaca.training.train import FusionTraining, TrainingRun, train


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, pd.DataFrame]:
    return train(TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, tmp_path_factory.mktemp("run") / "checkpoints"))


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    epoch: int, uninterrupted: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(epoch, monkeypatch, MODEL, SHORT, TRAIN, VALIDATION, tmp_path / "checkpoints")
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()
    epochs_run = []
    monkeypatch.setattr(FusionTraining, "on_train_epoch_start", counting(epochs_run))
    model, history = train(TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, tmp_path / "checkpoints"))
    assert epochs_run == list(range(epoch, 4))  # it resumed, and did not start from the beginning
    assert equal(model, uninterrupted[0])
    assert model.metadata == uninterrupted[0].metadata
    pd.testing.assert_frame_equal(history, uninterrupted[1], check_exact=True)


@pytest.mark.slow
def test_windows_cut_by_other_processes_train_the_same_model_interrupted_or_not(
    uninterrupted: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SHORT.model_copy(update={"loaders": 2})
    run_until(2, monkeypatch, MODEL, config, TRAIN, VALIDATION, tmp_path / "checkpoints")
    model, history = train(TrainingRun(MODEL, config, TRAIN, VALIDATION, tmp_path / "checkpoints"))
    assert equal(model, uninterrupted[0])
    assert model.metadata == uninterrupted[0].metadata
    pd.testing.assert_frame_equal(history, uninterrupted[1], check_exact=True)


@pytest.mark.slow
def test_readings_are_made_in_other_processes_too(tmp_path: Path) -> None:
    models = [
        train(
            TrainingRun(
                PLUS, SHORT.model_copy(update={"epochs": 1, "loaders": n}), TRAIN, VALIDATION, tmp_path / str(n)
            )
        )
        for n in (0, 2)
    ]
    assert equal(models[0][0], models[1][0])


def counting(epochs: list[int]):
    start = FusionTraining.on_train_epoch_start

    def counts(self: FusionTraining) -> None:
        epochs.append(self.current_epoch)
        start(self)

    return counts


@pytest.mark.slow
@pytest.mark.parametrize("other", ["seed", "data", "model"])
def test_checkpoints_of_another_run_are_not_resumed(
    other: str, uninterrupted: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {
        "seed": (MODEL, SHORT.model_copy(update={"seed": 5}), TRAIN),
        "data": (MODEL, SHORT, annotated_clips(5)),
        "model": (preset("concat", AUDIO_DIM, VISUAL_DIM, width=8), SHORT, TRAIN),
    }
    run_until(2, monkeypatch, *runs[other], VALIDATION, tmp_path)
    model, _ = train(TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, tmp_path))
    assert equal(model, uninterrupted[0])


def zipped(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"fingerprint": content}, buffer)
    return buffer.getvalue()


@pytest.mark.slow
def test_a_torn_or_hostile_checkpoint_is_neither_used_nor_executed(uninterrupted: tuple, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "executed",)

    for content in (b"torn", pickle.dumps(Hostile()), zipped(Hostile())):
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / "last.ckpt").write_bytes(content)
        (tmp_path / "checkpoints" / "best.ckpt").write_bytes(content)
        model, _ = train(TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, tmp_path / "checkpoints"))
        assert equal(model, uninterrupted[0])
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_a_run_leaves_nothing_behind_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    train(TrainingRun(MODEL, SHORT.model_copy(update={"threads": 1}), TRAIN, VALIDATION, tmp_path / "checkpoints"))
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_progress_is_one_bar_of_epochs(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    train(TrainingRun(MODEL, SHORT.model_copy(update={"epochs": 2}), TRAIN, VALIDATION, tmp_path, progress=True))
    out, err = capfd.readouterr()
    assert out == ""
    assert "training: 100%" in err
    assert err.count("\n") == 1


def test_a_redirected_log_says_where_a_long_training_is_and_what_it_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("iaca.training.progress.LINE_S", 0.0)
    run = TrainingRun(MODEL, SHORT.model_copy(update={"epochs": 2}), TRAIN, VALIDATION, tmp_path / "concat")
    _, history = train(run)
    lines = [line.split(" ", 1)[1] for line in capfd.readouterr().err.splitlines()]
    first, second = history["score"]
    best = f"{max(first, second):.3f} (epoch {1 if first >= second else 2})"
    assert lines == [
        f"training concat: epoch 1 of at most 2, validation score {first:.3f}, best {first:.3f} (epoch 1)",
        f"training concat: epoch 2 of at most 2, validation score {second:.3f}, best {best}",
    ]


def test_the_best_epoch_is_kept_and_its_scores_are_in_the_metadata(uninterrupted: tuple) -> None:
    model, history = uninterrupted
    assert list(history.columns) == ["epoch", "train_loss", "learning_rate", "score", "clean_valence", "clean_arousal",
                                     "corrupted_valence", "corrupted_arousal", "validation_ccc_valence",
                                     "validation_ccc_arousal"]  # fmt: skip
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    means = history[["clean_valence", "clean_arousal", "corrupted_valence", "corrupted_arousal"]].mean(axis=1)
    np.testing.assert_allclose(history["score"], means)
    np.testing.assert_allclose(history["score"], history.filter(like="validation_ccc_").mean(axis=1))
    best = history.loc[history["score"].idxmax()]
    assert model.metadata["epoch"] == str(int(best["epoch"]))
    assert float(model.metadata["validation_score"]) == pytest.approx(best["score"], abs=1e-6)
    assert model.metadata["audio_encoder"] == "descriptors"
    assert {name for name in model.metadata if name.startswith("validation_")} == {
        "validation_score", "validation_clean_valence", "validation_clean_arousal", "validation_corrupted_valence",
        "validation_corrupted_arousal"}  # fmt: skip
    assert "clip_seed" not in model.metadata  # the clips differ in it


@pytest.mark.slow
def test_training_stops_when_it_gets_no_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iaca.training.predict.concordance", lambda *_: torch.tensor([0.1, 0.1]))
    _, history = train(
        TrainingRun(MODEL, SHORT.model_copy(update={"epochs": 9, "patience": 2}), TRAIN, VALIDATION, tmp_path)
    )
    assert len(history) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("step", "epochs", "best"), [(0.01, 6, 5), (-0.01, 3, 0)], ids=["rising", "falling"])
def test_rising_scores_never_stop_it_and_falling_ones_do_after_the_patience(
    step: float, epochs: int, best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = count(0.1, step)
    monkeypatch.setattr("iaca.training.predict.concordance", lambda *_: torch.tensor([next(scores)] * 2))
    model, history = train(
        TrainingRun(MODEL, SHORT.model_copy(update={"epochs": 6, "patience": 2}), TRAIN, VALIDATION, tmp_path)
    )
    assert len(history) == epochs
    assert model.metadata["epoch"] == str(best)


def test_a_seed_gives_the_initial_weights() -> None:
    def initial(seed: int) -> torch.Tensor:
        module = FusionTraining(MODEL, SHORT.model_copy(update={"seed": seed}), "")
        return torch.nn.utils.parameters_to_vector(module.parameters())

    assert torch.equal(initial(3), initial(3))
    assert (initial(3) != initial(4)).float().mean() > 0.5


def test_the_data_fingerprint_is_of_features_and_annotation() -> None:
    before = data_fingerprint(TRAIN)
    assert data_fingerprint(dict(reversed(TRAIN.items()))) == before
    labels = TRAIN["clip0"].labels.copy()
    labels[30, 1] = 0.5
    corrected = TRAIN | {"clip0": replace(TRAIN["clip0"], labels=labels)}
    audio = TRAIN["clip0"].embedding.audio + 1
    louder = TRAIN | {"clip0": replace(TRAIN["clip0"], embedding=replace(TRAIN["clip0"].embedding, audio=audio))}
    others = {name: clip for name, clip in TRAIN.items() if name != "clip0"}
    assert len({before, *(data_fingerprint(clips) for clips in (corrected, louder, others))}) == 4


@pytest.mark.slow
def test_epochs_that_were_no_better_are_remembered_across_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iaca.training.predict.concordance", lambda *_: torch.tensor([0.1, 0.1]))
    patient, epochs_run = SHORT.model_copy(update={"epochs": 9, "patience": 3}), []
    run_until(3, monkeypatch, MODEL, patient, TRAIN, VALIDATION, tmp_path)
    monkeypatch.setattr(FusionTraining, "on_train_epoch_start", counting(epochs_run))
    model, history = train(TrainingRun(MODEL, patient, TRAIN, VALIDATION, tmp_path))
    assert epochs_run == [3]
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert model.metadata["epoch"] == "0"


@pytest.mark.slow
def test_a_folder_that_was_moved_starts_from_the_beginning(
    uninterrupted: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(2, monkeypatch, MODEL, SHORT, TRAIN, VALIDATION, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert equal(train(TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, tmp_path / "there"))[0], uninterrupted[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iaca", "concat"])
def test_two_latent_trajectories_are_learned_in_a_few_epochs(name: str, tmp_path: Path) -> None:
    config = TrainingConfig(length=60, hop=40, batch_size=4, epochs=8, learning_rate=3e-3, accelerator="cpu", threads=1)
    fusion = preset(name, AUDIO_DIM, VISUAL_DIM, width=16, heads=2)
    data, held_out = annotated_clips(16, steps=120), annotated_clips(6, first=100, steps=120)
    _, history = train(TrainingRun(fusion, config, data, held_out, tmp_path))
    best = history.loc[history["score"].idxmax()]
    assert best["clean_valence"] > 0.75
    assert best["clean_arousal"] > 0.75
    assert best["score"] > 0.65


@pytest.mark.slow
def test_each_modality_alone_learns_what_it_sees(tmp_path: Path) -> None:
    config = TrainingConfig(length=60, hop=40, batch_size=4, epochs=6, learning_rate=3e-3, accelerator="cpu", threads=1)
    data, held_out = (annotated_clips(n, first, steps=120, noise=2.0) for n, first in ((12, 0), (6, 100)))
    gaps = {}
    for modality in ("audio", "visual"):
        fusion = preset(modality, AUDIO_DIM, VISUAL_DIM, width=16)
        best = train(TrainingRun(fusion, config, data, held_out, tmp_path))[1].max()
        gaps[modality] = best["clean_valence"] - best["clean_arousal"]
    assert gaps["visual"] > 0.1
    assert gaps["audio"] < -0.1


def test_a_fixed_length_trains_on_windows_of_that_length(tmp_path: Path) -> None:
    fixed = FusionConfig(audio_dim=AUDIO_DIM, visual_dim=VISUAL_DIM, width=8, heads=2, attention="jca_fixed", length=30)
    once = SHORT.model_copy(update={"epochs": 1})
    model, _ = train(TrainingRun(fixed, once, TRAIN, VALIDATION, tmp_path))
    assert model.weights["attention.layers.0.mix.audio.weight"].shape == (30, 30)
    with pytest.raises(InputError, match="length=30 steps, but training windows have length=20"):
        train(TrainingRun(fixed, SHORT.model_copy(update={"length": 20}), TRAIN, VALIDATION, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("fusion", [MODEL, PLUS], ids=["iaca", "iaca_plus"])
def test_mixed_precision_trains(fusion: FusionConfig, tmp_path: Path) -> None:
    mixed = SHORT.model_copy(update={"precision": "bf16-mixed", "epochs": 2})
    model, history = train(TrainingRun(fusion, mixed, TRAIN, VALIDATION, tmp_path))
    assert np.isfinite(history["train_loss"]).all()
    assert {tensor.dtype for tensor in model.weights.values()} == {torch.float32}


def test_clips_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    unlabelled = {n: replace(c, labels=np.full_like(c.labels, np.nan)) for n, c in VALIDATION.items()}
    with pytest.raises(InputError, match="no step of the validation partition is annotated"):
        train(TrainingRun(MODEL, SHORT, TRAIN, unlabelled, tmp_path))
    with pytest.raises(InputError, match=r"no step of the train partition is annotated \(0 clips\)"):
        train(TrainingRun(MODEL, SHORT, {}, VALIDATION, tmp_path))
    with pytest.raises(InputError, match="clip clip0 has embeddings of width"):
        train(TrainingRun(preset("iaca", 7, VISUAL_DIM, width=8), SHORT, TRAIN, VALIDATION, tmp_path))


@pytest.mark.slow
def test_a_run_that_is_killed_when_all_is_done_but_the_model_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iaca.training.predict.concordance", lambda *_: torch.tensor([0.1, 0.1]))
    stops_early = SHORT.model_copy(update={"epochs": 9, "patience": 2})
    model, history = train(TrainingRun(MODEL, stops_early, TRAIN, VALIDATION, tmp_path / "uninterrupted"))
    with monkeypatch.context() as patch:
        patch.setattr("iaca.training.train.remove_checkpoints", cut_power)
        patch.setattr("iaca.training.train.resumable_checkpoint", lambda *_: None)
        with pytest.raises(PowerCutError):
            train(TrainingRun(MODEL, stops_early, TRAIN, VALIDATION, tmp_path / "killed"))
    again, table = train(TrainingRun(MODEL, stops_early, TRAIN, VALIDATION, tmp_path / "killed"))
    assert equal(again, model)
    assert again.metadata == model.metadata
    pd.testing.assert_frame_equal(table, history, check_exact=True)
    assert len(table) == 3


def cut_power(*_: object) -> None:
    raise PowerCutError


def test_the_fingerprint_of_a_run_is_of_clips_and_subjects_in_any_order() -> None:
    """Subjects count where readings are fitted in folds of them."""
    assert PLUS.reads > MODEL.reads
    subjects = {name: f"s{i // 2}" for i, name in enumerate(TRAIN)}
    turned, others = dict(reversed(TRAIN.items())), subjects | {"clip0": "s1"}

    def fingerprint(model: FusionConfig, clips: dict, people: dict) -> str:
        return TrainingRun(model, SHORT, clips, VALIDATION, Path("unused"), subjects=people).fingerprint

    for model in (PLUS, MODEL):
        first = fingerprint(model, TRAIN, subjects)
        assert fingerprint(model, turned, dict(reversed(subjects.items()))) == first
        assert (fingerprint(model, TRAIN, others) != first) == model.reads


def test_checkpoints_of_another_version_of_the_code_are_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_fingerprint(MODEL, SHORT, "data")
    assert run_fingerprint(MODEL, SHORT, "data") == before
    monkeypatch.setattr("iaca.training.checkpoints.VERSION", "0")
    assert run_fingerprint(MODEL, SHORT, "data") != before


def test_a_checkpoint_that_cannot_be_written_leaves_the_older_one_and_nothing_else(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    with pytest.raises(AttributeError, match="pickle"):
        AtomicCheckpointIO().save_checkpoint({"epoch": lambda: 2}, tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert read_checkpoint(tmp_path / "last.ckpt") == {"epoch": 1}
