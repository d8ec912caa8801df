"""Every number of the summary is recomputed from the scores in another way."""

import numpy as np
import pandas as pd
import pytest
from benchmark_scores import CONDITIONS, made_up
from scipy import stats

from iaca.errors import InputError
from iaca.evaluation.benchmark_scores import statistics, write_scores
from iaca.evaluation.benchmark_summary import (
    certainty_summary,
    clip_intervals,
    gate_summary,
    gates_of_runs,
    is_ranked,
    over_seeds,
    read_runs,
    results_table,
    summarise,
    too_few,
    verdict,
)
from iaca.evaluation.config import BenchmarkConfig
from iaca.evaluation.metrics import pooled_ccc, resamples

SKILLS = {"iaca": 0.8, "concat": 0.6, "audio": 0.2}
SEEDS = range(5)
MAIN = ("iaca", "concat")


@pytest.fixture(scope="module")
def scores():
    return {(model, seed): made_up(skill, seed) for model, skill in SKILLS.items() for seed in SEEDS}


@pytest.fixture(scope="module")
def results(scores, tmp_path_factory):
    """benchmark.csv, read back from disk: the only input of the checks below."""
    path = tmp_path_factory.mktemp("results") / "benchmark.csv"
    results_table(scores).to_csv(path, index=False)
    return pd.read_csv(path)


@pytest.fixture(scope="module")
def summary(scores):
    return summarise(scores, MAIN, replicates=200)


def one(table, **where):
    for name, value in where.items():
        table = table[table[name].isna()] if value is None else table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def by_seed(results, model, corruption, level):
    rows = results[(results["model"] == model) & (results["corruption"] == corruption) & (results["level"] == level)]
    return rows.sort_values("seed").set_index("seed").eval("(ccc_valence + ccc_arousal) / 2")


@pytest.mark.slow
def test_the_results_contain_every_run_and_condition_once_including_the_clean_one(results):
    assert list(results) == ["model", "seed", "corruption", "level", "ccc_valence", "ccc_arousal"]
    assert len(results) == len(SKILLS) * len(SEEDS) * len(CONDITIONS)
    assert not results.duplicated(["model", "seed", "corruption", "level"]).any()
    assert not results.isna().any(axis=None)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_means_have_the_t_interval_of_their_seeds(results, summary, condition):
    for model in SKILLS:
        values = by_seed(results, model, *condition)
        row = one(summary, model=model, minus=None, corruption=condition[0], level=condition[1], measure="ccc_mean")
        interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert row["seeds"] == 5
        assert row["mean"] == pytest.approx(values.mean(), abs=1e-12)
        assert row["sd"] == pytest.approx(values.std(ddof=1), abs=1e-12)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=1e-12)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(("main", "other"), [("iaca", "concat"), ("iaca", "audio"), ("concat", "iaca")])
def test_differences_are_paired_by_seed(results, summary, main, other, condition):
    ours, theirs = (by_seed(results, model, *condition) for model in (main, other))
    row = one(summary, model=main, minus=other, corruption=condition[0], level=condition[1], measure="ccc_mean")
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert row["mean"] == pytest.approx((ours - theirs).mean(), abs=1e-12)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_areas_and_their_shares_of_the_clean_score(results, summary):
    clean = by_seed(results, "iaca", "clean", 0.0)
    start, middle, end = (by_seed(results, "iaca", "conflict", level) for level in (0.0, 0.5, 0.9))
    area = (0.5 * (start + middle) / 2 + 0.4 * (middle + end) / 2) / 0.9
    row = one(summary, model="iaca", minus=None, corruption="conflict", measure="area")
    assert row["mean"] == pytest.approx(area.mean(), abs=1e-12)
    assert np.isnan(row["level"])
    relative = one(summary, model="iaca", minus=None, corruption="conflict", measure="relative_area")
    assert relative["mean"] == pytest.approx((area / clean).mean(), abs=1e-12)
    share = one(summary, model="iaca", minus=None, corruption="time_shift", level=2.0, measure="relative")
    assert share["mean"] == pytest.approx((by_seed(results, "iaca", "time_shift", 2.0) / clean).mean(), abs=1e-12)


def test_levels_may_come_in_any_order(scores, summary):
    turned = summarise({key: [rows[0], *rows[:0:-1]] for key, rows in scores.items()}, MAIN, 200)
    keys = ["model", "minus", "corruption", "measure"]
    found, expected = (
        table[table["measure"].isin(["area", "relative_area"])].set_index(keys)["mean"].sort_index()
        for table in (turned, summary)
    )
    pd.testing.assert_series_equal(found, expected)


def test_a_score_at_or_below_zero_has_no_share(scores):
    worthless = {
        key: [row | {"ccc_valence": -0.1, "ccc_arousal": 0.05} for row in rows] for key, rows in scores.items()
    }
    assert not summarise(worthless, ["iaca"], 100)["measure"].isin(["relative", "relative_area"]).any()


def test_intervals_over_clips_resample_clips_and_hold_the_trained_models_fixed(scores, summary):
    counts = resamples(4, 200, 0)
    at = CONDITIONS.index(("conflict", 0.9))

    def resampled(model):
        return np.mean([pooled_ccc(statistics(scores[model, seed][at]["clips"]), counts) for seed in SEEDS], axis=0)

    difference = (resampled("iaca") - resampled("concat"))[:, 2]
    row = one(summary, model="iaca", minus="concat", corruption="conflict", level=0.9, measure="ccc_mean")
    expected = np.quantile(difference, [0.025, 0.975])
    assert (row["clips_low"], row["clips_high"]) == pytest.approx(tuple(expected), abs=1e-12)
    assert summary.loc[summary["measure"] == "area", ["clips_low", "clips_high"]].isna().all(axis=None)


@pytest.mark.slow
@pytest.mark.parametrize(("clips", "subjects"), [(1, 1), (2, 2), (4, 1)])
def test_too_few_clips_or_subjects_have_no_interval_however_many_seeds(clips, subjects):
    scores = {(model, seed): made_up(skill, seed, clips) for model, skill in SKILLS.items() for seed in SEEDS}
    summary = summarise(scores, MAIN, 100, subjects)
    assert summary[["low", "high", "clips_low", "clips_high"]].isna().all(axis=None)
    assert summary["mean"].notna().all()
    assert not is_ranked(summary)
    assert clip_intervals(scores, MAIN, 100).empty == (clips < 3)


def test_what_is_too_few_is_counted():
    assert too_few(3, 2, subjects=2) == too_few(3, 2) == ""
    assert too_few(1, 5).startswith("Too few: 1 clip of 1 subject. Intervals and rankings need at least 3 ")
    assert too_few(3, 2, subjects=1).startswith("Too few: 3 clips of 1 subject.")
    assert too_few(3, 1) == "Too few: 1 seed. Intervals and rankings need at least 2."
    assert too_few(2, 0).count("Too few") == 2


@pytest.mark.slow
def test_a_single_seed_has_a_mean_and_no_interval():
    summary = summarise({(model, 0): made_up(skill, 0) for model, skill in SKILLS.items()}, MAIN, 100)
    assert (summary["seeds"] == 1).all()
    assert summary["mean"].notna().all()
    assert summary[["sd", "low", "high"]].isna().all(axis=None)


def test_an_undefined_score_is_ignored_in_the_mean():
    values = pd.DataFrame({"model": "a", "value": [0.1, np.nan, 0.3]})
    row = over_seeds(values, ["model"]).iloc[0]
    assert (row["seeds"], row["mean"]) == (2, pytest.approx(0.2))


def test_models_that_learned_one_dimension_are_compared_on_it(scores, summary):
    def without_arousal(rows):
        return [
            row
            | {"ccc_arousal": np.nan, "ccc_mean": np.nan}
            | {"clips": [part | ({"n": 0.0} if part["dimension"] == "arousal" else {}) for part in row["clips"]]}
            for row in rows
        ]

    bare = summarise({key: without_arousal(rows) for key, rows in scores.items()}, MAIN, 200)
    at = {"model": "iaca", "minus": "concat", "corruption": "conflict", "level": 0.9}
    columns = ["mean", "low", "high", "clips_low", "clips_high"]
    found = one(bare, measure="ccc_mean", **at)[columns].to_numpy(float)
    np.testing.assert_allclose(found, one(summary, measure="ccc_valence", **at)[columns].to_numpy(float))


def test_a_verdict_needs_the_whole_interval():
    assert verdict(0.01, 0.05) == "better"
    assert verdict(-0.05, -0.01) == "worse"
    assert verdict(-0.01, 0.05) == verdict(0.0, 0.1) == verdict(np.nan, np.nan) == "undecided"


def test_gates_are_averaged_over_seeds_by_kind_and_level(scores):
    gates = gate_summary(gates_of_runs(scores))
    event = one(gates, model="iaca", source="event", kind="silent")
    assert event["mean"] == pytest.approx(0.5 + 0.4 * 0.8 + 0.02)
    assert event["sd"] == pytest.approx(0.01 * np.std(range(5), ddof=1))
    assert np.isnan(event["level"])
    protocol = gates[(gates["model"] == "audio") & (gates["source"] == "protocol")]
    assert set(zip(protocol["kind"], protocol["level"], strict=True)) == {c for c in CONDITIONS if c[1]}
    assert (protocol["seeds"] == 5).all()
    assert (protocol["event_frames"] == 100).all()


def test_intervals_and_inconsistency_are_averaged_over_seeds(scores):
    table = certainty_summary(scores)
    seeds = len(SEEDS)
    row = one(table, model="iaca", measure="coverage", dimension="arousal")
    assert (row["seeds"], row["mean"]) == (seeds, pytest.approx(0.9 + 0.01 * np.mean(SEEDS)))
    assert row["low"] < row["mean"] < row["high"]
    row = one(table, model="iaca", measure="inconsistency_auroc", modality="audio", kind="noisy")
    assert row["mean"] == pytest.approx(0.6 + 0.01 * np.mean(SEEDS))
    assert set(table["measure"]) == {"coverage", "width", "inconsistency_auroc", "inconsistency_gate_auroc"}
    assert set(table["model"]) == set(SKILLS)


def test_models_without_intervals_have_an_empty_table_of_certainty(scores):
    bare = {key: [row | {"coverage": [], "inconsistency": None} for row in rows] for key, rows in scores.items()}
    table = certainty_summary(bare)
    assert table.empty
    assert list(table) == list(certainty_summary(scores))


def test_a_benchmark_of_models_without_gates_has_an_empty_gate_table(scores):
    bare = {key: [row | {"gates": []} for row in rows] for key, rows in scores.items()}
    assert gate_summary(gates_of_runs(bare)).empty


def test_a_run_without_scores_is_named(scores, tmp_path):
    config = BenchmarkConfig(models=list(SKILLS), seeds=[0, 1], main=["iaca"])
    paths = {}
    for run, (model, seed) in list(config.runs().items())[:-1]:
        paths[run] = tmp_path / f"{run}.parquet"
        write_scores(scores[model.label, seed], paths[run])
    with pytest.raises(InputError, match=r"1 of 6 runs .* audio-seed1"):
        read_runs(paths, config)
    write_scores(scores["audio", 1], tmp_path / "audio-seed1.parquet")
    read = read_runs(paths | {"audio-seed1": tmp_path / "audio-seed1.parquet"}, config)
    pd.testing.assert_frame_equal(results_table(read), results_table({key: scores[key] for key in read}))
