"""A folder of videos: which clips it holds, how partitions are dealt, and annotations by time and by frame."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from affwild2_tree import movie
from iaca.corpora.affwild2 import index_affwild2
from iaca.corpora.features import index_features
from iaca.corpora.folder import FolderConfig, assign_partitions, build_timeline, index_folder
from iaca.corpora.index import DOUBTFUL, EVENT_FILE, LEFT_OUT, NOTED, PARTITION_FILE, STOPS, SUBJECT_FILE
from iaca.corpora.timeline import labels_at
from iaca.engine import ExecutorConfig, results, run_tasks
from iaca.errors import InputError
from iaca.formats.labels import inspect_labels, read_labels
from iaca.media import MediaLimits, write_movie
from iaca.pipelines.ingestion.nodes import IngestionConfig, describe_corpus, index_corpus, plan_timelines

CONFIG = FolderConfig()
FOLDER = IngestionConfig.model_validate({"importer": "folder"})
BY_TIME, BY_FRAME = "time_s,valence,arousal\n0,0.1,0.2\n0.5,0.3,0.4\n", "frame,valence,arousal\n0,0.1,0.2\n"


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def told(root: Path, config: FolderConfig = CONFIG) -> dict[str, str]:
    return {str(row["file"]): str(row["problem"]) for row in index_folder(root, config).problems}


def test_videos_are_found_at_any_depth_each_with_the_annotation_beside_it(tmp_path: Path) -> None:
    names = ["1.mp4", "a/x.AVI", "a/b/y.mov", "z.mkv", "w.webm", "v.m4v", "u.mpg", "t.wmv", ".hidden.mp4", ".git/q.mp4"]
    root = put(tmp_path, dict.fromkeys(names, "") | {"a/b/y.csv": BY_TIME, "1.csv": BY_FRAME, "notes.txt": ""})
    index = index_folder(root, CONFIG)
    assert index.problems == []
    clips = index.clips.set_index("clip")
    assert set(clips.index) == {"1", "x", "y", "z", "w", "v", "u", "t"}
    assert clips.loc["y", ["media", "annotation"]].tolist() == ["a/b/y.mov", "a/b/y.csv"]
    assert (clips.loc[clips["annotation"] == "", "partition"] == "test").all()


def test_of_times_and_frames_the_times_count_and_capitals_are_no_obstacle(tmp_path: Path) -> None:
    root = put(tmp_path, {"a.MP4": "", "a.CSV": "Frame, Time_s ,Valence,Arousal,clip\n5,0.25,0.1,0.2,a\n"})
    (row,) = index_folder(root, CONFIG).clips.to_dict("records")
    given_ = read_labels(root / row["annotation"])
    assert (given_.key, given_.places.tolist()) == ("time_s", [0.25])


def test_what_belongs_to_nothing_and_names_that_collide_are_named(tmp_path: Path) -> None:
    files = {"ok.mp4": "", "a/twice.mp4": "", "b/twice.avi": "", "a/twice.csv": BY_TIME, "alone.csv": BY_TIME}
    root = put(tmp_path, files | {"c/ok.csv": BY_TIME, "voice.wav": "", "ok.wav": "", "subjects.csv": "clip,subject\n"})
    problems = told(root)
    assert set(problems) == {"a/twice.mp4", "b/twice.avi", "alone.csv", "c/ok.csv", "voice.wav"}
    assert "another is b/twice.avi" in problems["a/twice.mp4"]
    assert problems["c/ok.csv"] == "it is not read: the video of this name is ok.mp4"
    assert "no video of this name is next to" in problems["alone.csv"]
    assert "sound without a picture is not a clip" in problems["voice.wav"]
    assert index_folder(root, CONFIG).clips["clip"].tolist() == ["ok"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no video"):
        index_folder(tmp_path / "empty", CONFIG)


def test_camcorder_files_are_clips_and_what_is_no_media_is_named(tmp_path: Path) -> None:
    root = put(tmp_path, dict.fromkeys(["00001.MTS", "b.m2ts", "VTS_01_1.VOB", "d.ogv", "e.dv"], ""))
    movie(root / "f.mp4", 2)
    (root / "f.mp4").rename(root / "phone")
    put(root, {"notes": "text", "page.ts": "const a = 1;", "p.png": "", "00001.csv": BY_TIME, "phone.csv": BY_TIME})
    put(root, {"partition.csv": "clip,partition\n00001,train\nphone,test\nb,test\nVTS_01_1,test\nd,test\ne,test\n"})
    (root / "odd.xyz").write_bytes(bytes(range(256)) * 8)
    index = index_folder(root, CONFIG)
    assert index.clips.set_index("clip")["media"].to_dict() == {
        "00001": "00001.MTS", "b": "b.m2ts", "VTS_01_1": "VTS_01_1.VOB", "d": "d.ogv", "e": "e.dv", "phone": "phone",
    }  # fmt: skip
    assert index.clips.set_index("clip").loc["phone", "annotation"] == "phone.csv"
    assert {str(row["file"]): str(row["problem"]) for row in index.problems} == {
        "odd.xyz": "can't be opened as a media file (Invalid data found when processing input)"
    }


def test_a_table_of_partitions_decides_and_says_what_it_lacks(tmp_path: Path) -> None:
    rows = "clip,partition,subject\na,train,ann\nb,validation,bob\nc,test,ann\ngone,train,\n"
    root = put(tmp_path, dict.fromkeys(["a.mp4", "b.mp4", "c.mp4", "more/d.mp4"], "") | {"partition.csv": rows})
    index = index_folder(root, CONFIG)
    assert index.clips["partition"].tolist() == ["train", "validation", "test"]
    found = {(row["clip"], row["file"], row["row"]): row for row in index.problems}
    assert found["c", "partition.csv", 4]["effect"] == STOPS
    assert found["gone", "partition.csv", None]["problem"] == "no video of this name"
    assert found["d", "more/d.mp4", None]["problem"] == "the clip is in no partition"
    assert len(found) == 3


@pytest.mark.parametrize(
    ("table", "read"),
    [
        ("mine/partition.csv", PARTITION_FILE), ("partition.txt", PARTITION_FILE), ("Partitions.xlsx", PARTITION_FILE),
        ("splits.csv", PARTITION_FILE), ("subject.csv", SUBJECT_FILE), ("deep/er/Events.csv", EVENT_FILE),
    ],
)  # fmt: skip
def test_a_table_that_is_not_read_where_it_lies_or_under_its_name_is_told(
    tmp_path: Path, table: str, read: str
) -> None:
    root = put(tmp_path, {"mine/a.mp4": "", "b.mp4": "", table: "clip,partition\na,test\nb,train\n"})
    index = index_folder(root, FolderConfig())
    assert len(index.clips) == 2
    (row,) = index.problems
    assert (row["clip"], row["file"], row["effect"]) == ("", table, DOUBTFUL)
    what = f"this table is not read: {read} has to be in the folder that is given, under this name"
    random = ". Without it, partitions are drawn at random" if read == PARTITION_FILE else ""
    assert row["problem"] == what + random
    moved = f"move it there, or give its folder: ingestion.root={root}/mine"
    assert row["remedy"] == (moved if table == "mine/partition.csv" else f"save it as {read} there")
    put(root, {read: f"clip,{read[:-5]}\na,x\n" if read != PARTITION_FILE else "clip,partition\na,test\nb,train\n"})
    assert [row["problem"] for row in index_folder(root, FolderConfig()).problems] == [what]


def test_a_video_may_have_the_name_of_a_table(tmp_path: Path) -> None:
    root = put(tmp_path, {"in/event.mp4": "", "in/event.csv": BY_TIME})
    index = index_folder(root, FolderConfig())
    assert (index.clips["annotation"].tolist(), index.problems) == (["in/event.csv"], [])


def test_an_annotation_in_another_folder_than_its_video_does_not_leave_the_clip_out(tmp_path: Path) -> None:
    root = put(tmp_path, {"videos/a.mp4": "", "labels/a.csv": BY_TIME})
    index = index_folder(root, FolderConfig())
    assert index.clips["clip"].tolist() == ["a"]
    (row,) = index.problems
    assert (row["clip"], row["file"], row["effect"]) == ("a", "labels/a.csv", DOUBTFUL)
    assert row["problem"] == "it is not read: the video of this name is videos/a.mp4"
    assert row["remedy"] == "move it next to the video"


def test_names_in_the_table_of_partitions_that_are_nearly_those_of_videos_are_told_how_to_be_written(
    tmp_path: Path,
) -> None:
    rows = "clip,partition\na.mp4,train\nvideos\\b.MOV,train\nC,test\ngone.mp4,test\n"
    root = put(tmp_path, {"a.mp4": "", "videos/b.mov": "", "c.mp4": "", "partition.csv": rows})
    found = {row["clip"]: row["remedy"] for row in index_folder(root, FolderConfig()).problems if row["row"] is None}
    near = "write names of videos as they are, without folder and ending: a for a.mp4"
    assert [found[clip] for clip in ("a.mp4", "videos\\b.MOV", "C")] == [near] * 3
    assert found["gone.mp4"] == "put a video of this name anywhere below the root, or remove the row"


def test_clips_of_one_subject_stay_together_annotated_or_not(tmp_path: Path) -> None:
    names = [f"s{i}_{j}" for i in range(6) for j in range(3)]
    table = "clip,subject\n" + "".join(f"{name},{name[:2]}\n" for name in names)
    labels = {f"{name}.csv": BY_TIME for name in names if name[-1] != "2"}
    index = index_folder(put(tmp_path, {f"{n}.mp4": "" for n in names} | labels | {"subjects.csv": table}), CONFIG)
    assert index.clips.groupby("subject")["partition"].nunique().max() == 1
    assert set(index.clips["partition"]) == {"train", "validation", "test"}


def test_clips_whose_subject_is_left_empty_are_subjects_of_their_own(tmp_path: Path) -> None:
    table = "clip,subject\na,\nb,  \nc,ann\nd,ann\n"
    files = {f"{name}.mp4": "" for name in "abcde"} | {f"{name}.csv": BY_TIME for name in "abcde"}
    index = index_folder(put(tmp_path, files | {"subjects.csv": table}), CONFIG)
    assert dict(zip(index.clips["clip"], index.clips["subject"], strict=True)) == {
        "a": "a", "b": "b", "c": "ann", "d": "ann", "e": "e"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Partition.csv", "SUBJECTS.CSV", "Events.csv"])
@pytest.mark.parametrize("index", [lambda root: index_folder(root, CONFIG), index_features, index_affwild2])
def test_a_table_whose_name_has_other_capitals_is_refused(
    tmp_path: Path, name: str, index: Callable[[Path], object]
) -> None:
    root = put(tmp_path, {"a.mp4": "", "a.csv": BY_TIME, name: "clip,partition\na,train\n"})
    said = rf"{name}: the name of this table has other capitals Remedy: rename it to {name.lower()}"
    with pytest.raises(InputError, match=said):
        index(root)
    if not (root / name.lower()).exists():  # as it would be on a Mac
        put(root, {name.lower(): "clip,partition,subject\n"})
        index_folder(root, CONFIG)


@pytest.mark.parametrize("ending", [".tsv", ".txt", ".xlsx"])
def test_an_annotation_in_another_format_is_noted(tmp_path: Path, ending: str) -> None:
    files = {"a.mp4": "", f"a{ending}": BY_TIME, "b.mp4": "", "b.csv": BY_TIME, f"b{ending}": "what b says"}
    index = index_folder(put(tmp_path, files | {"notes.txt": ""}), CONFIG)
    (noted,) = [row for row in index.problems if "is not read" in str(row["problem"])]
    assert (noted["clip"], noted["file"], noted["effect"]) == ("a", f"a{ending}", NOTED)
    assert "save it as a.csv" in str(noted["remedy"])


@pytest.mark.parametrize("seed", range(5))
def test_a_new_subject_moves_none_of_the_others(seed: int) -> None:
    config, subjects = FolderConfig(seed=seed), {f"subject {i}" for i in range(40)}
    dealt = assign_partitions(subjects, config)
    more = assign_partitions(subjects | {"new"}, config)
    assert {subject: more[subject] for subject in dealt} == dealt


@given(st.sets(st.text("abcdefgh", min_size=1), min_size=3, max_size=12))
def test_no_partition_stays_empty_where_three_subjects_are_there(subjects: set[str]) -> None:
    dealt = assign_partitions(subjects, CONFIG)
    assert dealt == assign_partitions(sorted(subjects, reverse=True), CONFIG)
    assert set(dealt.values()) == {"train", "validation", "test"}


def test_shares_are_about_what_was_asked_for_and_leave_something_to_learn_from() -> None:
    dealt = list(assign_partitions([f"subject {i}" for i in range(4000)], FolderConfig(validation_share=0.1)).values())
    assert dealt.count("validation") / 4000 == pytest.approx(0.1, abs=0.02)
    assert dealt.count("test") / 4000 == pytest.approx(0.2, abs=0.02)
    with pytest.raises(ValidationError, match="nothing to train on"):
        FolderConfig(validation_share=0.5, test_share=0.5)


def annotation(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.csv"
    path.write_text(text)
    return path


def test_times_between_two_rows_are_interpolated_and_a_gap_stays_a_gap(tmp_path: Path) -> None:
    rows = "time_s;valence;arousal;who\n0.0;0.0;-1\n0.2;0.2;1\n0.4;;\n0.6;0.6;0\n0.8;0.8;0\n2.0;1;0\n"
    given_ = read_labels(annotation(tmp_path, rows.replace("\n", ";me\n").replace("who;me", "who")))
    at = labels_at(
        given_.places, given_.values, np.array([0.0, 0.05, 0.2, 0.3, 0.5, 0.6, 0.7, 1.0, 1.2, 1.8, 2.2, 2.4])
    )
    nan = np.nan  # the steps are 0.2 s, so a row reaches 0.3 s; rows without labels end the annotation
    np.testing.assert_allclose(at[:, 0], [0, 0.05, 0.2, nan, nan, 0.6, 0.7, 0.8, nan, 1, 1, nan], atol=1e-6)
    np.testing.assert_allclose(at[:3, 1], [-1, -0.5, 1], atol=1e-6)
    wide = labels_at(given_.places, given_.values, np.array([1.4]), tolerance_s=0.6)
    np.testing.assert_allclose(wide[0, 0], 0.9, atol=1e-6)  # half way between 0.8 and 2.0 s


BAD = {
    "an empty file": ("", [1], "the file is empty"),
    "no such column": ("time_s,valence\n0,0\n", [1], "the columns are time_s, valence"),
    "no row": ("time_s,valence,arousal\n", [None], "no row below"),
    "all rows at once": (
        "time_s,valence,arousal\n0,0,0\n0.1,3.7,0\nnan,0,0\n0.2,x,0\n0.2,0\n0.05,0,0\n-1,0,0\n0.3,0.1,0.1\n",
        [3, 4, 5, 6, 8], "3.7 is outside",
    ),
    "a time that goes back": ("time_s,valence,arousal\n1,0,0\n0.5,0,0\n", [3], "time_s 0.5 comes after 1"),
    "no table at all": ("x" * 200_000, [1], "can't be read as a table"),
    "half a frame": ("frame,valence,arousal\n0,0,0\n1.5,0,0\n", [3], "'1.5' is not a frame"),
    "a frame twice": ("frame,valence,arousal\n0,0,0\n0,0,0\n", [3], "frame 0 comes after 0"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_every_faulty_row_is_named_with_its_line(tmp_path: Path, fault: str) -> None:
    text, rows, words = BAD[fault]
    path = annotation(tmp_path, text)
    faults = inspect_labels(path).faults
    assert [f.row for f in faults] == rows
    assert words in str(faults[0])
    assert all(f.remedy and f.file == path for f in faults)
    with pytest.raises(InputError):
        read_labels(path)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    movie(path, 30)  # one second
    return path


def timeline(video: Path, path: Path) -> pd.DataFrame:
    build_timeline(video, path, target=path.with_suffix(".parquet"))
    return pd.read_parquet(path.with_suffix(".parquet"))


def test_rows_by_frame_belong_to_decoded_frames_counted_from_0(video: Path, tmp_path: Path) -> None:
    rows = "frame,valence,arousal\n" + "".join(f"{i},0.{i % 10},0\n" for i in range(3, 32, 7))  # 3, 10, 17, 24, 31
    table = timeline(video, annotation(tmp_path, rows))
    assert table["valence"].notna().to_numpy().nonzero()[0].tolist() == [3, 10, 17, 24]
    np.testing.assert_allclose(table["valence"].dropna(), [0.3, 0.0, 0.7, 0.4], atol=1e-6)
    assert {name: table.attrs[name] for name in ("frames", "annotated", "first_s")} == {
        "frames": 30, "annotated": 4, "first_s": 0.0,
    }  # fmt: skip
    half = timeline(video, annotation(tmp_path, "frame,valence,arousal\n0,0.1,0.2\n1,0.1,\n2,,0.2\n"))
    assert half.attrs["annotated"] == 1  # of the others one dimension alone is known
    with pytest.raises(InputError, match="frames up to 32 are annotated, but 30 decode"):
        timeline(video, annotation(tmp_path, rows + "32,0,0\n"))


def test_rows_by_time_may_run_on_after_the_video_but_not_be_of_another_one(video: Path, tmp_path: Path) -> None:
    rows = [f"{i / 10},{i / 100},0" for i in range(15)]
    table = timeline(video, annotation(tmp_path, "\n".join(["time_s,valence,arousal", *rows])))
    np.testing.assert_allclose(table["valence"], table["time_s"] / 10, atol=1e-6)
    ((what, remedy),) = table.attrs["notes"]
    assert what.startswith("4 rows lie after the last frame")  # 1.1 to 1.4 s, the last frame at 0.97 s lasts to 1.0
    assert remedy
    milliseconds = [f"{40 * i},0.1,0" for i in range(25)]
    with pytest.raises(InputError, match="only 4% of the rows"):
        timeline(video, annotation(tmp_path, "\n".join(["time_s,valence,arousal", *milliseconds])))


@pytest.mark.parametrize(
    ("unit", "rows", "named"),
    [
        (1e-3, 25, "milliseconds"),
        (1 / 30, 30, "frame or row numbers"),
        (60, 1000, "minutes"),
        (1e-9, 25, "nanoseconds"),
    ],
)
def test_labels_in_another_unit_are_refused_with_both_spans(
    video: Path, tmp_path: Path, unit: float, rows: int, named: str
) -> None:
    step = 1 / rows
    lines = [f"{round(i * step / unit, 6)!r},0.1,0" for i in range(rows)]
    with pytest.raises(InputError, match=f"rows run from 0 to .* s, the clip from 0 to .* probably in {named}"):
        timeline(video, annotation(tmp_path, "\n".join(["time_s,valence,arousal", *lines])))


def by_frame(numbers: range) -> str:
    """Valence is a hundredth of the place of a row in the file."""
    return "frame,valence,arousal\n" + "".join(f"{number},{i / 100},0\n" for i, number in enumerate(numbers))


@pytest.mark.parametrize("longer", [0, 1])
def test_frames_counted_from_1_are_recognised_and_noted(video: Path, tmp_path: Path, longer: int) -> None:
    table = timeline(video, annotation(tmp_path, by_frame(range(1, 31 + longer))))  # 30 frames
    np.testing.assert_allclose(table["valence"], np.arange(30) / 100, atol=1e-6)
    what, remedy = table.attrs["notes"][0]
    assert what == f"rows are numbered from 1 to {30 + longer}, for 30 frames: taken as counted from 1"
    assert remedy
    assert [note[0] for note in table.attrs["notes"][1:]] == (
        ["1 row lies after the last of 30 frames, not used"] if longer else []
    )


def test_every_third_frame_counted_from_1_that_reaches_the_last(video: Path, tmp_path: Path) -> None:
    table = timeline(video, annotation(tmp_path, by_frame(range(1, 31, 29))))
    assert table["valence"].notna().to_numpy().nonzero()[0].tolist() == [0, 29]


def test_frames_counted_from_0_stay_in_their_places(video: Path, tmp_path: Path) -> None:
    table = timeline(video, annotation(tmp_path, by_frame(range(30))))
    np.testing.assert_allclose(table["valence"], np.arange(30) / 100, atol=1e-6)
    assert list(table.attrs["notes"]) == []


def test_frames_from_1_that_end_before_the_last_may_be_either_and_are_noted(video: Path, tmp_path: Path) -> None:
    table = timeline(video, annotation(tmp_path, by_frame(range(1, 30))))
    assert np.isnan(table["valence"].iloc[0])
    ((what, _),) = table.attrs["notes"]
    assert what == "rows are numbered from 1 to 29, for 30 frames: taken as counted from 0"


@pytest.mark.parametrize("key", ["time_s", "frame"])
def test_a_video_that_is_cut_off_is_told_with_both_lengths(tmp_path: Path, key: str) -> None:
    root, out, draw = tmp_path / "root", tmp_path / "out", np.random.default_rng(0)
    pictures = draw.integers(0, 255, (100, 48, 64, 3), np.uint8)  # noise: each frame has about as many bytes
    rows = "".join(f"{i if key == 'frame' else i / 25},{i / 200 - 0.2},0.1\n" for i in range(100))
    for clip in ("labelled", "unlabelled", "whole"):
        write_movie(root / f"{clip}.mp4", ((i / 25, picture) for i, picture in enumerate(pictures)), 25)
        content = (root / f"{clip}.mp4").read_bytes()
        start = content.find(b"mdat")
        assert 0 < content.find(b"moov") < start
        if clip != "whole":
            (root / f"{clip}.mp4").write_bytes(content[: start + (len(content) - start) // 5])
        if clip != "unlabelled":
            put(root, {f"{clip}.csv": f"{key},valence,arousal\n{rows}"})
    index, problems = index_corpus(root, FOLDER, MediaLimits())
    tasks = plan_timelines(root, index, problems, FOLDER, MediaLimits())
    run_tasks(tasks, out, ".parquet", ExecutorConfig(kind="serial"))
    clips, found, _ = describe_corpus(root, index, problems, results(out, ".parquet"), FOLDER)
    assert sorted(clips["clip"]) == ["unlabelled", "whole"]
    told = found[found["problem"].str.contains("the pictures end at")].set_index("clip")
    cut = r"the pictures end at 0\.\d+ s, but the file declares 4 s"
    assert re.fullmatch(cut, told.loc["unlabelled", "problem"])
    assert re.fullmatch(rf".* (lie within the video|decode); {cut}", told.loc["labelled", "problem"])
    assert told.loc[["unlabelled", "labelled"], "effect"].tolist() == [DOUBTFUL, LEFT_OUT]
    assert set(told["remedy"]) == {"play the video: if it is cut off, copy it again"}
