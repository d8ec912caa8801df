"""What the training pipeline trains on, and what makes it train again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmark_project import TRAINING, check_what_is_trained_on, corpus

from iaca.engine import ClipPaths, Task
from iaca.fusion.config import Baselines, ModelChoice
from iaca.pipelines.training.nodes import index_steps, plan_runs, settings_of

Corpus = tuple[ClipPaths, ClipPaths, pd.DataFrame]


@pytest.fixture
def tiny(tmp_path: Path) -> Corpus:
    return corpus(tmp_path)


def plan(tiny: Corpus, folder: Path) -> dict[str, Task]:
    card = {"name": "tiny", "caveat": "made up"}
    return plan_runs(*tiny, card, folder, ModelChoice(), Baselines(("concat", "audio")), TRAINING)


def test_every_model_trains_on_the_train_partition_and_stops_by_the_validation_partition(
    tiny: Corpus, tmp_path: Path
) -> None:
    planned = plan(tiny, tmp_path)
    assert list(planned) == ["main", "concat", "audio"]
    assert all("training.batch_size" in task.low_memory for task in planned.values())
    check_what_is_trained_on(planned, *tiny)


def test_folds_are_trained_for_the_main_model_alone() -> None:
    config = TRAINING.model_copy(update={"folds": 3})
    assert settings_of("main", config) == config
    assert settings_of("concat", config) == TRAINING.model_copy(update={"folds": 0})


def correct(timeline: Path) -> None:
    table = pd.read_parquet(timeline)
    table.loc[3, "valence"] = -table.loc[3, "valence"]
    table.to_parquet(timeline)


@pytest.mark.parametrize(("partition", "again"), [("train", True), ("validation", True), ("test", False)])
def test_a_corrected_label_trains_again_where_its_clip_is_trained_on(
    tiny: Corpus, tmp_path: Path, partition: str, again: bool
) -> None:
    before = {run: task.fingerprint() for run, task in plan(tiny, tmp_path).items()}
    _, timelines, index = tiny
    correct(timelines[index.loc[index["partition"] == partition, "clip"].iloc[0]])
    changed = {run for run, task in plan(tiny, tmp_path).items() if task.fingerprint() != before[run]}
    assert changed == (set(before) if again else set())


def test_the_index_counts_what_the_timelines_say_of_embedded_clips(tiny: Corpus) -> None:
    embeddings, timelines, index = tiny
    clips = index[["clip", "partition"]].assign(subject="s")
    first, second, *_ = index["clip"]
    table = pd.read_parquet(timelines[first])
    table.loc[:9, "arousal"] = np.nan
    table["face_found"] = np.arange(len(table)) < 25
    table["audio_present"] = True
    table.to_parquet(timelines[first])
    embedded = ClipPaths({clip: embeddings[clip] for clip in embeddings if clip != second}, {})
    counted = index_steps(clips, embedded, timelines).set_index("clip")
    assert second not in counted.index
    assert len(counted) == len(index) - 1
    row = counted.loc[first]
    assert (row["steps"], row["annotated"]) == (len(table), len(table) - 10)
    assert (row["face_found"], row["audio_present"]) == (25 / len(table), 1.0)


@pytest.mark.parametrize(
    ("clips", "subjects", "annotated", "warned"),
    [
        (1, 1, 1, "validation: Too few: 1 clip of 1 subject. Intervals and rankings need at least 3 annotated clips"),
        (3, 1, 3, "validation: Too few: 3 clips of 1 subject."),
        (3, 3, 2, "validation: Too few: 2 clips of 2 subjects."),
        (3, 2, 3, ""),
        (3, 3, 0, ""),
    ],
)
def test_a_partition_of_few_annotated_clips_is_warned_of_before_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, clips: int, subjects: int, annotated: int, warned: str
) -> None:
    names = [f"c{i}" for i in range(clips)]
    for i, name in enumerate(names):
        value = 0.5 if i < annotated else np.nan
        table = pd.DataFrame({"valence": value, "arousal": value, "audio_present": True, "face_found": [True] * 10})
        table.to_parquet(tmp_path / f"{name}.parquet")
    paths = ClipPaths({name: tmp_path / f"{name}.parquet" for name in names}, {})
    people = [f"p{min(i, subjects - 1)}" for i in range(clips)]
    with caplog.at_level("WARNING"):
        index_steps(pd.DataFrame({"clip": names, "subject": people, "partition": "validation"}), paths, paths)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == bool(warned)
    assert all(warned in message for message in told)
