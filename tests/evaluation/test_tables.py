"""Tables of results: every model, every partition, the difference to the main model."""

import gc
import json
import weakref
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.evaluation.config import FilterStep
from iaca.evaluation.events import event_scores
from iaca.evaluation.metrics import join_labels, pooled_metrics
from iaca.evaluation.tables import best_and_worst, comparison, headline, postprocessing_table, too_few, video_table


@pytest.fixture(scope="module")
def table(models, labels):
    return comparison(models, labels, replicates=200)


def test_every_model_stands_on_every_annotated_partition(table, models):
    assert list(table["partition"].unique()) == ["train", "validation"]
    assert set(table[table["partition"] == "validation"]["model"]) == set(models)


def test_its_numbers_are_the_pooled_metrics(table, models, labels):
    gold = labels[labels["partition"] == "validation"]
    for row in table[table["partition"] == "validation"].to_dict("records"):
        expected = pooled_metrics(join_labels(models[row["model"]], gold))
        assert {name: row[name] for name in expected} == expected
        assert row["ccc_mean_low"] <= row["ccc_mean"] <= row["ccc_mean_high"]


class ReadWhenAsked(Mapping):
    """A copy of each model's table whenever it is asked for, and how many of the others were still there then."""

    def __init__(self, tables):
        self._tables, self._read, self.alive = tables, [], []

    def __getitem__(self, name):
        gc.collect()
        self.alive.append(sum(read() is not None for read in self._read))
        table = self._tables[name].copy()
        self._read.append(weakref.ref(table))
        return table

    def __iter__(self):
        return iter(self._tables)

    def __len__(self):
        return len(self._tables)


def test_of_all_models_one_at_a_time_is_in_memory(models, labels):
    events = pd.DataFrame([("a", "audio", "noise", 0.5, 2.0)], columns=["clip", "modality", "kind", "start_s", "end_s"])
    for scored, many in (
        (lambda m: comparison(m, labels, replicates=50), len(models)),
        (lambda m: event_scores(m, labels, events), len(models) + 1),
    ):
        asked = ReadWhenAsked(models)
        pd.testing.assert_frame_equal(scored(asked), scored(models))
        assert asked.alive == [0] * many


def test_the_main_model_differs_from_itself_by_exactly_nothing(table):
    columns = [name for name in table if name.startswith("difference_") and not name.endswith(("_low", "_high"))]
    assert (table.loc[table["main"], columns] == 0).all(axis=None)
    assert (table.loc[~table["main"] & (table["partition"] == "validation"), columns] < 0).all(axis=None)


@pytest.mark.parametrize(
    ("clips", "subjects", "few"),
    [("abc", None, False), ("ab", None, True), ("abc", dict.fromkeys("abc", "s"), True), ("abc", {"a": "b"}, False)],
)
def test_too_few_clips_or_subjects_have_scores_without_intervals(models, labels, clips, subjects, few):
    known = labels[labels["clip"].isin(list(clips))]
    table = comparison(models, known, replicates=50, subjects=subjects)
    assert (table["few"] == few).all()
    assert table["ccc_mean"].notna().all()
    assert (table.filter(regex="_(low|high)$").isna() == few).all(axis=None)
    smoothed = postprocessing_table(models["iaca"], known, (FilterStep(filter="clip"),), 50, 0, subjects)
    assert (smoothed[["low", "high"]].isna() == few).all(axis=None)
    if few:
        assert "at least 3 annotated clips of 2 subjects" in too_few(table.iloc[0].to_dict())
    else:
        assert too_few(table.iloc[0].to_dict()) == ""


def test_a_clip_without_annotation_does_not_count(models, labels):
    known = labels.copy()
    known.loc[known["clip"] == "b", ["valence", "arousal"]] = np.nan
    found = comparison(models, known, replicates=50).set_index("partition").loc["validation"]
    assert found["few"].all()
    assert (
        found["clips"]
        == comparison(models, labels, replicates=50).set_index("partition").loc["validation", "clips"] - 1
    ).all()


def test_one_clip_of_one_subject_is_written_in_the_singular(models, labels):
    table = comparison(models, labels, replicates=50).set_index("partition")
    assert too_few(table.loc["train"].iloc[0].to_dict()).startswith("Too few: 1 clip of 1 subject.")


def test_clips_that_are_too_few_to_rank_are_listed_by_name(predictions, labels):
    listed, none = best_and_worst(video_table(predictions, labels), "validation", 2, ranked=False)
    assert listed["clip"].tolist() == ["a", "b", "c"]
    assert none.empty


def test_a_partition_without_annotation_is_left_out(models, labels):
    hidden = labels.copy()
    hidden.loc[hidden["partition"] == "train", ["valence", "arousal"]] = np.nan
    assert list(comparison(models, hidden, replicates=20)["partition"].unique()) == ["validation"]


def test_labels_without_any_annotation_are_refused(models, labels):
    with pytest.raises(InputError, match="no frame of the labels is annotated"):
        comparison(models, labels.assign(valence=np.nan, arousal=np.nan))


def test_an_unknown_main_model_is_named(models, labels):
    with pytest.raises(InputError, match="main model rjca"):
        comparison(models, labels, main="rjca")


def test_the_headline_is_flat_and_fits_json(table):
    flat = json.loads(json.dumps(headline(table), allow_nan=False))
    row = table[(table["model"] == "iaca") & (table["partition"] == "validation")].iloc[0]
    assert flat["model"] == "iaca"
    assert flat["validation_ccc_mean"] == row["ccc_mean"]
    assert flat["train_ccc_mean_low"] is None  # one clip has no interval
    assert not any(isinstance(value, dict | list) for value in flat.values())


def test_videos_come_best_first_with_their_partition(predictions, labels):
    videos = video_table(predictions, labels)
    assert videos["ccc_mean"].is_monotonic_decreasing
    assert set(videos["partition"]) == {"train", "validation"}
