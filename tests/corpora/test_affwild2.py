"""The Aff-Wild2 layout: names, partitions, annotations, and what is said about what does not fit."""

from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from affwild2_tree import annotate
from iaca.corpora.affwild2 import annotation_files, index_affwild2
from iaca.corpora.check import clip_table, partition_summary
from iaca.corpora.index import STOPS, CorpusCard, card_text, problem_table, read_card, require_usable, subject_problems
from iaca.corpora.timeline import build_timeline, length_problem
from iaca.engine import ClipPaths, ExecutorConfig, Report, Task, run_tasks
from iaca.errors import InputError
from iaca.formats.labels import read_annotation, read_event_table
from iaca.media import write_movie


def corpus(
    root: Path, annotations: dict[str, list[str]], videos: list[str], top: str = "VA_Estimation_Challenge"
) -> Path:
    for folder, clips in annotations.items():
        (root / top / folder).mkdir(parents=True, exist_ok=True)
        for clip in clips:
            (root / top / folder / f"{clip}.txt").write_text("valence,arousal\n0.1,0.2\n")
    for video in videos:
        (root / video).parent.mkdir(parents=True, exist_ok=True)
        (root / video).write_bytes(b"")
    return root


def annotation(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("top", ["VA_Estimation_Challenge", "VA_Set"])
def test_clips_find_their_videos_partitions_and_sides(tmp_path: Path, top: str) -> None:
    annotated = {"Train_Set": ["1", "video2_left", "video2"], "Validation_Set": ["3-30-640x360"]}
    root = corpus(tmp_path, annotated, ["a/1.mp4", "b/video2.avi", "b/3-30-640x360.mp4", "b/test1.mp4"], top)
    clips = index_affwild2(root).clips.set_index("clip")
    assert clips["partition"].to_dict() == {
        "1": "train", "video2": "train", "video2_left": "train", "3-30-640x360": "validation", "test1": "test",
    }  # fmt: skip
    assert clips.loc["video2_left", ["media", "side"]].tolist() == ["b/video2.avi", "left"]
    assert clips.loc["test1", "annotation"] == ""
    assert clips["subject"].to_dict() == {  # both people of a video count as one: they are in one partition
        "1": "1", "video2": "video2", "video2_left": "video2", "3-30-640x360": "3-30-640x360", "test1": "test1",
    }  # fmt: skip
    (root / "subjects.csv").write_text("clip,subject\nvideo2_left,ann\n")
    named = index_affwild2(root).clips.set_index("clip")["subject"]
    assert named[["video2", "video2_left"]].tolist() == ["video2", "ann"]


def test_a_video_without_annotation_is_its_people_who_have_crops(tmp_path: Path) -> None:
    root = corpus(tmp_path, {"Train_Set": ["1"]}, ["1.mp4", "a.mp4", "b.mp4", "c.mp4"])
    for crops in ("a_left", "a_right", "b", "b_right"):  # the main person of b has the name of the video
        (root / "cropped_aligned" / crops).mkdir(parents=True)
    clips = index_affwild2(root).clips.set_index("clip")
    assert sorted(clips.index) == ["1", "a_left", "a_right", "b", "b_right", "c"]
    assert clips["side"].to_dict() == {
        "1": "", "a_left": "left", "a_right": "right", "b": "", "b_right": "right", "c": "",
    }  # fmt: skip


def test_a_hidden_file_is_no_annotation(tmp_path: Path) -> None:
    index = index_affwild2(corpus(tmp_path, {"Train_Set": ["1", ".tmp-1-2"]}, ["1.mp4"]))
    assert index.clips["clip"].tolist() == ["1"]
    assert index.problems == []


def test_an_annotation_without_video_is_reported_and_costs_nothing_else(tmp_path: Path) -> None:
    index = index_affwild2(corpus(tmp_path, {"Train_Set": ["1", "2"]}, ["1.mp4"]))
    assert index.clips["clip"].tolist() == ["1"]
    (found,) = index.problems
    assert found["clip"] == "2"
    assert "2.mp4" in str(found["remedy"])


def test_a_folder_that_is_no_corpus_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="VA_Estimation_Challenge"):
        index_affwild2(tmp_path)


def test_a_clip_in_two_partitions_stops_the_run_and_videos_of_one_name_cost_only_their_clips(tmp_path: Path) -> None:
    twice = index_affwild2(corpus(tmp_path / "a", {"Train_Set": ["1"], "Validation_Set": ["1"]}, ["1.mp4"]))
    assert [(p["effect"], "two partitions" in str(p["problem"])) for p in twice.problems] == [(STOPS, True)]
    index = index_affwild2(corpus(tmp_path / "b", {"Train_Set": ["1", "2"]}, ["x/1.mp4", "y/1.avi", "2.mp4"]))
    assert index.clips["clip"].tolist() == ["2"]
    told = {str(p["file"]): str(p["problem"]) for p in index.problems}
    assert "another is y/1.avi" in told["x/1.mp4"]
    assert "another is x/1.mp4" in told["y/1.avi"]


def test_subjects_in_two_partitions_are_named_with_their_clips() -> None:
    clips = pd.DataFrame(
        {"clip": ["a", "b", "c"], "subject": ["ann", "bob", "ann"], "partition": ["train", "train", "test"]}
    )
    (found,) = subject_problems(clips, "subjects.csv")
    assert (found["effect"], found["file"]) == (STOPS, "subjects.csv")
    assert found["problem"] == "subject ann is in test and train (test: c; train: a)"
    assert subject_problems(clips.iloc[:2], "subjects.csv") == []
    many = pd.DataFrame({"clip": list("abcdefgh"), "subject": "ann", "partition": ["test", *7 * ["train"]]})
    (found_again,) = subject_problems(many, "subjects.csv")
    assert str(found_again["problem"]).endswith("(test: a; train: b, c, d, e, f and 2 more)")
    with pytest.raises(InputError, match=r"subjects\.csv: subject ann is in test and train"):
        require_usable(problem_table([found]), Path("corpus"))


def test_minus_five_in_either_column_is_not_annotated(tmp_path: Path) -> None:
    labels = read_annotation(annotation(tmp_path, "valence,arousal\n0.5,-0.5\n-5,0.1\n0.2,-5\n-5,-5\n-1,1\n"))
    np.testing.assert_array_equal(np.isnan(labels).all(1), [False, True, True, True, False])
    np.testing.assert_allclose(labels[[0, 4]], [[0.5, -0.5], [-1, 1]])


@pytest.mark.parametrize("text", ["\ufeffvalence,arousal\r\n0.1,0.2\r\n", "Valence, Arousal\n0.1, 0.2"])
def test_byte_order_marks_windows_lines_and_capitals_are_read(tmp_path: Path, text: str) -> None:
    np.testing.assert_allclose(read_annotation(annotation(tmp_path, text)), [[0.1, 0.2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1,0.2\n", "line 1: .*header|line 1"),
        ("valence,arousal\n0.1,0.2\n0.3\n", "line 3: not two numbers"),
        ("valence,arousal\n0.1,abc\n", "line 2: not two numbers"),
        ("valence,arousal\n0.1,1.5\n", r"line 2: 1\.5 is outside"),
        ("valence,arousal\nnan,0\n", "line 2: nan is outside"),
        ("", "line 1"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_annotation(annotation(tmp_path, text))


def test_lengths_may_differ_by_two_rows_and_no_more() -> None:
    assert [length_problem(100, rows) is None for rows in (97, 98, 100, 102, 103)] == [False, True, True, True, False]
    assert length_problem(100, None) is None


def movie(path: Path, frames: int, fps: float = 25.0) -> Path:
    picture = np.zeros((48, 64, 3), np.uint8)
    write_movie(path, ((i / fps, picture + i) for i in range(frames)), fps, None, 16_000)
    return path


def test_a_timeline_has_a_row_per_decoded_frame_with_its_label(tmp_path: Path) -> None:
    rows = "".join(f"0.{i % 10},0\n" for i in range(11))
    build_timeline(
        movie(tmp_path / "m.mp4", 10), annotation(tmp_path, "valence,arousal\n" + rows), target=tmp_path / "t"
    )
    table = pd.read_parquet(tmp_path / "t")
    np.testing.assert_allclose(table["time_s"], np.arange(10) / 25, atol=1e-3)
    np.testing.assert_allclose(table["valence"], np.arange(10) / 10, atol=1e-6)
    assert table.attrs["annotation_rows"] == 11


def test_clips_that_do_not_fit_are_left_out_with_their_reason(tmp_path: Path) -> None:
    paths = {}
    for clip, rows in {"fits": 10, "short": 5}.items():
        text = annotation(tmp_path, "valence,arousal\n" + "0,0\n" * rows)
        paths[clip] = tmp_path / f"{clip}.parquet"
        build_timeline(movie(tmp_path / f"{clip}.mp4", 10), text, target=paths[clip])
    index = pd.DataFrame(
        [(c, c, "train", f"{c}.mp4", f"{c}.txt", "") for c in ("fits", "short", "broken")],
        columns=["clip", "subject", "partition", "media", "annotation", "side"],
    )
    clips, problems = clip_table(index, ClipPaths(paths, {"broken": "can't be opened"}), tmp_path)
    assert clips["clip"].tolist() == ["fits"]
    assert {p["clip"]: p["problem"] for p in problems} == {
        "short": "5 annotated rows for 10 decoded frames",
        "broken": "can't be opened",
    }
    assert partition_summary(clips)[["clips", "frames", "annotated"]].to_numpy().tolist() == [[1, 10, 10]]


def test_a_video_whose_colours_are_guessed_is_noted(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "odd.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "colormatrix=ICtCp"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    build_timeline(tmp_path / "odd.mp4", annotation(tmp_path, "valence,arousal\n0,0\n"), target=tmp_path / "t.parquet")
    columns = ["clip", "subject", "partition", "media", "annotation", "side"]
    index = pd.DataFrame([("odd", "odd", "train", "odd.mp4", "odd.txt", "")], columns=columns)
    clips, problems = clip_table(index, ClipPaths({"odd": tmp_path / "t.parquet"}, {}), tmp_path)
    assert clips["clip"].tolist() == ["odd"]
    (row,) = problems
    assert (row["file"], row["effect"]) == ("odd.mp4", "noted")
    assert "colour matrix 14" in row["problem"]


def test_a_broken_video_costs_only_itself_and_is_made_once_it_is_mended(tmp_path: Path) -> None:
    videos = {name: movie(tmp_path / f"{name}.mp4", 5) for name in ("a", "b", "c")}
    whole = videos["b"].read_bytes()
    videos["b"].write_bytes(whole[:200])
    tasks = {name: Task("build_timeline", build_timeline, (path,)) for name, path in videos.items()}

    def run() -> Report:
        return run_tasks(tasks, tmp_path / "out", ".parquet", ExecutorConfig(kind="serial"))

    report = run()
    assert report.made == ["a", "c"]
    assert str(videos["b"]) in report.failed["b"]
    assert "Remedy" in report.failed["b"]
    videos["b"].write_bytes(whole)
    assert (run().made, run().made) == (["b"], [])
    assert len({path.read_bytes() for path in (tmp_path / "out").glob("*.parquet")}) == 1


def test_events_are_checked_and_optional(tmp_path: Path) -> None:
    assert read_event_table(tmp_path / "none.csv").empty
    path = tmp_path / "events.csv"
    path.write_text("clip,modality,kind,start_s,end_s\n1,audio,silent,2,1\n")
    with pytest.raises(InputError, match=r"line 2: .*ends before"):
        read_event_table(path)
    path.write_text("clip,kind\n1,silent\n")
    with pytest.raises(InputError, match="no column 'modality'"):
        read_event_table(path)


def test_a_corpus_without_a_card_goes_by_its_folder_and_a_bad_card_is_named(tmp_path: Path) -> None:
    assert read_card(tmp_path) == CorpusCard(name=tmp_path.name)
    (tmp_path / "corpus.json").write_text(card_text(CorpusCard(name="mine", caveat="small")))
    assert read_card(tmp_path).caveat == "small"
    (tmp_path / "corpus.json").write_text('{"nam": "mine"}')
    with pytest.raises(InputError, match=r"corpus\.json"):
        read_card(tmp_path)


def test_capitals_of_a_set_and_of_an_ending_do_not_matter(tmp_path: Path) -> None:
    """The clips would be test clips without annotation."""
    for clip, place in (("one", "train_set/one.txt"), ("two", "Validation_Set/two.TXT")):
        movie(tmp_path / f"{clip}.mp4", 10)
        (tmp_path / "VA_Set" / place).parent.mkdir(parents=True)
        annotate(tmp_path / "VA_Set" / place, 10)
    clips = index_affwild2(tmp_path).clips
    assert dict(zip(clips["clip"], clips["partition"], strict=True)) == {"one": "train", "two": "validation"}
    assert clips["annotation"].tolist() == ["VA_Set/train_set/one.txt", "VA_Set/Validation_Set/two.TXT"]
    assert annotation_files(tmp_path).keys() == {("train", "one"), ("validation", "two")}
