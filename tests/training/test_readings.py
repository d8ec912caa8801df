"""What voice and face say alone: averages over observed steps, the fit, and readings of people who were left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_clips import annotated_clips, blind, clip

from iaca.encoders.embedding import embeddings_of
from iaca.evaluation.metrics import ccc
from iaca.training import readings as module
from iaca.training.readings import columns, fit_readings, local_mean, rate_of
from iaca.training.sample import Normalisation

CLIPS = annotated_clips(8, steps=250)
SUBJECTS = {name: f"subject{i // 2}" for i, name in enumerate(CLIPS)}
NORMALISATION = Normalisation.fit(embeddings_of(CLIPS))


def test_a_local_mean_is_over_the_observed_steps_of_a_centred_window() -> None:
    x = np.arange(6.0)[:, None]
    present = np.array([True, True, False, True, True, True])
    np.testing.assert_allclose(local_mean(x, present, 3)[:, 0], [0.5, 0.5, 2, 3.5, 4, 4.5])
    assert local_mean(x, np.zeros(6, np.bool_), 3).tolist() == 6 * [[0.0]]


def test_columns_are_the_step_its_averages_and_a_constant() -> None:
    x, present = np.random.default_rng(0).normal(size=(100, 3)), np.arange(100) != 50
    found = columns(x, present, rate=25.0)
    assert found.shape == (100, 3 * 3 + 1)
    assert found[50, :3].tolist() == [0, 0, 0]
    half = round(25 * 0.5) // 2
    around = [i for i in range(50 - half, 50 + half + 1) if i != 50]
    np.testing.assert_allclose(found[50, 3:6], x[around].mean(axis=0), atol=1e-6)
    assert (found[:, -1] == 1).all()


def test_the_rate_is_that_of_the_median_step() -> None:
    one = clip(0)
    assert rate_of(one) == pytest.approx(25.0)
    assert rate_of(replace(one, time_s=one.time_s + 100.0 * (np.arange(60) > 30))) == pytest.approx(25.0)


def test_readers_learn_what_their_modality_shows() -> None:
    fitted = fit_readings(CLIPS, SUBJECTS, NORMALISATION)
    assert fitted is not None
    (voice_v, voice_a), (face_v, face_a) = fitted.readers.audio.reliability, fitted.readers.visual.reliability
    assert voice_a > max(0.9, voice_v)
    assert face_v > max(0.9, face_a)


def test_out_of_fold_readings_have_not_seen_the_subject() -> None:
    """A subject with inverted labels changes the readings of everybody else, and not its own."""
    fitted = fit_readings(CLIPS, SUBJECTS, NORMALISATION)
    odd = {n: replace(c, labels=-c.labels) if SUBJECTS[n] == "subject0" else c for n, c in CLIPS.items()}
    other = fit_readings(odd, SUBJECTS, NORMALISATION)
    assert fitted is not None
    assert other is not None
    penalties = [0.01, 0.1, 1.0, 10.0, 100.0]
    assert list(module.PENALTIES) == penalties
    names = [name for name in CLIPS if SUBJECTS[name] == "subject0"]
    for name in names:
        own, now = fitted.out_of_fold[name], other.out_of_fold[name]
        linear = [np.corrcoef(own[:, m, d], now[:, m, d])[0, 1] for m, d in ((0, 1), (1, 0))]
        assert min(linear) > 0.98  # the scale is matched over all subjects, so only up to scale
    elsewhere = next(name for name in CLIPS if name not in names)
    assert not np.allclose(fitted.out_of_fold[elsewhere], other.out_of_fold[elsewhere], atol=1e-3)


def test_the_spread_of_readings_is_matched_to_the_gold_out_of_fold() -> None:
    fitted = fit_readings(CLIPS, SUBJECTS, NORMALISATION)
    assert fitted is not None
    rows = {n: c.embedding.face_found & np.isfinite(c.labels).all(axis=1) for n, c in CLIPS.items()}
    read = np.concatenate([fitted.out_of_fold[n][rows[n], 1, 0] for n in CLIPS])
    gold = np.concatenate([c.labels[rows[n], 0] for n, c in CLIPS.items()])
    assert read.std() == pytest.approx(gold.std(), rel=1e-3)
    assert read.mean() == pytest.approx(gold.mean(), abs=1e-3)
    assert ccc(read, gold) == pytest.approx(fitted.readers.visual.reliability[0], abs=1e-5)


def test_what_is_absent_has_no_influence() -> None:
    fitted = fit_readings(CLIPS, SUBJECTS, NORMALISATION)
    assert fitted is not None
    one = clip(30, 250)
    noise = replace(one, visual=np.where(one.face_found[:, None], one.visual, 1e6).astype(np.float32))
    np.testing.assert_array_equal(fitted.readers.read(one, NORMALISATION), fitted.readers.read(noise, NORMALISATION))
    unseen = fitted.readers.read(blind(one, visual=True), NORMALISATION)[:, 1]
    assert np.ptp(unseen, axis=0).max() < 1e-6  # the mean, everywhere


def test_the_same_clips_give_the_same_readers_in_any_number_of_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    one, again = (fit_readings(CLIPS, SUBJECTS, NORMALISATION) for _ in range(2))
    assert one is not None
    assert again is not None
    np.testing.assert_array_equal(one.readers.visual.weights, again.readers.visual.weights)
    monkeypatch.setattr(module, "COMPONENTS", 3)
    fewer = fit_readings(CLIPS, SUBJECTS, NORMALISATION)
    assert fewer is not None
    assert fewer.readers.visual.components.shape == (8, 3)
    np.testing.assert_allclose(fewer.readers.visual.components, one.readers.visual.components[:, :3], atol=1e-5)


def test_nobody_can_be_left_out_of_one_subject() -> None:
    assert fit_readings(CLIPS, dict.fromkeys(CLIPS, "one"), NORMALISATION) is None
