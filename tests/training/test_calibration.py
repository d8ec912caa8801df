"""Intervals: the conformal quantile, the error scale, coverage on new clips, and the way into a model file and back."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from synthetic_clips import AUDIO_DIM, VISUAL_DIM, annotated_clips, clip

from iaca.encoders.embedding import embeddings_of
from iaca.errors import InputError
from iaca.fusion import preset
from iaca.training.calibration import (
    CASES,
    LEVEL,
    Calibration,
    Errors,
    calibrate,
    circumstances,
    clips_needed,
    conformal_quantile,
    fit_intervals,
    fit_recalibration,
    used,
)
from iaca.training.config import TrainingConfig
from iaca.training.model_file import (
    TrainedBaselines,
    TrainedModel,
    load_baselines,
    load_model,
    save_baselines,
    save_model,
)
from iaca.training.predict import predict_clip, prediction_table
from iaca.training.sample import Normalisation
from iaca.training.train import TrainingRun, calibrated, subject_folds, train

TRAIN, HELD = annotated_clips(6, steps=80), annotated_clips(4, first=10, steps=80)
SUBJECTS = {name: f"s{i // 2}" for i, name in enumerate([*TRAIN, *HELD])}
MODEL = preset("iaca", AUDIO_DIM, VISUAL_DIM, width=8, heads=2)
SHORT = TrainingConfig(length=40, hop=30, epochs=2, folds=3, threads=1)


def run(checkpoints: Path, config: TrainingConfig = SHORT) -> TrainingRun:
    return TrainingRun(MODEL, config, TRAIN, HELD, checkpoints, subjects=SUBJECTS)


def test_one_frame_per_clip_is_split_conformal_prediction() -> None:
    """The ceil((K + 1) level)-th smallest of K scores, as in Vovk et al. and as `crepes` and MAPIE compute it."""
    scores = np.random.default_rng(0).exponential(size=37)
    expected = np.sort(scores)[int(np.ceil(38 * 0.9)) - 1]
    assert conformal_quantile([np.array([s]) for s in scores], 0.9) == pytest.approx(expected)


def test_a_long_clip_counts_as_much_as_a_short_one() -> None:
    clips = [np.full(1000, 5.0), *(np.full(2, float(i)) for i in range(19))]
    assert conformal_quantile(clips, 0.9) == 17.0  # of 20 clips and infinity, the 19th mass: 0..4, 5, 5, 6 ... 17


def test_too_few_clips_give_no_interval() -> None:
    assert [clips_needed(level) for level in (0.8, 0.9, 0.95)] == [4, 9, 19]
    scores = [np.ones(50) for _ in range(9)]
    assert conformal_quantile(scores, 0.9) == 1.0
    assert conformal_quantile(scores[:8], 0.9) == np.inf
    cases = [Errors(f"s{i}", np.random.default_rng(i).normal(size=(50, 3)), np.ones((50, 2))) for i in range(9)]
    assert fit_intervals(cases) is not None
    assert fit_intervals(cases[:8]) is None
    assert fit_intervals([case._replace(subject="one") for case in cases]) is None


def drawn(seed: int, steps: int = 200) -> Errors:
    """A clip whose errors grow with the first circumstance, and whose level is its own."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, 3))
    spread = np.exp(0.8 * x[:, :1] + 0.3 * rng.normal() - 1.5)
    return Errors(f"s{seed}", x, np.abs(rng.normal(size=(steps, 2))) * spread)


def test_intervals_cover_new_clips_and_are_wide_where_errors_are() -> None:
    intervals = fit_intervals([drawn(i) for i in range(60)])
    assert intervals is not None
    covered, widths, errors = [], [], []
    for seed in range(1000, 1200):
        new = drawn(seed)
        bounds = intervals.of(np.zeros((200, 2), np.float32), new.circumstances)
        covered.append((new.errors <= np.minimum(bounds[:, 1], 1.0)).mean())
        widths.append(bounds[:, 1, 0] - bounds[:, 0, 0])
        errors.append(new.errors[:, 0])
    assert 0.88 < np.mean(covered) < 0.94
    ranks = (np.concatenate(part).argsort().argsort() for part in (widths, errors))
    assert np.corrcoef(*ranks)[0, 1] > 0.5


def test_the_scale_of_an_error_is_fitted_without_its_subject() -> None:
    """Ten subjects, of two clips each, are ten folds."""
    clips = [drawn(i, steps=40 + 20 * i)._replace(subject=f"s{i // 2}") for i in range(20)]
    scores = []
    for held in clips:
        others = fit_intervals([other for other in clips if other.subject != held.subject])
        assert others is not None
        scores.append(others.scores(held))
    found = fit_intervals(clips)
    assert found is not None
    expected = [conformal_quantile([each[:, d] for each in scores], LEVEL) for d in range(2)]
    np.testing.assert_allclose(found.quantile, expected, rtol=1e-6)


def test_bounds_stay_on_the_scale_around_the_prediction() -> None:
    intervals = fit_intervals([drawn(i) for i in range(20)])
    assert intervals is not None
    prediction = np.array([[0.95, -0.95]], np.float32)
    low, high = intervals.of(prediction, np.full((1, 3), 100.0))[0]
    assert (low <= prediction[0]).all()
    assert (high >= prediction[0]).all()
    assert low.min() >= -1
    assert high.max() <= 1


def test_circumstances_have_the_stated_number_and_are_finite() -> None:
    one = clip(3)
    cases = circumstances(
        one, np.zeros((60, 2), np.float32), np.zeros((60, 2, 2), np.float32), np.full((60, 3), np.nan)
    )
    assert cases.shape == (60, CASES)
    assert np.isfinite(cases).all()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    folder = tmp_path_factory.mktemp("calibrated")
    trained, _ = calibrated(run(folder / "checkpoints"))
    assert not (folder / "checkpoints").exists()
    return trained


def calibration_of(model: TrainedModel) -> Calibration:
    assert model.calibration is not None
    return model.calibration


def test_folds_are_of_whole_subjects() -> None:
    folds = subject_folds(TRAIN, SUBJECTS, 2)
    assert sorted(name for fold in folds for name in fold) == sorted(TRAIN)
    assert not {SUBJECTS[n] for n in folds[0]} & {SUBJECTS[n] for n in folds[1]}
    assert subject_folds(TRAIN, dict.fromkeys(TRAIN, "one"), 3) == []
    assert subject_folds(TRAIN, SUBJECTS, 0) == []


@pytest.mark.slow
def test_calibration_does_not_touch_the_model(model: TrainedModel, tmp_path: Path) -> None:
    plain, _ = train(run(tmp_path / "checkpoints"))
    assert plain.calibration is None
    for name, tensor in plain.weights.items():
        np.testing.assert_array_equal(tensor, model.weights[name])


@pytest.mark.slow
def test_errors_on_train_clips_are_those_of_networks_that_have_not_seen_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    module = sys.modules[train.__module__]
    monkeypatch.setattr(module, "calibrate", lambda *arguments: given.append(arguments) or calibrate(*arguments))
    calibrated(run(tmp_path / "checkpoints", SHORT.model_copy(update={"folds": 2})))
    _, _, of_whole, _, held, _, folds, *_ = given[0]
    assert held == HELD
    assert sorted(name for left_out, _ in folds for name in left_out) == sorted(TRAIN)
    for left_out, predict in folds:
        rest = {name: one for name, one in TRAIN.items() if name not in left_out}
        alone, _ = train(replace(run(tmp_path / "alone"), train_clips=rest))
        one = TRAIN[min(left_out)].embedding
        np.testing.assert_array_equal(predict(one), predict_clip(alone, one).prediction)
        assert not np.array_equal(predict(one), of_whole(one))


def test_errors_are_of_annotated_steps_at_which_somebody_was_observed(model: TrainedModel) -> None:
    one = HELD["clip10"]
    nobody = np.arange(80) >= 60
    hidden = one.embedding.with_modalities(present={m: p & ~nobody for m, p in one.embedding.present.items()})
    prediction = predict_clip(model, hidden).prediction
    found = calibration_of(model).errors(replace(one, embedding=hidden), "x", model.normalisation, prediction)
    rows = np.isfinite(one.labels).all(axis=1) & ~nobody
    assert rows.sum() == 56
    np.testing.assert_allclose(found.errors, np.abs(one.labels - prediction)[rows], atol=1e-6)
    assert len(found.circumstances) == 56


def test_the_facts_name_the_clips(model: TrainedModel) -> None:
    assert calibration_of(model).facts["intervals"] == (
        "90% of the time, calibrated on 10 annotated clips of 5 subjects that the model was not fitted to"
    )


def test_predictions_carry_intervals_and_inconsistency(model: TrainedModel) -> None:
    one = clip(30, 80)
    predicted = predict_clip(model, one)
    table = prediction_table("a", one, predicted, model.build().gate_labels)
    for target in ("valence", "arousal"):
        assert (table[f"{target}_low"] <= table[target]).all()
        assert (table[f"{target}_high"] >= table[target]).all()
    assert table["inconsistency"].dropna().between(0, 1).all()
    assert table["inconsistency"].notna().any()


def test_recalibration_gives_predictions_the_mean_and_the_spread_of_the_annotation() -> None:
    gold = np.random.default_rng(0).uniform(-0.5, 0.5, (500, 2)).astype(np.float32)
    found = fit_recalibration(gold * [0.8, 1.6] + [0.1, -0.2], gold)
    np.testing.assert_allclose(found.scale, [1.25, 0.625], rtol=1e-4)
    np.testing.assert_allclose(found.of((gold * [0.8, 1.6] + [0.1, -0.2]).astype(np.float32)), gold, atol=1e-5)
    assert fit_recalibration(0.01 * gold, gold).scale.tolist() == [2.0, 2.0]  # no more than a factor of two
    assert found.of(np.full((1, 2), 9.0, np.float32)).tolist() == [[1.0, 1.0]]


@pytest.mark.slow
def test_a_recalibrated_model_predicts_on_the_scale_of_the_annotation(model: TrainedModel, tmp_path: Path) -> None:
    again = SHORT.model_copy(update={"recalibrate": True})
    found, _ = calibrated(run(tmp_path / "checkpoints", again))
    recalibration = calibration_of(found).recalibration
    assert recalibration is not None
    assert calibration_of(model).recalibration is None
    one = clip(30, 80)
    raw, final = (predict_clip(m, one).prediction for m in (model, found))
    np.testing.assert_allclose(final, (raw * recalibration.scale + recalibration.offset).clip(-1, 1), atol=1e-6)
    assert np.abs(final - raw).max() > 0.01
    assert "CCC on held-out clips" in calibration_of(found).facts["recalibration"]
    save_model(found, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(predict_clip(load_model(tmp_path / "a.safetensors"), one).prediction, final)
    bounds = predict_clip(found, one).bounds
    assert bounds is not None
    assert (bounds[:, 0] <= final + 1e-6).all()
    assert (bounds[:, 1] >= final - 1e-6).all()


def test_the_file_carries_the_calibration(model: TrainedModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "a.safetensors")
    loaded, one = load_model(tmp_path / "a.safetensors"), clip(30, 80)
    assert calibration_of(loaded).facts == calibration_of(model).facts
    save_baselines(TrainedBaselines("main", {"a": model}), tmp_path / "baselines.safetensors")
    bundled = load_baselines(tmp_path / "baselines.safetensors").models["a"]
    assert calibration_of(bundled).facts == calibration_of(model).facts
    for name, array in calibration_of(model).arrays().items():
        np.testing.assert_array_equal(calibration_of(bundled).arrays()[name], array)
    before, after = (predict_clip(m, one) for m in (model, loaded))
    np.testing.assert_array_equal(before.bounds, after.bounds)
    np.testing.assert_array_equal(before.inconsistency, after.inconsistency)
    save_model(loaded, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("intervals.quantile", None, "the array intervals.quantile is missing"),
        ("intervals.spread", lambda a: 0 * a, "intervals.spread has values that are not above 0"),
        ("intervals.centre", lambda a: a[:-1], "intervals.centre has the shape"),
        ("intervals.weights", lambda a: a * float("nan"), "intervals.weights has values that are not finite"),
        ("readers.audio.weights", lambda a: a[1:], "readers.audio.weights has the shape"),
        ("inconsistency.covariance", lambda a: -a, "inconsistency.covariance is not a covariance"),
        ("inconsistency.quantiles", lambda a: a.flip(0), "inconsistency.quantiles fall"),
        ("inconsistency.other", lambda a: a, "there is no array inconsistency.other"),
    ],
)
def test_a_damaged_calibration_is_refused(
    model: TrainedModel, tmp_path: Path, name: str, changed: object, message: str
) -> None:
    import torch
    from safetensors import safe_open

    file = tmp_path / "a.safetensors"
    save_model(model, file)
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    old = tensors.pop(f"calibration.{name}", torch.zeros(1))
    if callable(changed):
        tensors[f"calibration.{name}"] = changed(old).contiguous()
    save_file(tensors, file, metadata=metadata)
    with pytest.raises(InputError, match=f"the calibration in the model file is not valid: {message}"):
        load_model(file)


def test_a_unimodal_model_is_not_influenced_by_what_it_does_not_use() -> None:
    normalisation = Normalisation.fit(embeddings_of(TRAIN))
    prediction = {id(c.embedding): np.zeros((80, 2), np.float32) for c in (*TRAIN.values(), *HELD.values())}
    found = calibrate(("visual",), normalisation, lambda c: np.zeros((len(c), 2), np.float32), TRAIN, HELD, SUBJECTS)
    assert len(prediction) == 10
    assert found.facts["inconsistency"] == "none: the model uses one modality"
    assert found.facts["intervals"].startswith("none: calibration needs 9 clips of 2 subjects or more, there are 4")
    one = clip(3)
    assert not used(one, ("visual",)).audio_present.any()
    loud = replace(one, audio=one.audio + 100)
    for judged in (found.judge(one, normalisation, prediction[id(TRAIN["clip0"].embedding)][:60]),):
        np.testing.assert_array_equal(
            judged.bounds, found.judge(loud, normalisation, np.zeros((60, 2), np.float32)).bounds
        )
        assert np.isnan(judged.inconsistency).all()


@pytest.mark.slow
def test_an_interrupted_run_does_not_train_a_finished_network_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[train.__module__]

    trained: list[Path] = []
    real = module.train

    def counted(one: TrainingRun) -> object:
        trained.append(one.checkpoints)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(one)

    monkeypatch.setattr(module, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        calibrated(run(tmp_path / "checkpoints"))
    again, _ = calibrated(run(tmp_path / "checkpoints"))
    assert [path.name for path in trained] == ["checkpoints", "fold0", "fold1", "fold1", "fold2"]
    whole, _ = calibrated(run(tmp_path / "other"))
    np.testing.assert_array_equal(
        calibration_of(again).arrays()["intervals.weights"], calibration_of(whole).arrays()["intervals.weights"]
    )
