"""A corpus in which everything is wrong that can be: all of it is told in one go, by file, row and remedy."""

import logging
import re
from pathlib import Path

import pandas as pd
import pytest

from affwild2_tree import annotate, movie
from iaca.corpora.check import partition_summary
from iaca.corpora.index import DOUBTFUL, LEFT_OUT, NOTED, OPEN, STOPS
from iaca.engine import ExecutorConfig, results, run_tasks
from iaca.errors import InputError
from iaca.media import MediaLimits
from iaca.pipelines.ingestion import nodes
from iaca.pipelines.ingestion.nodes import IngestionConfig
from shared import SHARED, needs_shared

Told = dict[tuple[str, int | None], tuple[str, str]]
FRAMES = 30
AFFWILD2, FOLDER, FEATURES = (
    IngestionConfig.model_validate({"importer": name}) for name in ("affwild2", "folder", "features")
)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("video") / "v.mp4"
    movie(file, FRAMES)
    return file.read_bytes()


def told(problems: pd.DataFrame) -> Told:
    """(file, row) -> problem and effect; every row names a remedy."""
    assert (problems["remedy"].str.len() > 10).all()
    rows = problems.astype(object).where(problems.notna(), None).to_dict("records")
    return {(row["file"], row["row"]): (row["problem"], row["effect"]) for row in rows}


def line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


def affwild2(root: Path, video: bytes) -> Path:
    """Ten annotations, of which three are good; nine videos."""
    sets = root / "VA_Estimation_Challenge"
    for clip in ("good", "fine", "long", "nan", "high", "empty", "gone", "torn"):
        annotate(sets / f"Train_Set/{clip}.txt", 70 if clip == "long" else FRAMES)
    annotate(sets / "Validation_Set/other.txt", FRAMES)
    line(sets / "Train_Set/nan.txt", 7, "nan,0.1")
    for row, text in ((9, "0.1,3.7"), (12, "-3.7,0"), (15, "0.1")):
        line(sets / "Train_Set/high.txt", row, text)
    (sets / "Train_Set/empty.txt").write_text("")
    for clip in ("good", "fine", "long", "nan", "high", "empty", "other", "unlabelled"):
        (root / f"{clip}.mp4").write_bytes(video)
    (root / "torn.mp4").write_bytes(b"")
    (root / "subjects.csv").write_text("clip,subject\ngood,ann\nfine,bob\nother,ann\n")
    return root


def test_an_affwild2_tree_with_everything_wrong(tmp_path: Path, video: bytes, caplog: pytest.LogCaptureFixture) -> None:
    root, train = affwild2(tmp_path / "corpus", video), "VA_Estimation_Challenge/Train_Set"
    with caplog.at_level(logging.INFO):
        clips, problems = nodes.index_corpus(root, AFFWILD2, MediaLimits())
    assert told(problems) == {
        ("subjects.csv", 4): ("subject ann is in train and validation (train: good; validation: other)", STOPS),
        (f"{train}/long.txt", None): ("70 annotated rows for 30 declared frames", OPEN),
        (f"{train}/nan.txt", 7): ("nan is outside [-1, 1]", LEFT_OUT),
        (f"{train}/high.txt", 9): ("3.7 is outside [-1, 1]", LEFT_OUT),
        (f"{train}/high.txt", 12): ("-3.7 is outside [-1, 1]", LEFT_OUT),
        (f"{train}/high.txt", 15): ("not two numbers: '0.1'", LEFT_OUT),
        (f"{train}/empty.txt", 1): ("the file is empty", LEFT_OUT),
        (f"{train}/gone.txt", None): ("no video of this name", LEFT_OUT),
        ("torn.mp4", None): ("the file is empty", LEFT_OUT),
        ("unlabelled.mp4", None): ("no annotation: a test clip that is only predicted", NOTED),
    }
    assert sorted(clips["clip"]) == ["fine", "good", "long", "other", "unlabelled"]
    assert re.search(r"train +3 +3 +0\.\d +90 +127 +0 +0\n", caplog.text)  # 29 + 29 + 69 rows are annotated
    for file, row in told(problems):
        shown = file + (f", line {row}" if row else "") in caplog.text
        assert shown == ((file, row) not in ((f"{train}/high.txt", 12), (f"{train}/high.txt", 15)))  # one line per clip
    assert "(and 2 other problems); the clip is left out" in caplog.text
    with pytest.raises(InputError, match=r"subjects\.csv, line 4: subject ann is in"):
        nodes.plan_timelines(root, clips, problems, AFFWILD2, MediaLimits())


def test_what_is_mended_goes_on_and_decoding_decides_about_lengths(tmp_path: Path, video: bytes) -> None:
    root = affwild2(tmp_path / "corpus", video)
    (root / "subjects.csv").unlink()
    clips, problems = nodes.index_corpus(root, AFFWILD2, MediaLimits())
    tasks = nodes.plan_timelines(root, clips, problems, AFFWILD2, MediaLimits())
    run_tasks(tasks, tmp_path / "t", ".parquet", ExecutorConfig(kind="serial"))
    clips, problems, summary = nodes.describe_corpus(
        root, clips, problems, results(tmp_path / "t", ".parquet"), AFFWILD2
    )
    assert sorted(clips["clip"]) == ["fine", "good", "other", "unlabelled"]
    long = problems.set_index("clip").loc["long"]
    assert (long["problem"], long["effect"]) == ("70 annotated rows for 30 decoded frames", LEFT_OUT)
    assert summary.set_index("partition").loc["train", ["clips", "frames", "annotated"]].tolist() == [2, 60, 58]
    assert summary.set_index("partition").loc["test", "without_labels"] == 1


def labels(rows: int, key: str = "time_s") -> str:
    return f"{key},valence,arousal\n" + "".join(f"{i / 10 if key == 'time_s' else i},0.1,0.2\n" for i in range(rows))


def test_a_folder_with_everything_wrong(tmp_path: Path, video: bytes, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "corpus"
    clips = {"good": labels(10), "long": labels(70, "frame"), "nan": labels(10), "high": labels(10), "empty": "",
             "other": labels(10), "later": labels(50)}  # fmt: skip
    root.mkdir()
    for clip, text in clips.items():
        (root / f"{clip}.csv").write_text(text)
        (root / f"{clip}.mp4").write_bytes(video)
    line(root / "nan.csv", 5, "nan,0.1,0.2")
    line(root / "high.csv", 4, "0.2,3.7,0.2")
    (root / "gone.csv").write_text(labels(10))
    (root / "unlabelled.mp4").write_bytes(video)
    (root / "torn.mkv").write_bytes(b"")
    rows = [f"{c},train,{c}" for c in (*clips, "torn", "unlabelled") if c != "other"]
    (root / "partition.csv").write_text("\n".join(["clip,partition,subject", *rows, "other,validation,good"]) + "\n")
    with caplog.at_level(logging.INFO):
        index, problems = nodes.index_corpus(root, FOLDER, MediaLimits())
    expected: Told = {
        ("partition.csv", 10): ("subject good is in train and validation (train: good; validation: other)", STOPS),
        ("long.csv", None): ("70 annotated rows for 30 declared frames", OPEN),
        ("nan.csv", 5): ("'nan' is not a time", LEFT_OUT),
        ("high.csv", 4): ("3.7 is outside [-1, 1]", LEFT_OUT),
        ("empty.csv", 1): ("the file is empty", LEFT_OUT),
        ("gone.csv", None): ("no video of this name is next to the annotation", LEFT_OUT),
        ("torn.mkv", None): ("the file is empty", LEFT_OUT),
        ("unlabelled.mp4", None): ("no annotation: a train clip that is only predicted", NOTED),
    }
    assert told(problems) == expected
    assert all(file in caplog.text for file, _ in expected)
    with pytest.raises(InputError, match=r"partition\.csv, line 10: subject good"):
        nodes.plan_timelines(root, index, problems, FOLDER, MediaLimits())
    problems = problems[problems["effect"] != STOPS]
    tasks = nodes.plan_timelines(root, index, problems, FOLDER, MediaLimits())
    run_tasks(tasks, tmp_path / "t", ".parquet", ExecutorConfig(kind="serial"))
    described, problems, _ = nodes.describe_corpus(root, index, problems, results(tmp_path / "t", ".parquet"), AFFWILD2)
    assert sorted(described["clip"]) == ["good", "other", "unlabelled"]
    found = told(problems)
    assert found["long.csv", None] == ("frames up to 69 are annotated, but 30 decode", LEFT_OUT)
    assert found["later.csv", None][0].startswith("only 20% of the rows lie within the video")
    assert found[".", None] == ("every label of valence is 0.1", DOUBTFUL)
    assert set(found) == set(expected) - {("partition.csv", 10)} | {("later.csv", None), (".", None)}


@needs_shared("media/no_face.mp4")
def test_a_container_that_declares_too_many_frames_raises_a_suspicion_that_decoding_settles(tmp_path: Path) -> None:
    root, name = tmp_path / "corpus", "VA_Set/Train_Set/clip.txt"
    annotate(root / name, 95)
    (root / "clip.mp4").write_bytes((SHARED / "media/no_face.mp4").read_bytes())  # declares 98 frames, 95 decode
    index, problems = nodes.index_corpus(root, AFFWILD2, MediaLimits())
    assert told(problems)[name, None] == ("95 annotated rows for 98 declared frames", OPEN)
    tasks = nodes.plan_timelines(root, index, problems, AFFWILD2, MediaLimits())
    run_tasks(tasks, tmp_path / "t", ".parquet", ExecutorConfig(kind="serial"))
    clips, problems, _ = nodes.describe_corpus(root, index, problems, results(tmp_path / "t", ".parquet"), AFFWILD2)
    assert clips[["frames", "annotated"]].to_numpy().tolist() == [[95, 94]]
    assert set(problems["effect"]) == {NOTED}  # one partition has no annotated clip


def test_features_with_everything_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "corpus"
    for name in ("features/audio", "features/visual", "labels"):
        (root / name).mkdir(parents=True)
    table = "time_s,f0,f1\n" + "".join(f"{i / 10},{i % 7},1\n" for i in range(30))
    clips = ("good", "nan", "high", "empty", "other", "unlabelled", "long")
    for clip in clips:
        for modality in ("audio", "visual"):
            (root / f"features/{modality}/{clip}.csv").write_text(table)
        if clip != "unlabelled":
            (root / f"labels/{clip}.csv").write_text(labels(70 if clip == "long" else 30))
    (root / "labels/alone.csv").write_text(labels(30))
    line(root / "features/visual/nan.csv", 4, "0.2,nan,1")
    line(root / "labels/high.csv", 6, "0.4,0,3.7")
    (root / "features/audio/empty.csv").write_text("")
    rows = [f"{c},train,{c}" for c in clips if c != "other"] + ["other,validation,good", "alone,train,alone"]
    (root / "partition.csv").write_text("\n".join(["clip,partition,subject", *rows]) + "\n")
    with caplog.at_level(logging.INFO):
        index, problems = nodes.index_corpus(root, FEATURES, MediaLimits())
    found = told(problems)
    assert found.pop(("features/audio/empty.csv", 1))[0].startswith("no column `time_s`, but nothing")
    assert found == {
        ("partition.csv", 8): ("subject good is in train and validation (train: good; validation: other)", STOPS),
        ("features/visual/nan.csv", 4): ("nan in column 'f0'", LEFT_OUT),
        ("labels/high.csv", 6): ("arousal 3.7 is outside [-1, 1]", LEFT_OUT),
        ("features/audio", None): ("no audio features: the clip is empty", LEFT_OUT),
        ("features/visual", None): ("no visual features: the clip is empty", LEFT_OUT),
        ("labels", None): ("no labels: a train clip that is only predicted", NOTED),
        ("labels/long.csv", None): (
            "40 annotated steps lie outside the features, which run from 0 to 2.9 s", NOTED
        ),
    }  # fmt: skip
    assert "labels/high.csv, line 6" in caplog.text
    with pytest.raises(InputError, match=r"partition\.csv, line 8"):
        nodes.plan_timelines(root, index, problems, FEATURES, MediaLimits())


def test_a_corpus_of_which_nothing_is_left_stops(tmp_path: Path) -> None:
    annotate(tmp_path / "VA_Set/Train_Set/1.txt", 3)
    clips, problems = nodes.index_corpus(tmp_path, AFFWILD2, MediaLimits())
    assert partition_summary(clips.assign(frames=0, annotated=0, first_s=0, last_s=0, has_audio=True)).empty
    with pytest.raises(InputError, match="no clip can be used"):
        nodes.plan_timelines(tmp_path, clips, problems, AFFWILD2, MediaLimits())
