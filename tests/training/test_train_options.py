"""Options of a run: another schedule, one dimension, supervision of the gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.callbacks import EarlyStopping
from short_runs import MODEL, PLUS, SHORT, TRAIN, VALIDATION, equal, run_until

from iaca.encoders import AnnotatedClip, ClipEmbedding
from iaca.encoders.embedding import embeddings_of
from iaca.errors import InputError
from iaca.evaluation.figures import learning_curve
from iaca.training.config import LossConfig
from iaca.training.data import training_loader, windows_of
from iaca.training.model_file import TrainedModel
from iaca.training.sample import Normalisation, WindowSpec
from iaca.training.train import FusionTraining, TrainingRun, _trainer, train


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, pd.DataFrame]:
    return train(TrainingRun(MODEL, SHORT, TRAIN, VALIDATION, tmp_path_factory.mktemp("plain")))


@pytest.mark.slow
def test_a_plateau_survives_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    falls = SHORT.model_copy(
        update={"schedule": "plateau", "plateau_patience": 1, "epochs": 6, "learning_rate": 0.05, "warmup_epochs": 0.0}
    )
    model, history = train(TrainingRun(MODEL, falls, TRAIN, VALIDATION, tmp_path / "whole"))
    rates = history["learning_rate"].round(9).tolist()
    assert len(set(rates)) > 1  # it fell
    assert set(rates) <= {0.05, 0.005, 0.0005, 0.00005, 0.000005}
    first = next(epoch for epoch, rate in enumerate(rates) if rate < 0.05)
    run_until(first, monkeypatch, MODEL, falls, TRAIN, VALIDATION, tmp_path / "stopped")
    resumed, again = train(TrainingRun(MODEL, falls, TRAIN, VALIDATION, tmp_path / "stopped"))
    pd.testing.assert_frame_equal(again, history, check_exact=True)
    assert equal(resumed, model)


@pytest.mark.slow
def test_one_dimension_is_learned_and_scored_by_itself(tmp_path: Path) -> None:
    alone = SHORT.model_copy(update={"targets": ("arousal",), "epochs": 2})
    model, history = train(TrainingRun(MODEL, alone, TRAIN, VALIDATION, tmp_path))
    assert model.targets == ("arousal",)
    assert not [name for name in (*history.columns, *model.metadata) if "valence" in name]
    np.testing.assert_allclose(history["score"], history[["clean_arousal", "corrupted_arousal"]].mean(axis=1))
    anything = [{n: without_valence(c) for n, c in clips.items()} for clips in (TRAIN, VALIDATION)]
    for one in anything[0].values():
        assert np.isnan(one.labels[:, 0]).all()
    assert equal(train(TrainingRun(MODEL, alone, *anything, tmp_path))[0], model)


def without_valence(one: AnnotatedClip) -> AnnotatedClip:
    labels = one.labels.copy()
    labels[:, 0] = np.nan
    return replace(one, labels=labels)


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, pd.DataFrame]:
    return train(TrainingRun(PLUS, SHORT, TRAIN, VALIDATION, tmp_path_factory.mktemp("plus")))


@pytest.mark.slow
def test_corruption_supervises_the_gates_of_iaca_plus(supervised: tuple, tmp_path: Path) -> None:
    model, history = supervised
    assert list(history.columns[:4]) == ["epoch", "train_loss", "learning_rate", "score"]
    assert history["supervision"].iloc[-1] < history["supervision"].iloc[0]
    unsupervised = train(TrainingRun(PLUS, SHORT.model_copy(update={"supervision": 0.0}), TRAIN, VALIDATION, tmp_path))
    assert "supervision" not in unsupervised[1]
    assert not equal(model, unsupervised[0])


def test_every_setting_reaches_what_it_sets(tmp_path: Path) -> None:
    changes = {"learning_rate": 0.01, "weight_decay": 0.4, "gradient_clip": 0.7, "supervision": 0.25, "epochs": 7}
    config = SHORT.model_copy(update={**changes, "patience": 5, "batch_size": 3})
    module, trainer = FusionTraining(PLUS, config, ""), _trainer(TrainingRun(PLUS, config, TRAIN, VALIDATION, tmp_path))
    (group,) = module.configure_optimizers().param_groups
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.4)
    assert (trainer.gradient_clip_val, trainer.max_epochs) == (0.7, 7)
    (stop,) = (each for each in trainer.callbacks if isinstance(each, EarlyStopping))
    assert (stop.monitor, stop.mode, stop.patience) == ("score", "max", 5)
    spec = WindowSpec(30, Normalisation.fit(embeddings_of(TRAIN), PLUS.cues), PLUS.cues)
    loader = training_loader(TRAIN, config, spec)
    assert loader.dataset.windows == windows_of(TRAIN, 30, 20)
    batch = next(iter(loader))
    assert len(batch["audio"]) == 3
    assert batch["corrupted"].any()
    loss = module.training_step(batch, 0)
    (main,), (supervision,) = module.losses["train_loss"], module.losses["supervision"]
    assert supervision > 0.01
    assert loss.item() == pytest.approx((main + 0.25 * supervision).item())


@pytest.mark.slow
def test_cold_learns_its_variances_from_its_errors(tmp_path: Path) -> None:
    cold = MODEL.model_copy(update={"attention": "none", "gate": "cold", "stage2": "none"})
    model, history = train(TrainingRun(cold, SHORT, TRAIN, VALIDATION, tmp_path / "with"))
    assert history["supervision"].iloc[-1] < history["supervision"].iloc[0]
    without = SHORT.model_copy(update={"supervision": 0.0})
    unsupervised, other = train(TrainingRun(cold, without, TRAIN, VALIDATION, tmp_path / "without"))
    assert "supervision" not in other
    assert not equal(model, unsupervised)


@pytest.mark.slow
def test_no_other_model_is_supervised(plain: tuple, tmp_path: Path) -> None:
    model, history = train(
        TrainingRun(MODEL, SHORT.model_copy(update={"supervision": 9.0}), TRAIN, VALIDATION, tmp_path)
    )
    assert "supervision" not in history
    assert equal(model, plain[0])


def with_reversed_cues(one: ClipEmbedding) -> ClipEmbedding:
    return replace(one, quality=one.quality[::-1].copy())


@pytest.mark.slow
def test_cues_reach_the_model_that_reads_them(supervised: tuple, tmp_path: Path) -> None:
    shifted = {n: replace(c, embedding=with_reversed_cues(c.embedding)) for n, c in TRAIN.items()}
    assert supervised[0].normalisation.quality_mean.shape == (3,)
    assert not equal(train(TrainingRun(PLUS, SHORT, shifted, VALIDATION, tmp_path))[0], supervised[0])


def test_a_cue_that_a_clip_lacks_is_refused_by_name(tmp_path: Path) -> None:
    reads = PLUS.model_copy(update={"cues": ("face_score", "blur")})
    with pytest.raises(InputError, match=r"reads the quality cue blur, but clip clip0 has \['face_score', "):
        train(TrainingRun(reads, SHORT, TRAIN, VALIDATION, tmp_path))


@pytest.mark.parametrize("fusion", ["MODEL", "PLUS"])
def test_the_learning_curve_shows_every_history(fusion: str, request: pytest.FixtureRequest) -> None:
    _, history = request.getfixturevalue({"MODEL": "plain", "PLUS": "supervised"}[fusion])
    loss, scores = learning_curve(history).axes
    assert [line.get_label() for line in loss.lines] == ["train"]
    assert {"valence", "arousal", "mean"} <= {line.get_label() for line in scores.lines}
    kept = history["epoch"][history["score"].idxmax()]
    assert kept in {line.get_xdata()[0] for line in scores.lines if len(line.get_xdata()) == 2}  # the dashed line


@pytest.mark.slow
def test_the_form_of_the_loss_is_minimised(plain: tuple, tmp_path: Path) -> None:
    by_window = SHORT.model_copy(update={"loss": LossConfig(form="window", mse=1.0)})
    model, history = train(TrainingRun(MODEL, by_window, TRAIN, VALIDATION, tmp_path))
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert not equal(model, plain[0])
