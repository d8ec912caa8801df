"""The bootstrap over clips is exact, paired, and repeatable."""

import inspect

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.evaluation import certainty, events, figures, metrics, multitask, score, tables
from iaca.evaluation.config import AnalysisConfig, EvaluationConfig
from iaca.evaluation.metrics import (
    MIN_CLIPS,
    bootstrap_ccc,
    clip_statistics,
    join_labels,
    paired_difference,
    pooled_ccc,
    pooled_metrics,
    resamples,
)


@pytest.fixture(scope="module")
def table(predictions, labels):
    return join_labels(predictions, labels)


def test_statistics_of_clips_give_what_pooling_the_drawn_frames_gives(table):
    statistics = clip_statistics(table)
    counts = resamples(4, 40, seed=5)
    clips = dict(tuple(table.groupby("clip")))
    for row, fast in zip(counts, pooled_ccc(statistics, counts), strict=True):
        drawn = [clips[name] for name, times in zip(statistics.clips, row, strict=True) for _ in range(times)]
        scores = pooled_metrics(pd.concat(drawn))
        assert fast == pytest.approx([scores["ccc_valence"], scores["ccc_arousal"], scores["ccc_mean"]], abs=1e-12)


def test_the_interval_is_the_percentile_interval_of_the_brute_force(table):
    clips = dict(tuple(table.groupby("clip")))
    scores = []
    for row in resamples(4, 60, seed=3):
        frames = [clips[name] for name, times in zip("abcd", row, strict=True) for _ in range(times)]
        scores.append(pooled_metrics(pd.concat(frames))["ccc_mean"])
    interval = bootstrap_ccc(table, replicates=60, seed=3)["ccc_mean"]
    assert [interval.low, interval.high] == pytest.approx(np.quantile(scores, [0.025, 0.975]), abs=1e-12)
    assert interval.estimate == pytest.approx(pooled_metrics(table)["ccc_mean"], abs=1e-12)


def test_every_resample_draws_as_many_clips_as_there_are():
    counts = resamples(7, 50, seed=0)
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert len(np.unique(counts, axis=0)) > 40


def test_a_seed_repeats_to_the_bit(table):
    assert bootstrap_ccc(table, 100, seed=1) == bootstrap_ccc(table, 100, seed=1)
    assert bootstrap_ccc(table, 100, seed=1) != bootstrap_ccc(table, 100, seed=2)


def test_a_model_does_not_differ_from_itself(table):
    for interval in paired_difference(table, table.sample(frac=1, random_state=0).sort_index(), 200).values():
        assert (interval.estimate, interval.low, interval.high) == (0, 0, 0)


def test_pairing_narrows_the_interval_of_a_difference(table):
    worse = table.assign(valence=table["valence"] * 0.9, arousal=table["arousal"] * 0.9)
    paired = paired_difference(table, worse, 500)["ccc_mean"]
    alone = bootstrap_ccc(table, 500)["ccc_mean"]
    assert paired.high - paired.low < alone.high - alone.low


def test_models_on_different_clips_cannot_be_compared(table):
    with pytest.raises(InputError, match="only in one of them: d"):
        paired_difference(table, table[table["clip"] != "d"])
    more = [table.assign(clip=name) for name in ("z", "y", "x", "b2", "a1", "d2")]
    with pytest.raises(InputError, match=r"only in one of them: a1, b2, d2$"):  # the first three by name, in every run
        paired_difference(table, pd.concat([table, *more]))


@pytest.mark.parametrize("clips", ["a", "ab", "abc"])
def test_fewer_than_three_clips_have_an_estimate_but_no_interval(table, clips):
    interval = bootstrap_ccc(table[table["clip"].isin(list(clips))], 50)["ccc_valence"]
    assert np.isfinite(interval.estimate)
    assert (np.isnan([interval.low, interval.high]) == (len(clips) < MIN_CLIPS)).all()


def test_a_clip_without_valence_and_arousal_is_none_of_those_that_are_drawn(table):
    """Corpora of several tasks have clips with action units alone: their rows have no annotation here."""
    three = table[table["clip"] != "d"]
    other = three[three["clip"] == "a"].assign(clip="units", valence_gold=np.nan, arousal_gold=np.nan)
    together = pd.concat([three, other])
    assert bootstrap_ccc(together, 200) == bootstrap_ccc(three, 200)
    assert paired_difference(together, together.assign(valence=0.1), 200) == paired_difference(
        three, three.assign(valence=0.1), 200
    )
    two = bootstrap_ccc(together[together["clip"] != "c"], 50)["ccc_valence"]
    assert np.isfinite(two.estimate)
    assert np.isnan([two.low, two.high]).all()


def test_constant_clips_follow_the_rules_of_ccc():
    rows = [("a", 0.1, 0.3), ("a", 0.1, 0.3), ("b", 0.1, 0.3), ("b", 0.1, 0.9)]
    table = pd.DataFrame(
        [(c, x, x, y, y) for c, x, y in rows], columns=["clip", "valence", "arousal", "valence_gold", "arousal_gold"]
    )
    both_constant, varying = pooled_ccc(clip_statistics(table), np.array([[2, 0], [1, 1]]))
    assert np.isnan(both_constant).all()
    assert (varying == 0).all()


@pytest.mark.parametrize(
    "function",
    [
        certainty.coverage, certainty.inconsistency_auroc, events.event_scores, figures.report_figures,
        metrics.bootstrap_ccc, metrics.paired_difference, multitask.multitask_table, score.report_lines,
        tables.comparison, tables.postprocessing_table,
    ],
)  # fmt: skip
def test_a_call_without_settings_has_those_of_the_pipeline(function):
    """So that a notebook gives the numbers of the report."""
    pipeline = {**EvaluationConfig().model_dump(), "level": 0.95, "shown_videos": AnalysisConfig().listed}
    settings = inspect.signature(function).parameters
    own = {name: settings[name].default for name in ("replicates", "seed", "level", "shown_videos") if name in settings}
    assert own == {name: pipeline[name] for name in own} != {}
