"""Coverage of intervals and AUROC of inconsistency, on tables small enough to count by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from iaca.evaluation.certainty import (
    auroc,
    bootstrap,
    coverage,
    coverage_metrics,
    has_intervals,
    inconsistency_auroc,
    rank_correlation,
)
from iaca.evaluation.metrics import resamples

NO_EVENTS = pd.DataFrame(columns=["clip", "modality", "kind", "start_s", "end_s"])


def intervals(clip: str, errors: list[float], halves: list[float], partition: str = "test") -> pd.DataFrame:
    """Rows of predictions of 0 with these errors and half widths, at one frame per second, with their annotation."""
    n = len(errors)
    table = pd.DataFrame({"clip": clip, "frame": np.arange(n), "time_s": np.arange(n, dtype=float)})
    for name in ("valence", "arousal"):
        table = table.assign(**{name: 0.0, f"{name}_low": -np.array(halves), f"{name}_high": np.array(halves)})
    return table.assign(valence_gold=errors, arousal_gold=errors, partition=partition)


def split(*tables: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions, and labels."""
    table = pd.concat(tables, ignore_index=True)
    labels = table[["clip", "frame", "partition"]].assign(valence=table["valence_gold"], arousal=table["arousal_gold"])
    return table.drop(columns=["valence_gold", "arousal_gold", "partition"]), labels


def row(table: pd.DataFrame, dimension: str = "valence", **where: str) -> dict[str, float]:
    for name, value in ({"dimension": dimension, "modality": "all", "kind": "all"} | where).items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0].to_dict()


def test_coverage_counts_annotated_frames_with_an_interval() -> None:
    """Inside: 3 of 4 frames of `a` (one on the bound), 1 of 2 of `b`; a third of `b` has no interval, one no gold."""
    predictions, labels = split(
        intervals("a", [0.1, -0.2, 0.5, 0.0], [0.2, 0.2, 0.4, 0.1]),
        intervals("b", [0.3, 0.3, 0.3, np.nan], [0.4, 0.2, np.nan, 0.2]),
    )
    labels.loc[labels["clip"] == "b", "arousal"] = 0.0
    table = coverage(predictions, labels)
    found = row(table)
    assert (found["clips"], found["frames"], found["without_interval"]) == (2, 6, 1)
    assert found["coverage"] == pytest.approx(4 / 6)
    assert found["video_coverage"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["width"] == pytest.approx(2 * (0.2 + 0.2 + 0.4 + 0.1 + 0.4 + 0.2) / 6)
    assert np.isnan([found["coverage_low"], found["coverage_high"]]).all()  # two clips
    assert row(table, "arousal")["frames"] == 7
    assert coverage_metrics(table) == {
        "test_coverage_valence": pytest.approx(4 / 6),
        "test_coverage_arousal": pytest.approx(6 / 7),
    }


def test_width_that_follows_the_error_has_a_rank_correlation_and_constant_width_has_none() -> None:
    errors = [0.1, 0.3, 0.2, 0.4]
    predictions, labels = split(intervals("a", errors, [0.2, 0.5, 0.4, 0.6]), intervals("b", errors, [0.2] * 4))
    for clip, expected in (("a", 1.0), ("b", np.nan)):
        own = row(coverage(predictions, labels[labels["clip"] == clip]))
        assert own["width_error_correlation"] == pytest.approx(expected, nan_ok=True)
    assert rank_correlation(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 5.0, 5.0, 9.0])) == pytest.approx(1)
    assert rank_correlation(np.array([3.0, 2.0, 1.0]), np.array([0.0, 5.0, 50.0])) == pytest.approx(-1)


def test_the_interval_of_coverage_is_that_of_resampled_clips() -> None:
    rng = np.random.default_rng(0)
    shares, sizes = (1.0, 0.5, 0.75, 0.25), (4, 8, 12, 20)
    parts = [
        intervals(f"clip{i}", [0.1 if k < share * size else 0.9 for k in range(size)], [0.2] * size)
        for i, (share, size) in enumerate(zip(shares, sizes, strict=True))
    ]
    predictions, labels = split(*parts)
    found = row(coverage(predictions, labels, replicates=500, seed=3))
    counts = resamples(4, 500, 3)
    expected = [c @ np.multiply(shares, sizes) / (c @ sizes) for c in counts]
    assert found["coverage_low"] == pytest.approx(np.quantile(expected, 0.025))
    assert found["coverage_high"] == pytest.approx(np.quantile(expected, 0.975))
    one_person = dict.fromkeys((f"clip{i}" for i in range(4)), "a")
    assert np.isnan(row(coverage(predictions, labels, subjects=one_person, replicates=500))["coverage_low"])
    shuffled = predictions.sample(frac=1, random_state=rng.integers(100))
    pd.testing.assert_frame_equal(
        coverage(shuffled, labels, replicates=50), coverage(predictions, labels, replicates=50)
    )


def test_the_constant_width_is_calibrated_on_the_other_partition_and_left_out_without_enough_clips() -> None:
    """Nine clips with errors .1 to .9, one each: the conformal quantile of 90 % is the largest."""
    nine = [intervals(f"v{i}", [i / 10], [0.2], "validation") for i in range(1, 10)]
    tests = [intervals("t0", [0.95, 0.5], [1.0, 0.2]), intervals("t1", [-0.9, 0.0], [1.0, 0.2])]
    predictions, labels = split(*nine, *tests, intervals("x", [0.1], [0.2], "train"))
    table = coverage(predictions, labels)
    found = row(table, partition="test")
    assert found["constant_width"] == pytest.approx(2 * 0.9)
    assert found["constant_coverage"] == pytest.approx(3 / 4)
    assert found["coverage"] == pytest.approx(3 / 4)
    for partition in ("validation", "train"):  # two clips give none, and nothing unseen calibrates train
        assert np.isnan(row(table, partition=partition)["constant_coverage"])
    eight = coverage(predictions, labels[labels["clip"] != "v9"])
    assert np.isnan(row(eight, partition="test")["constant_width"])


def test_a_constant_interval_is_cut_at_the_ends_of_the_scale() -> None:
    nine = [intervals(f"v{i}", [0.5], [0.2], "validation") for i in range(9)]
    predictions, labels = split(*nine, intervals("t", [0.0, 0.0], [0.2, 0.2]))
    predictions.loc[predictions["clip"] == "t", "valence"] = [0.8, 0.0]
    assert row(coverage(predictions, labels), partition="test")["constant_width"] == pytest.approx((0.7 + 1.0) / 2)


def test_events_of_the_shown_partition_are_scored_apart() -> None:
    events = pd.DataFrame(
        [("a", "audio", "silent", 0.0, 2.0), ("b", "visual", "absent", 3.0, 9.0), ("v", "audio", "silent", 0.0, 9.0)],
        columns=NO_EVENTS.columns,
    )
    predictions, labels = split(
        intervals("a", [0.9, 0.9, 0.1, 0.1], [1.0, 0.2, 0.2, 0.2]),
        intervals("b", [0.1, 0.1, 0.9, 0.1], [0.2, 0.2, 0.2, 0.6]),
        intervals("v", [0.9], [0.1], "validation"),
    )
    table = coverage(predictions, labels, events, shown="test")
    assert row(table, modality="audio", kind="silent")["coverage"] == 0.5
    absent, clean = row(table, modality="visual", kind="absent"), row(table, kind="clean")
    assert (absent["frames"], absent["coverage"], absent["width"]) == (1, 1.0, pytest.approx(1.2))
    assert (clean["frames"], clean["coverage"]) == (5, pytest.approx(4 / 5))
    assert set(table.loc[table["partition"] == "validation", "kind"]) == {"all"}
    assert set(coverage(predictions, labels, NO_EVENTS, shown="test")["kind"]) == {"all"}


def test_predictions_without_intervals_have_no_coverage() -> None:
    predictions, labels = split(intervals("a", [0.1, 0.2], [np.nan, np.nan]))
    for given in (predictions, predictions.drop(columns=["valence_low", "arousal_high"])):
        assert not has_intervals(given)
        assert coverage(given, labels).empty
        assert coverage_metrics(coverage(given, labels)) == {}


# Inconsistency

STEPS = 40


@pytest.fixture
def events() -> pd.DataFrame:
    rows = [
        ("a", "audio", "noisy", 0.0, 10.0), ("b", "audio", "noisy", 5.0, 12.0), ("c", "audio", "noisy", 20.0, 30.0),
        ("b", "audio", "contradictory", 20.0, 30.0), ("c", "visual", "contradictory", 0.0, 8.0),
        ("d", "visual", "contradictory", 3.0, 9.0), ("d", "audio", "silent", 30.0, 35.0),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=NO_EVENTS.columns)


@pytest.fixture
def judged(events: pd.DataFrame) -> pd.DataFrame:
    """Inconsistency that is mostly higher in events; unknown where the voice is silent, and at one clean step."""
    rng = np.random.default_rng(1)
    parts = []
    for clip in "abcde":
        time_s = np.arange(STEPS, dtype=float)
        table = pd.DataFrame({"clip": clip, "frame": np.arange(STEPS), "time_s": time_s})
        value = rng.uniform(0, 0.8, STEPS).round(1)  # with ties
        for event in events[events["clip"] == clip].itertuples():
            inside = (time_s >= event.start_s) & (time_s < event.end_s)
            value[inside] = np.nan if event.kind == "silent" else np.minimum(value[inside] + 0.3, 1.0)
        weight = rng.uniform(0, 1, STEPS)
        parts.append(table.assign(inconsistency=value, gate_modalities_audio=weight, gate_modalities_visual=1 - weight))
    parts[4].loc[7, "inconsistency"] = np.nan
    return pd.concat(parts, ignore_index=True)


def test_auroc_is_that_of_the_steps_outside_of_all_events(judged: pd.DataFrame, events: pd.DataFrame) -> None:
    table = inconsistency_auroc(judged, events, replicates=200).set_index(["modality", "kind"])
    assert list(table.index) == [
        ("audio", "contradictory"), ("audio", "noisy"), ("audio", "silent"), ("audio", "any"),
        ("visual", "contradictory"), ("either", "contradictory"), ("either", "any"),
    ]  # fmt: skip
    inside = {key: np.zeros(len(judged), bool) for key in (*zip(events.modality, events.kind, strict=True), "all")}
    for event in events.itertuples():
        rows = (judged["clip"] == event.clip) & (judged["time_s"] >= event.start_s) & (judged["time_s"] < event.end_s)
        for key in ((event.modality, event.kind), "all"):
            inside[key] |= rows.to_numpy()
    value = judged["inconsistency"].to_numpy()
    known = np.isfinite(value)
    either = {("either", "contradictory"): inside["audio", "contradictory"] | inside["visual", "contradictory"]}
    for key, event in (inside | either).items():
        if key in ("all", ("audio", "silent")):
            continue
        used = known & (event | ~inside["all"])
        found = table.loc[key]
        assert found["auroc"] == pytest.approx(roc_auc_score(event[used], value[used]))
        deviation = (judged["gate_modalities_audio"] - 0.5).abs()
        assert found["gate_auroc"] == pytest.approx(roc_auc_score(event[used], deviation[used]))
        assert (found["event_frames"], found["clean_frames"]) == ((event & known).sum(), (~inside["all"] & known).sum())
        assert found["inconsistency_event"] == pytest.approx(value[event & known].mean())
    assert table.loc["either", "any"]["event_frames"] == (inside["all"] & known).sum()


def test_unknown_steps_are_counted_and_never_scored(judged: pd.DataFrame, events: pd.DataFrame) -> None:
    table = inconsistency_auroc(judged, events, replicates=50).set_index(["modality", "kind"])
    silent = table.loc["audio", "silent"]
    assert (silent["event_frames"], silent["unknown_event"], silent["event_clips"]) == (0, 5, 0)
    assert silent[["auroc", "gate_auroc", "auroc_low", "inconsistency_event"]].isna().all()
    assert (table["unknown_clean"] == 1).all()
    assert table.loc["audio", "noisy"]["unknown_event"] == 0


def test_few_clips_have_an_auroc_and_no_interval(judged: pd.DataFrame, events: pd.DataFrame) -> None:
    table = inconsistency_auroc(judged, events, replicates=300).set_index(["modality", "kind"])
    assert table.loc["audio", "noisy"]["event_clips"] == 3
    assert table.loc["audio", "noisy"][["auroc_low", "auroc_high", "gate_auroc_low"]].notna().all()
    assert table.loc["visual", "contradictory"]["event_clips"] == 2
    assert np.isnan(table.loc["visual", "contradictory"]["auroc_low"])
    assert inconsistency_auroc(judged, events, replicates=0)["auroc_low"].isna().all()


def test_the_interval_of_an_auroc_is_that_of_resampled_clips() -> None:
    rng = np.random.default_rng(5)
    clip = np.repeat(np.arange(6), 30)
    event = rng.random(180) < 0.4
    value = (rng.random(180) + 0.3 * event + 0.2 * rng.random(6)[clip]).round(2)
    clean = ~event & (rng.random(180) < 0.8)
    found = auroc(value, event, clean, clip, replicates=60, seed=2)
    expected = []
    for counts in resamples(6, 60, 2):
        rows = np.concatenate([np.tile(np.flatnonzero((clip == c) & (event | clean)), n) for c, n in enumerate(counts)])
        expected.append(roc_auc_score(event[rows], value[rows]))
    assert found.estimate == pytest.approx(roc_auc_score(event[event | clean], value[event | clean]))
    assert [found.low, found.high] == pytest.approx(np.quantile(expected, [0.025, 0.975]))


def test_without_inconsistency_gates_or_events_nothing_is_invented(judged: pd.DataFrame, events: pd.DataFrame) -> None:
    assert inconsistency_auroc(judged, NO_EVENTS).empty
    assert inconsistency_auroc(judged.assign(inconsistency=np.nan), events).empty
    assert inconsistency_auroc(judged.drop(columns="inconsistency"), events).empty
    gateless = inconsistency_auroc(judged.drop(columns="gate_modalities_audio"), events, replicates=20)
    assert gateless["gate_auroc"].isna().all()
    assert gateless["auroc"].notna().any()


def test_no_clip_has_no_score() -> None:
    nothing = bootstrap(lambda counts: counts.sum(axis=1), 0, 100, 0)
    assert np.isnan([nothing.estimate, nothing.low, nothing.high]).all()
