"""Failures are listed by fixed rules, from the numbers."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.errors import (
    FAILURE_COLUMNS,
    QUADRANT_COLUMNS,
    REGION_COLUMNS,
    RULES,
    Results,
    failures,
    quadrant_confusion,
    region_errors,
)
from iaca.evaluation.events import EVENT_SCORE_COLUMNS, event_scores
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.tables import comparison, video_table

CONFIG = AnalysisConfig(few_frames=20, listed=2)


@pytest.fixture(scope="module")
def results(models, labels, events):
    """The main model's valence is negated in clip c; in events of the voice, the face alone is right."""
    bad = models["iaca"].copy()
    bad.loc[bad["clip"] == "c", "valence"] *= -1
    named = {"iaca": bad, "concat": models["concatenation"], "visual": models["iaca"], "audio": models["audio only"]}
    gold = labels[labels["partition"] == "validation"]
    joined = join_labels(bad, gold)
    return Results(
        comparison=comparison(named, labels, replicates=100),
        videos=video_table(bad, labels),
        regions=region_errors(joined, CONFIG),
        quadrants=quadrant_confusion(joined, CONFIG),
        event_scores=event_scores(named, gold, events, replicates=100),
        partition="validation",
        config=CONFIG,
    )


@pytest.fixture(scope="module")
def found(results):
    return failures(results)


def test_the_lowest_video_is_named_with_its_numbers(results, found):
    first = found[found["rule"] == "videos"].iloc[0]
    assert first["where"] == "c"
    row = results.videos.set_index("clip").loc["c"]
    assert first["value"] == row["ccc_mean"]
    assert f"Clip c: mean CCC {row['ccc_mean']:.3f}".replace("-", "−") in first["sentence"]
    assert (found.loc[found["rule"] == "videos", "value"] < first["reference"]).all()


def test_regions_are_the_worst_with_enough_frames(results, found):
    rows = found[found["rule"] == "regions"]
    enough = results.regions[~results.regions["few"]].sort_values("rmse", ascending=False)
    assert rows["value"].tolist() == enough["rmse"].head(2).tolist()
    assert (rows["frames"] >= CONFIG.few_frames).all()
    assert (rows["value"] > rows["reference"]).all()


def test_a_bias_that_rounds_to_zero_has_no_direction(results):
    rows = results.regions.assign(bias_valence=-0.001, bias_arousal=0.2)
    sentences = failures(replace(results, regions=rows)).query("rule == 'regions'")["sentence"]
    assert sentences.str.contains("predicted valence without bias and arousal 0.20 too high").all()


def test_a_baseline_that_is_ahead_in_an_event_is_named_and_one_clip_shows_nothing(results, found):
    rows = found[found["rule"] == "events"]
    worse = results.event_scores.query("model in ['audio', 'visual'] and difference_ccc_mean > 0")
    assert len(rows) == len(worse) > 0
    single = rows[rows["clips"] == 1]
    assert single["sentence"].str.contains("one clip, so nothing is shown").all()


def test_concat_is_named_where_it_is_not_beaten_and_only_there(results, found):
    rows = found[found["rule"] == "baseline"]
    table = results.comparison[results.comparison["model"] == "concat"].set_index("partition")
    beaten = table.index[table["difference_ccc_mean_high"] < 0]
    assert set(rows["where"]) == set(table.index) - set(beaten)
    for row in rows.to_dict("records"):
        assert row["value"] == -table.loc[row["where"], "difference_ccc_mean"]
    clear = results.comparison.assign(difference_ccc_mean_high=-0.1)
    assert "baseline" not in set(failures(replace(results, comparison=clear))["rule"])


def test_too_few_clips_are_not_ranked_and_not_compared(results):
    few = replace(results, comparison=results.comparison.assign(few=True))
    found = failures(few)
    assert "videos" not in set(found["rule"])
    baseline = found[found["rule"] == "baseline"]
    assert not baseline["sentence"].str.contains("behind|not shown to differ").any()


def test_one_clip_of_a_baseline_is_written_in_the_singular(results):
    few = results.comparison[results.comparison["partition"] == "train"]
    sentences = failures(replace(results, comparison=few)).query("rule == 'baseline'")["sentence"]
    assert sentences.str.contains("too few clips or subjects (1 clip)", regex=False).all()
    assert len(sentences) == 1


def test_a_negated_quadrant_is_reported(found):
    rows = found[found["rule"] == "quadrants"]
    assert len(rows)
    assert (rows["value"] >= 0.2).all()
    assert rows["sentence"].str.contains("% are predicted").all()


def test_every_finding_follows_a_stated_rule_and_survives_the_file(found):
    assert set(found["rule"]) <= set(RULES)
    reread = pd.read_csv(io.StringIO(found.to_csv(index=False)), dtype={"where": str})
    assert reread["sentence"].tolist() == found["sentence"].tolist()
    np.testing.assert_allclose(reread["value"], found["value"])


def test_nothing_to_look_through_gives_no_finding(results):
    empty = replace(
        results,
        comparison=results.comparison.head(0),
        videos=pd.DataFrame(columns=results.videos.columns),
        regions=pd.DataFrame(columns=list(REGION_COLUMNS)),
        quadrants=pd.DataFrame(columns=list(QUADRANT_COLUMNS)),
        event_scores=pd.DataFrame(columns=list(EVENT_SCORE_COLUMNS)),
    )
    table = failures(empty)
    assert table.empty
    assert list(table) == list(FAILURE_COLUMNS)
