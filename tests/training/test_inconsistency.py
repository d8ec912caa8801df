"""Disagreement of voice and face: found where a clip is mixed of two, calibrated where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from iaca.corpora.synthetic import SyntheticConfig, draw_annotated
from iaca.encoders.embedding import AnnotatedClip, embeddings_of
from iaca.training import inconsistency
from iaca.training.inconsistency import (
    MEAN_S,
    NOISY,
    Identity,
    Inconsistency,
    clip_quantiles,
    fit_inconsistency,
    partners,
)
from iaca.training.readings import Readings, fit_readings, local_mean, rate_of
from iaca.training.sample import Normalisation, read_cues

CONFIG = SyntheticConfig(kind="s2", clips=30, seconds=40.0, rate=10.0, seed=3)
TRAIN, HELD, TEST = (draw_annotated(CONFIG, partition) for partition in ("train", "validation", "test"))
SUBJECTS = {f"clip{i:05d}": f"subject{i // 2}" for i in range(CONFIG.clips)}
NORMALISATION = Normalisation.fit(embeddings_of(TRAIN))
Fitted = tuple[Readings, Inconsistency]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    readings = fit_readings(TRAIN, SUBJECTS, NORMALISATION)
    assert readings is not None
    judge = fit_inconsistency(TRAIN, SUBJECTS, readings, HELD, NORMALISATION)
    assert judge is not None
    return readings, judge


@pytest.mark.slow
def test_steps_that_are_left_out_are_not_kept_in_memory(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice of an array keeps all of it: memory would grow with a corpus of more than `MOST_STEPS`."""
    kept: list[np.ndarray] = []
    quantiles, evidence = inconsistency.clip_quantiles, inconsistency._fit_evidence

    def of_clips(values: list[np.ndarray], at: np.ndarray) -> np.ndarray:
        kept.extend(values)
        return quantiles(values, at)

    def of_pairs(own: list[np.ndarray], mixed: list[np.ndarray]) -> np.ndarray:
        kept.extend([*own, *mixed])
        return evidence(own, mixed)

    monkeypatch.setattr(inconsistency, "stride", lambda *_: 7)
    monkeypatch.setattr(inconsistency, "clip_quantiles", of_clips)
    monkeypatch.setattr(inconsistency, "_fit_evidence", of_pairs)
    assert fit_inconsistency(TRAIN, SUBJECTS, fitted[0], HELD, NORMALISATION) is not None
    assert len(kept) >= 2 * len(TRAIN)
    assert all(part.base is None for part in kept)
    assert max(map(len, kept)) == -(-400 // 7)


def shares(fitted: Fitted, clip: AnnotatedClip) -> np.ndarray:
    readings, judge = fitted
    read = readings.readers.read(clip.embedding, NORMALISATION)
    return judge.share(judge.log_odds(clip.embedding, NORMALISATION, readings.readers, read))


def mixed(one: AnnotatedClip, other: AnnotatedClip, modality: str, stretch: slice) -> AnnotatedClip:
    """The clip with a stretch of another person's voice or face."""
    features = one.embedding.features[modality].copy()
    features[stretch] = other.embedding.features[modality][stretch]
    return replace(one, embedding=one.embedding.with_modalities({modality: features}))


@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_another_persons_voice_or_face_stands_out(fitted: Fitted, modality: str) -> None:
    names, stretch, scores, truth = sorted(TEST), slice(150, 210), [], []
    for name, other in zip(names, names[2:] + names[:2], strict=True):
        scores.append(shares(fitted, mixed(TEST[name], TEST[other], modality, stretch)))
        truth.append((np.arange(400) >= 150) & (np.arange(400) < 210))
    assert roc_auc_score(np.concatenate(truth), np.concatenate(scores)) > 0.85


def test_it_says_nothing_of_who_is_wrong_and_is_calibrated_on_clips_that_belong_together(fitted: Fitted) -> None:
    together = np.concatenate([shares(fitted, clip) for clip in TEST.values()])
    assert together.min() >= 0
    assert together.max() <= 1
    assert 0.35 < together.mean() < 0.65
    assert (together > 0.95).mean() < 0.15


def test_readings_that_disagree_count_without_any_change_of_person(fitted: Fitted) -> None:
    readings, judge = fitted
    clip = next(iter(TEST.values())).embedding
    read = readings.readers.read(clip, NORMALISATION)
    opposite = read.copy()
    opposite[:, 0] = -3 * read[:, 1] + 0.5
    agreeing = read.copy()
    agreeing[:, 0] = read[:, 1]
    odds = [judge.log_odds(clip, NORMALISATION, readings.readers, r)[:, 0].mean() for r in (opposite, agreeing)]
    assert odds[0] > odds[1] + 0.5


def test_unknown_where_voice_and_face_were_not_both_observed_nearby(fitted: Fitted) -> None:
    clip = next(iter(TEST.values()))
    silent = np.arange(400) >= 200
    hidden = replace(clip, embedding=replace(clip.embedding, audio_present=~silent))
    found = shares(fitted, hidden)
    assert np.isfinite(found[:200]).all()
    assert np.isnan(found[210:]).all()


@pytest.mark.parametrize("never", ["audio", "visual"])
def test_a_clip_in_which_one_was_never_observed_says_nothing_and_is_no_error(fitted: Fitted, never: str) -> None:
    readings, judge = fitted
    clip = next(iter(TEST.values()))
    nothing = np.zeros(len(clip.embedding), bool)
    name = {"audio": "audio_present", "visual": "face_found"}[never]
    alone = replace(clip, embedding=replace(clip.embedding, **{name: nothing}))
    assert np.isnan(shares(fitted, alone)).all()
    read = readings.readers.read(alone.embedding, NORMALISATION)
    odds = judge.log_odds(alone.embedding, NORMALISATION, readings.readers, read)
    assert not odds[:, 1 + ("audio", "visual").index(never)].any()


def density(x: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    return np.asarray(multivariate_normal(np.zeros(len(covariance)), covariance.astype(np.float64)).logpdf(x))


def test_another_person_is_more_likely_by_the_densities_of_scipy() -> None:
    rng = np.random.default_rng(5)
    same, other = (np.asarray(a @ a.T + np.eye(2), np.float32) for a in rng.normal(size=(2, 2, 2)))
    x = rng.normal(size=(41, 3)).astype(np.float32)
    space = np.eye(3, 2, dtype=np.float32)
    present = np.arange(41) != 7
    departure = (x @ space) - np.median((x @ space)[present], axis=0)
    usual = np.logaddexp(density(departure, same), density(departure, NOISY * same) - 1.0)
    expected = np.where(present, density(departure, other) - usual, 0.0)
    found = Identity(space, same, other).log_odds(x, present, rate=0.4)  # a stretch is one step
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_log_odds_are_those_of_a_pair_by_the_densities_of_scipy(fitted: Fitted) -> None:
    readings, judge = fitted
    clip = next(iter(TEST.values())).embedding
    rate, both = rate_of(clip), clip.audio_present & clip.face_found
    read = readings.readers.read(clip, NORMALISATION)
    pair = local_mean(read.reshape(len(read), 4), both, rate * MEAN_S) - judge.mean
    voice, face = judge.covariance[:2, :2], judge.covariance[2:, 2:]
    apart = density(pair[:, :2], voice) + density(pair[:, 2:], face)
    agreement = np.nan_to_num(read_cues(clip, ["synchrony"])[:, 0])
    weight, of_agreement, constant = judge.evidence
    disagreement = weight * (apart - density(pair, judge.covariance)) + of_agreement * agreement + constant
    persons = np.stack(
        [
            judge.identity(m, readings.readers).log_odds(
                NORMALISATION.apply(clip.features[m], clip.present[m], m), clip.present[m], rate
            )
            for m in ("audio", "visual")
        ],
        axis=1,
    )
    each = np.column_stack([disagreement, disagreement + persons[:, 0], disagreement + persons[:, 1]])
    expected = local_mean(np.log(np.exp(each).mean(axis=1))[:, None], both, rate * MEAN_S)[:, 0]
    found = judge.log_odds(clip, NORMALISATION, readings.readers, read)
    np.testing.assert_allclose(found[both, 0], expected[both], rtol=1e-4, atol=1e-4)


def test_evidence_that_points_the_wrong_way_has_no_weight(fitted: Fitted) -> None:
    _, judge = fitted
    weight_of_readings, weight_of_synchrony, _ = judge.evidence
    assert weight_of_readings >= 0 >= weight_of_synchrony


def test_one_subject_alone_shows_nothing(fitted: Fitted) -> None:
    assert fit_inconsistency(TRAIN, dict.fromkeys(TRAIN, "one"), fitted[0], HELD, NORMALISATION) is None


def test_partners_are_of_other_subjects() -> None:
    pairs = list(partners(["a", "b", "c", "d"], {"a": "x", "b": "x", "c": "y"}))
    assert {voice for voice, _ in pairs} == {"a", "b", "c", "d"}
    assert all(voice != face and {voice, face} != {"a", "b"} for voice, face in pairs)


def test_every_clip_weighs_the_same_in_quantiles() -> None:
    long, short = np.zeros(1000), np.full(10, 1.0)
    assert clip_quantiles([long, short], np.array([0.25, 0.75])).tolist() == [0.0, 1.0]
