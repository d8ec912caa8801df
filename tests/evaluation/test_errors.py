"""Errors are taken apart by rules that can be checked by hand."""

import numpy as np
import pandas as pd
import pytest

from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import (
    CALIBRATION_COLUMNS,
    NEUTRAL,
    QUADRANTS,
    REGION_COLUMNS,
    calibration,
    plane_rmse,
    quadrant,
    quadrant_confusion,
    region_errors,
)
from iaca.evaluation.events import EVENT_SCORE_COLUMNS, RESPONSE_COLUMNS, event_response, event_scores
from iaca.evaluation.metrics import ccc, join_labels, rmse

CONFIG = AnalysisConfig(few_frames=20)


@pytest.fixture(scope="module")
def joined(predictions, labels):
    return join_labels(predictions, labels)


def _points(valence, arousal, valence_gold, arousal_gold):
    names = ("valence", "arousal", "valence_gold", "arousal_gold")
    columns = zip(names, (valence, arousal, valence_gold, arousal_gold), strict=True)
    return pd.DataFrame({"clip": "a"} | {name: np.asarray(values, float) for name, values in columns})


def test_every_pair_is_in_one_bin_of_the_calibration(joined):
    table = calibration(joined, CONFIG)
    for name in ("valence", "arousal"):
        rows = table[table["dimension"] == name]
        pairs = joined.dropna(subset=[name, f"{name}_gold"])
        assert rows["frames"].sum() == len(pairs)
        assert np.average(rows["predicted"], weights=rows["frames"]) == pytest.approx(pairs[name].mean())
        assert np.average(rows["annotated"], weights=rows["frames"]) == pytest.approx(pairs[f"{name}_gold"].mean())
        inner = rows[(rows["low"] > -1) & (rows["high"] < 1)]
        assert ((inner["predicted"] >= inner["low"]) & (inner["predicted"] < inner["high"])).all()
    assert (table["few"] == (table["frames"] < 20)).all()


def test_a_prediction_that_is_the_annotation_is_calibrated_and_without_error(joined):
    exact = joined.assign(valence=joined["valence_gold"], arousal=joined["arousal_gold"])
    table = calibration(exact, CONFIG)
    np.testing.assert_allclose(table["predicted"], table["annotated"])
    assert (region_errors(exact, CONFIG)[["rmse", "bias_valence", "bias_arousal"]] == 0).all(axis=None)
    confusion = quadrant_confusion(exact, CONFIG)
    assert (confusion.loc[confusion["annotated"] != confusion["predicted"], "frames"] == 0).all()


def test_an_edge_of_a_cell_belongs_to_the_next_and_one_to_the_last():
    table = region_errors(_points([0] * 4, [0] * 4, [-1, -0.6, 0.2, 1], [0.6] * 4), CONFIG)
    assert table["valence_low"].tolist() == [-1, -0.6, 0.2, 0.6]
    assert (table["arousal_low"] == 0.6).all()
    assert table["bias_valence"].tolist() == [1, 0.6, -0.2, -1]
    assert table["rmse"].tolist() == pytest.approx([np.sqrt((v**2 + 0.36) / 2) for v in (1, 0.6, 0.2, 1)])


def test_the_cells_add_up_to_the_table(joined):
    table = region_errors(joined, CONFIG)
    known = joined.dropna(subset=["valence", "valence_gold"])
    assert table["frames"].sum() == len(known)
    squares = np.average(table["rmse_valence"] ** 2, weights=table["frames"])
    assert np.sqrt(squares) == pytest.approx(rmse(known["valence"], known["valence_gold"]))
    assert np.sqrt(np.average(table["rmse"] ** 2, weights=table["frames"])) == pytest.approx(plane_rmse(joined))


def test_quadrants_have_a_neutral_band():
    valence, arousal = (
        np.array([0.5, -0.5, -0.5, 0.5, 0.05, 0.5, 0.1]),
        np.array([0.5, 0.5, -0.5, -0.5, 0.5, -0.05, 0.1]),
    )
    names = np.array(QUADRANTS)[quadrant(valence, arousal, 0.1)]
    assert names.tolist() == [*QUADRANTS[:4], NEUTRAL, NEUTRAL, QUADRANTS[0]]
    assert QUADRANTS.index(NEUTRAL) not in quadrant(valence, arousal, 0.0)


def test_shares_of_a_confusion_are_those_of_the_annotated_quadrant():
    table = quadrant_confusion(_points([0.5, -0.5, 0.5], [0.5] * 3, [0.5] * 3, [0.5, 0.6, 0.7]), CONFIG)
    rows = table[table["annotated"] == QUADRANTS[0]].set_index("predicted")
    assert rows["frames"].tolist() == [2, 1, 0, 0, 0]
    assert rows["share"].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0, 0])
    assert table.loc[table["annotated"] == NEUTRAL, "share"].isna().all()
    assert len(table) == 25


def test_the_response_is_low_from_the_start_of_the_event_to_its_end(predictions, events):
    table = event_response(predictions, events, CONFIG)
    silent = table[(table["modality"] == "audio") & (table["kind"] == "silent")].set_index("lag_s")
    assert silent.index.min() == -1.9
    assert silent.index.max() == 3.9
    inside = silent[(silent.index > 0) & (silent.index < 2)]  # clip a, 2 to 4 s
    assert np.allclose(inside["weight"], 0.1)
    assert silent.loc[silent.index < 0, "weight"].between(0.4, 0.6).all()
    assert (silent["duration_s"] == 2).all()
    assert silent["sd"].isna().all()


def test_another_event_of_the_clip_does_not_count(predictions, events):
    early = pd.DataFrame([("d", "visual", "other", 7.5, 8.5)], columns=list(events))
    table = event_response(predictions, pd.concat([events, early]), CONFIG)
    lags = table.loc[table["kind"] == "other", "lag_s"]
    assert lags.min() > -0.6  # before that, the face is absent until 7 s
    assert not ((lags > 1.5 + 0.11) & (lags < 1.9)).any()  # the voice is noisy from 9 to 9.5 s


def test_events_count_alike_whatever_their_frames(predictions, events):
    noisy = event_response(predictions, events, CONFIG).query(
        "modality == 'audio' and kind == 'noisy' and lag_s == 0.1"
    )
    assert noisy["events"].tolist() == [2]
    assert noisy["weight"].tolist() == pytest.approx([0.1])
    assert noisy["sd"].tolist() == pytest.approx([0.0])


def test_models_are_scored_within_the_events(models, labels, events, predictions):
    table = event_scores(models, labels, events, replicates=50)
    assert set(table["model"]) == set(models)
    row = table[(table["kind"] == "silent") & table["main"]].iloc[0]
    inside = join_labels(predictions, labels).query("clip == 'a' and 2 <= time_s < 4")
    scores = [ccc(inside[name], inside[f"{name}_gold"]) for name in ("valence", "arousal")]
    assert row["ccc_mean"] == pytest.approx(np.mean(scores))
    assert (row["clips"], row["frames"]) == (1, 50)
    assert (table.loc[table["main"], "difference_ccc_mean"] == 0).all()
    assert table.loc[table["clips"] == 1, "difference_ccc_mean_low"].isna().all()


def test_events_of_one_subject_have_no_interval(models, labels, events):
    """Whatever their number: other people were not seen."""
    own = pd.concat([events[events["clip"] == "a"].assign(clip=clip) for clip in "abc"])
    bounds = ["difference_ccc_mean_low", "difference_ccc_mean_high"]
    several = event_scores(models, labels, own, replicates=50)
    assert several.loc[~several["main"], bounds].notna().all(axis=None)
    alone = event_scores(models, labels, own, replicates=50, subjects=dict.fromkeys("abcd", "p"))
    assert alone[bounds].isna().all(axis=None)
    pd.testing.assert_series_equal(alone["ccc_mean"], several["ccc_mean"])


def test_nothing_gives_tables_with_columns_and_no_rows(joined, predictions, models, labels, events):
    nothing = joined.head(0)
    assert list(calibration(nothing, CONFIG)) == list(CALIBRATION_COLUMNS)
    assert list(region_errors(nothing, CONFIG)) == list(REGION_COLUMNS)
    assert quadrant_confusion(nothing, CONFIG).empty
    assert np.isnan(plane_rmse(nothing))
    for table in (
        event_response(predictions, events.head(0), CONFIG),
        event_response(predictions[["clip", "time_s"]], events, CONFIG),
        event_response(predictions, events.assign(clip="z"), CONFIG),
    ):
        assert table.empty
        assert list(table) == list(RESPONSE_COLUMNS)
    scores = event_scores(models, labels, events.head(0), replicates=50)
    assert scores.empty
    assert list(scores) == list(EVENT_SCORE_COLUMNS)
