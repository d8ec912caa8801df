"""Precomputed features: one clock for both modalities, and every fault named by file, row and remedy."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from iaca.corpora.check import failure
from iaca.corpora.features import (
    FOLDERS,
    VERSION,
    align_file,
    build_timeline,
    clip_table,
    facts_of,
    feature_widths,
    index_features,
    read_clip,
    read_through,
)
from iaca.corpora.index import COUNT, DOUBTFUL, LEFT_OUT, NOTED, STOPS
from iaca.corpora.synthetic import SyntheticConfig, write_corpus
from iaca.corpora.timeline import nearest
from iaca.engine import ExecutorConfig, Task, results, run_tasks
from iaca.errors import InputError
from iaca.formats.tables import read_table, write_table
from iaca.media import MediaLimits
from iaca.pipelines.ingestion.nodes import IngestionConfig, describe_corpus, index_corpus, plan_timelines

WIDTHS = {"audio": 2, "visual": 3}


def table(path: Path, rate: float = 25.0, columns: int = 2, rows: int = 50, start: float = 0.0) -> pd.DataFrame:
    """A file whose value in column i of row j is 10 j + i, at times start + j / rate."""
    times = start + np.arange(rows) / rate
    values = {f"f{i}": 10.0 * np.arange(rows) + i for i in range(columns)}
    frame = pd.DataFrame({"time_s": times, **values})
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return frame


def labels(path: Path, rate: float = 25.0, rows: int = 50) -> pd.DataFrame:
    frame = pd.DataFrame({"time_s": np.arange(rows) / rate, "valence": 0.25, "arousal": -0.5})
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return frame


def corpus(root: Path, clips: int = 4) -> Path:
    """Clips c0, c1, ... of 50 steps, one subject each, the last one for validation."""
    for i in range(clips):
        table(root / f"features/audio/c{i}.csv", columns=2)
        table(root / f"features/visual/c{i}.csv", columns=3)
        labels(root / f"labels/c{i}.csv")
    rows = [f"c{i},{'validation' if i == clips - 1 else 'train'},s{i}" for i in range(clips)]
    (root / "partition.csv").write_text("\n".join(["clip,partition,subject", *rows]) + "\n")
    return root


def clip_files(root: Path, clip: str = "c0") -> dict[str, Path]:
    paths = {kind: root / folder / f"{clip}.csv" for kind, folder in FOLDERS.items()}
    return {kind: path for kind, path in paths.items() if path.exists()}


def rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


@pytest.mark.slow
@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)),
                  elements=st.floats(width=32, allow_nan=False)),
    st.sampled_from([".csv", ".parquet", ".safetensors"]),
    st.floats(0, 1e5), st.floats(1e-3, 10),
)  # fmt: skip
def test_a_table_written_and_read_again_is_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, suffix: str, start: float, step: float
) -> None:
    path = tmp_path_factory.mktemp("table") / f"x{suffix}"
    times = start + step * np.arange(len(values))
    names = tuple(f"f{i}" for i in range(values.shape[1]))
    write_table(path, times, names, values)
    again = read_table(path)
    assert again.times.tobytes() == times.tobytes()
    assert again.values.tobytes() == values.tobytes()
    assert again.names == (names if suffix != ".safetensors" else tuple(map(str, range(len(names)))))


def test_the_steps_are_the_times_of_the_labels_and_each_takes_the_nearest_row(tmp_path: Path) -> None:
    root = tmp_path
    table(root / "features/audio/c0.csv", rate=10.0, rows=20, columns=2)  # slower than the labels
    table(root / "features/visual/c0.csv", rate=100.0, rows=200, columns=3)  # faster
    gold = labels(root / "labels/c0.csv", rate=25.0, rows=49)
    annotated = read_clip(clip_files(root), WIDTHS)
    clip = annotated.embedding
    np.testing.assert_array_equal(clip.time_s, gold["time_s"])
    assert clip.audio_present.all()
    assert clip.face_found.all()
    np.testing.assert_array_equal(clip.visual[:, 0], 10.0 * np.round(clip.time_s * 100))
    off = np.abs(clip.audio[:, 0] / 10.0 / 10.0 - clip.time_s)  # row j lies at j / 10 s and holds 10 j
    assert off.max() <= 0.05 + 1e-6
    assert annotated.labels[:, 0].tolist() == [0.25] * 49


def test_where_a_modality_has_no_row_it_is_absent_and_zero(tmp_path: Path) -> None:
    root = corpus(tmp_path, 1)
    rewrite(root / "features/audio/c0.csv", lambda lines: lines[:11] + lines[21:])  # rows 10 to 19 are gone
    annotated = read_clip(clip_files(root), WIDTHS)
    clip = annotated.embedding
    assert facts_of(annotated) == {
        "has_audio": True,
        "audio_present": 0.8,
        "face_found": 1.0,
        "notes": [],
        "zeros": {"audio": 0, "visual": 0},
    }
    silent = replace(annotated, embedding=replace(clip, audio_present=np.zeros_like(clip.audio_present)))
    assert facts_of(silent) == {
        "has_audio": False,
        "audio_present": 0.0,
        "face_found": 1.0,
        "notes": [],
        "zeros": {"audio": 0, "visual": 0},
    }
    faceless = replace(annotated, embedding=replace(clip, face_found=np.zeros_like(clip.face_found)))
    assert facts_of(faceless) == {
        "has_audio": True,
        "audio_present": 0.8,
        "face_found": 0.0,
        "notes": [],
        "zeros": {"audio": 0, "visual": 0},
    }
    assert np.flatnonzero(~clip.audio_present).tolist() == list(range(10, 20))
    assert (clip.audio[~clip.audio_present] == 0).all()
    assert clip.face_found.all()
    wide = read_clip(clip_files(root), WIDTHS, tolerance_s=0.1).embedding
    assert np.flatnonzero(~wide.audio_present).tolist() == list(range(12, 18))  # 2.5 steps from either side
    assert (wide.audio[10:12, 0] == 90.0).all()


def test_features_between_two_steps_belong_to_the_nearer_one(tmp_path: Path) -> None:
    root = corpus(tmp_path, 1)
    table(root / "features/audio/c0.csv", start=0.015)
    table(root / "features/visual/c0.csv", start=-0.012, columns=3)
    clip = read_clip(clip_files(root), WIDTHS).embedding
    np.testing.assert_array_equal(clip.audio[:, 0], 10.0 * np.arange(50))
    np.testing.assert_array_equal(clip.visual[:, 0], 10.0 * np.arange(50))


def test_of_two_rows_that_are_equally_near_the_earlier_counts() -> None:
    index, near = nearest(np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.5]), 1.0)
    assert index.tolist() == [0, 1, 2]
    assert near.all()


def test_without_labels_the_steps_are_those_of_the_face_or_else_of_the_voice(tmp_path: Path) -> None:
    root = corpus(tmp_path, 1)
    (root / "labels/c0.csv").unlink()
    faces = table(root / "features/visual/c0.csv", rate=30.0, columns=3)
    annotated = read_clip(clip_files(root), WIDTHS)
    clip = annotated.embedding
    np.testing.assert_array_equal(clip.time_s, faces["time_s"])
    assert np.isnan(annotated.labels).all()
    (root / "features/visual/c0.csv").unlink()
    heard = read_clip(clip_files(root), WIDTHS).embedding
    assert len(heard) == 50
    assert heard.visual.shape == (50, 3)
    assert not heard.face_found.any()


def test_an_empty_cell_of_the_labels_is_a_step_not_annotated(tmp_path: Path) -> None:
    root = corpus(tmp_path, 1)
    cells = ["time_s,valence,arousal", "0,0.1,0.2", "0.04,,0.2", "0.08,nan,nan"]
    (root / "labels/c0.csv").write_text("\n".join(cells) + "\n")
    annotated = read_clip(clip_files(root), WIDTHS)
    clip = annotated.embedding
    assert np.isfinite(annotated.labels).all(axis=1).tolist() == [True, False, False]
    assert len(clip) == 3


def test_cues_come_along_by_name_and_the_nearest_row_counts(tmp_path: Path) -> None:
    root = corpus(tmp_path, 1)
    cues = pd.DataFrame({"time_s": [0.0, 1.0], "face_score": [0.5, 0.9], "sound_level": [-20.0, -30.0]})
    (root / "features/quality").mkdir()
    cues.to_csv(root / "features/quality/c0.csv", index=False)
    clip = read_clip(clip_files(root), WIDTHS).embedding
    assert clip.quality_names == ("face_score", "sound_level")
    np.testing.assert_array_equal(clip.quality[:, 1], np.where(clip.time_s <= 0.5, -20, -30).astype(np.float32))


def test_safetensors_hold_a_time_and_a_block_of_features(tmp_path: Path) -> None:
    root = corpus(tmp_path, 1)
    (root / "features/audio/c0.csv").unlink()
    block = np.arange(100, dtype=np.float32).reshape(50, 2)
    path = root / "features/audio/c0.safetensors"
    save_file({"time_s": np.arange(50) / 25, "features": block}, path)
    clip = read_clip({**clip_files(root), "audio": path}, WIDTHS).embedding
    np.testing.assert_array_equal(clip.audio, block)
    save_file({"time_s": np.arange(49) / 25, "features": block}, path)
    with pytest.raises(InputError, match="two tensors"):
        read_table(path)


def put(line: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[: line - 1], text, *lines[line:]]


BROKEN = {
    "a word among numbers": ("audio", put(7, "0.2,x,1"), 7, "'x' in column 'f0' is not a number"),
    "a cell too few": ("audio", put(7, "0.2,1"), 7, "2 cells, but the header names 3 columns"),
    "an empty cell": ("audio", put(7, "0.2,,1"), 7, "nan in column 'f0'"),
    "infinity": ("visual", put(9, "0.28,1,inf,2"), 9, "inf in column 'f1'"),
    "a time that goes back": ("audio", put(7, "0.1,1,1"), 7, "0.1 s comes after 0.16 s"),
    "a time twice": ("audio", put(7, "0.16,1,1"), 7, "0.16 s occurs twice"),
    "no time": ("audio", put(7, ",1,1"), 7, "no time in this row"),
    "a label above 1": ("labels", put(5, "0.12,0.1,3.7"), 5, "arousal 3.7 is outside [-1, 1]"),
    "an infinite label": ("labels", put(5, "0.12,-inf,0.1"), 5, "valence -inf is outside [-1, 1]"),
    "a row after an empty line": ("audio", lambda lines: [*lines[:4], "", *lines[4:6], "0.2,x,1"], 8, "'x'"),
    "no row": ("audio", lambda lines: lines[:1], None, "no row below the header"),
    "no time column": ("audio", put(1, "seconds,f0,f1"), 1, "no column `time_s`"),
    "a column twice": ("audio", put(1, "time_s,f0,f0"), 1, "'f0' occurs twice"),
    "times in milliseconds": (
        "labels", lambda lines: [lines[0], *(f"{float(x.split(',')[0]) * 1000 + 5000},0,0" for x in lines[1:])], None,
        "write all times in seconds",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_table_is_named_with_file_row_and_remedy(tmp_path: Path, fault: str) -> None:
    kind, change, row, words = BROKEN[fault]
    files = clip_files(corpus(tmp_path, 1))
    rewrite(files[kind], change)
    with pytest.raises(InputError) as caught:
        read_clip(files, WIDTHS)
    named = caught.value.file
    assert named == files[kind if fault != "times in milliseconds" else "audio"]
    assert caught.value.row == row
    assert words in str(caught.value)
    assert caught.value.remedy


def test_an_empty_and_a_torn_file_are_named(tmp_path: Path) -> None:
    for name, content in {"x.csv": b"", "x.parquet": b"PAR1 torn", "x.safetensors": b"torn"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_table(tmp_path / name)
        assert caught.value.file == tmp_path / name
        assert caught.value.remedy


def test_a_text_column_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"time_s": [0.0], "f0": [1.0], "name": ["x"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="'name' has type"):
        read_table(tmp_path / "x.parquet")


def test_every_clip_of_the_table_of_partitions_is_indexed(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    index = index_features(root)
    assert index.problems == []
    assert index.clips["clip"].tolist() == ["c0", "c1", "c2", "c3"]
    assert index.clips["audio"].tolist() == [f"features/audio/c{i}.csv" for i in range(4)]
    assert index.clips["quality"].tolist() == [""] * 4
    assert feature_widths(root, index.clips) == WIDTHS


def test_without_subjects_a_clip_counts_as_one_of_its_own(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    (root / "partition.csv").write_text("clip,partition\nc0,train\nc1,train\nc2,validation\nc3,test\n")
    assert index_features(root).clips["subject"].tolist() == ["c0", "c1", "c2", "c3"]


def test_a_subject_in_two_partitions_stops_the_run(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    rewrite(root / "partition.csv", lambda lines: [line.replace("s3", "s0") for line in lines])
    (found,) = index_features(root).problems
    assert "s0 is in train and validation" in str(found["problem"])
    assert (found["file"], found["row"], found["effect"]) == ("partition.csv", 5, STOPS)


@pytest.mark.parametrize("text", ["", "name,set\nc0,train\n", "clip partition\nc0 train\n"])
def test_a_table_of_partitions_that_is_none_says_how_to_write_one(tmp_path: Path, text: str) -> None:
    root = corpus(tmp_path)
    (root / "partition.csv").write_text(text)
    with pytest.raises(InputError, match="clip,partition"):
        index_features(root)
    (root / "partition.csv").unlink()
    with pytest.raises(InputError, match="no such file"):
        index_features(root)


def test_what_does_not_fit_is_reported_and_costs_only_its_own_clip(tmp_path: Path) -> None:
    root = corpus(tmp_path, 9)
    table(root / "features/audio/c1.csv", columns=5)
    rewrite(root / "features/visual/c2.csv", put(1, "time_s,f1,f0,f2"))
    (root / "features/audio/c3.csv").unlink()
    for modality in ("audio", "visual"):
        (root / f"features/{modality}/c4.csv").unlink()
    rewrite(root / "labels/c5.csv", put(1, "time_s,valence"))
    rewrite(root / "partition.csv", lambda lines: [line.replace("c6,train", "c6,held back") for line in lines])
    table(root / "features/audio/stranger.csv")
    rewrite(root / "partition.csv", lambda lines: [*lines, "c0,test,s0"])
    index = index_features(root)
    assert index.clips["clip"].tolist() == ["c0", "c3", "c7", "c8"]
    assert index.clips.set_index("clip").loc["c3", "audio"] == ""
    told = {(row["clip"], row["file"], row["row"]): row["problem"] for row in index.problems}
    assert "'f2' is one too many" in str(told["c1", "features/audio/c1.csv", 1])
    assert "another order" in str(told["c2", "features/visual/c2.csv", 1])
    assert "counts as absent" in str(told["c3", "features/audio", None])
    assert "the clip is empty" in str(told["c4", "features/audio", None])
    assert "'arousal' is missing" in str(told["c5", "labels/c5.csv", 1])
    assert "'held back' is not a partition" in str(told["c6", "partition.csv", 8])
    assert "listed twice" in str(told["c0", "partition.csv", 11])
    assert told["stranger", "features/audio/stranger.csv", None] == "the clip is in no partition"
    assert all(row["remedy"] for row in index.problems)
    assert len(index.problems) == len(told) == 9  # c4 lacks two files


def test_clips_without_labels_are_noted_with_their_partition_and_kept(tmp_path: Path) -> None:
    root = corpus(tmp_path, 6)
    listed = pd.read_csv(root / "partition.csv").set_index("clip")["partition"]
    for name in ("c1", "c4"):
        (root / f"labels/{name}.csv").unlink()
    index = index_features(root)
    noted = {row["clip"]: row["problem"] for row in index.problems}
    assert noted == {name: f"no labels: a {listed[name]} clip that is only predicted" for name in ("c1", "c4")}
    assert {row["file"] for row in index.problems} == {"labels"}
    assert {"c1", "c4"} < set(index.clips["clip"])


def test_cues_are_had_by_all_clips_or_by_none(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    for i in range(3):
        table(root / f"features/quality/c{i}.csv", columns=1)
    index = index_features(root)
    assert index.clips["clip"].tolist() == ["c0", "c1", "c2"]
    assert index.problems[0]["problem"] == "the clip has no cues, but others have"


def test_a_corpus_without_a_usable_clip_or_without_one_modality_is_an_error(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    for path in (root / "features/audio").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no clip has audio features"):
        feature_widths(root, index_features(root).clips)
    for path in (root / "features/visual").iterdir():
        path.unlink()
    stopping = [(row["problem"], row["remedy"]) for row in index_features(root).problems if row["effect"] == STOPS]
    put = "put the features of each clip of partition.csv into features/audio and features/visual"
    assert stopping == [("no clip can be used", f"fix the other problems, or {put}")]


def test_one_broken_clip_is_a_row_of_problems_and_the_others_are_read(tmp_path: Path) -> None:
    root = corpus(tmp_path / "corpus")
    rewrite(root / "features/audio/c1.csv", put(7, "0.2,x,1"))
    index = index_features(root)
    for name, function, suffix in (
        ("build_features_timeline", build_timeline, ".parquet"),
        ("align_features", align_file, ".safetensors"),
    ):
        tasks = {
            clip: Task(
                name,
                function,
                tuple(clip_files(root, clip).values()),
                {"kinds": tuple(clip_files(root, clip)), "widths": WIDTHS, "tolerance_s": None},
                version=VERSION,
            )
            for clip in index.clips["clip"]
        }
        report = run_tasks(tasks, tmp_path / suffix[1:], suffix, ExecutorConfig(kind="serial"))
        assert set(report.failed) == {"c1"}
    clips, problems = clip_table(index.clips, results(tmp_path / "parquet", ".parquet"), root)
    assert clips["clip"].tolist() == ["c0", "c2", "c3"]
    assert clips["frames"].tolist() == clips["annotated"].tolist() == [50, 50, 50]
    (row,) = problems
    assert {key: row[key] for key in ("clip", "file", "row")} == {
        "clip": "c1", "file": "features/audio/c1.csv", "row": 7,
    }  # fmt: skip
    assert row["problem"] == "'x' in column 'f0' is not a number"
    assert "remove the column or the row" in str(row["remedy"])
    timeline = pd.read_parquet(tmp_path / "parquet/c0.parquet")
    assert list(timeline.columns) == ["frame", "time_s", "valence", "arousal", "face_found", "audio_present"]
    assert timeline["frame"].tolist() == list(range(50))
    assert timeline["valence"].tolist() == [0.25] * 50


def test_a_corrected_label_leaves_the_embeddings_as_they_are(tmp_path: Path) -> None:
    files = clip_files(corpus(tmp_path, 1))
    parameters = {"kinds": tuple(files), "widths": WIDTHS, "tolerance_s": None}
    for i in range(2):
        align_file(*files.values(), target=tmp_path / f"{i}.safetensors", **parameters)
        build_timeline(*files.values(), target=tmp_path / f"{i}.parquet", **parameters)
        rewrite(files["labels"], put(3, "0.04,-1,1"))
    assert (tmp_path / "0.safetensors").read_bytes() == (tmp_path / "1.safetensors").read_bytes()
    before, after = (pd.read_parquet(tmp_path / f"{i}.parquet") for i in range(2))
    assert np.flatnonzero((before != after).any(axis=1)).tolist() == [1]
    assert after.loc[1, ["valence", "arousal"]].tolist() == [-1, 1]


@given(
    st.text("abc x:.", min_size=1).filter(lambda t: ": " not in t and t.strip()), st.none() | st.integers(1, 9999),
    st.none() | st.text("abc, ", min_size=1),
)  # fmt: skip
def test_the_text_of_an_error_is_taken_apart_into_what_it_was_made_of(
    problem: str, row: int | None, remedy: str | None
) -> None:
    error = InputError(problem, Path("/corpus/features/audio/c1.csv"), row, remedy)
    found = failure("c1", str(error), Path("/corpus"))
    assert (found["file"], found["row"]) == ("features/audio/c1.csv", row)
    assert (found["problem"], found["remedy"]) == (problem, remedy or "")


def test_a_failure_that_is_no_input_error_is_told_as_it_is() -> None:
    assert failure("c1", "MemoryError: 8 GB", Path("/corpus"))["problem"] == "MemoryError: 8 GB"


def exported(root: Path, change: Callable[[pd.DataFrame, Path], object]) -> Path:
    """A corpus whose audio features are written again by `change(table, path)`."""
    for path in sorted((corpus(root) / "features/audio").iterdir()):
        change(pd.read_csv(path), path.with_suffix(".csv"))
    return root


COUNTED: dict[str, tuple[Callable[[pd.DataFrame, Path], object], list[str]]] = {
    "the index of pandas": (lambda t, p: t.to_csv(p), [""]),
    "an index read and written again": (lambda t, p: t.rename_axis("Unnamed: 0").to_csv(p), ["Unnamed: 0"]),
    "frames": (lambda t, p: t.assign(frame=range(len(t))).to_csv(p, index=False), ["frame"]),
    "every fifth frame": (lambda t, p: t.assign(frame_number=range(0, 5 * len(t), 5)).to_csv(p, index=False),
                          ["frame_number"]),
    "OpenFace": (lambda t, p: t.assign(frame=range(1, len(t) + 1), timestamp=t["time_s"]).to_csv(p, index=False),
                 ["frame", "timestamp"]),
    "two indexes": (lambda t, p: t.reset_index().to_csv(p), ["", "index"]),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_columns_that_number_the_rows_are_left_out_and_noted(tmp_path: Path, name: str) -> None:
    change, columns = COUNTED[name]
    plain = read_clip(clip_files(corpus(tmp_path / "plain", 1)), WIDTHS).embedding
    root = exported(tmp_path / "exported", change)
    index = index_features(root)
    assert feature_widths(root, index.clips) == WIDTHS
    assert [(row["clip"], row["effect"]) for row in index.problems] == [(f"c{i}", NOTED) for i in range(4)]
    assert all(repr(column) in str(index.problems[0]["problem"]) for column in columns)
    clip = read_clip(clip_files(root), WIDTHS).embedding
    np.testing.assert_array_equal(clip.audio, plain.audio)


@pytest.mark.parametrize("start", [0, 1, 1000])
def test_any_other_column_that_counts_the_rows_is_refused(tmp_path: Path, start: int) -> None:
    root = exported(tmp_path, lambda t, p: t.assign(position=range(start, start + len(t))).to_csv(p, index=False))
    with pytest.raises(InputError, match="'position' counts the rows or repeats the time") as caught:
        read_clip(clip_files(root), WIDTHS | {"audio": 3})
    assert caught.value.file == root / "features/audio/c0.csv"
    assert "remove the column" in str(caught.value.remedy)


def test_a_copy_of_the_time_is_no_feature(tmp_path: Path) -> None:
    root = exported(tmp_path, lambda t, p: t.assign(when=t["time_s"]).to_csv(p, index=False))
    with pytest.raises(InputError, match="'when' counts the rows or repeats the time"):
        read_clip(clip_files(root), WIDTHS | {"audio": 3})


def test_row_numbers_alone_are_no_features(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("time_s,frame\n0,0\n1,1\n")
    with pytest.raises(InputError, match="no column other than `time_s` and row numbers"):
        read_table(tmp_path / "x.csv")


def test_the_index_in_a_parquet_file_is_left_out(tmp_path: Path) -> None:
    frame = table(tmp_path / "x.csv").iloc[::2]
    frame.to_parquet(tmp_path / "x.parquet")  # an index with gaps becomes a column
    assert read_table(tmp_path / "x.parquet").names == ("f0", "f1")


def in_unit(root: Path, kind: str, unit: float, rows: int = 60, start: float = 0.0) -> dict[str, Path]:
    """A clip of 25 Hz of which the times of one kind of table are divided by `unit`."""
    table(root / "features/audio/c0.csv", rows=rows)
    table(root / "features/visual/c0.csv", columns=3, rows=rows)
    table(root / "features/quality/c0.csv", columns=1, rows=rows)
    labels(root / "labels/c0.csv", rows=rows)
    path = clip_files(root)[kind]
    frame = pd.read_csv(path)
    frame.assign(time_s=start + frame["time_s"] / unit).to_csv(path, index=False)
    return clip_files(root)


@pytest.mark.parametrize("kind", ["audio", "visual", "quality", "labels"])
@pytest.mark.parametrize(
    ("unit", "named"),
    [(1e-3, "milliseconds"), (1e-6, "microseconds"), (0.01, "hundredths of a second"), (60, "minutes"),
     (0.04, "frame or row numbers"), (0.1, "")],
)  # fmt: skip
def test_times_in_another_unit_are_refused_with_both_spans_and_the_likely_unit(
    tmp_path: Path, kind: str, unit: float, named: str
) -> None:
    files = in_unit(tmp_path, kind, unit, rows=600)
    with pytest.raises(InputError, match=r"rows run from 0 to .* s, the clip from 0 to .* s") as caught:
        read_clip(files, WIDTHS)
    assert named in str(caught.value)
    assert caught.value.file == files["audio" if kind == "labels" else kind]
    assert str(caught.value.remedy).startswith("write all times in seconds")


def test_times_since_1970_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows run from 1700000000 .* probably in seconds or milliseconds since 1970"):
        read_clip(in_unit(tmp_path, "audio", 1, start=1_700_000_000.0), WIDTHS)


def test_a_clip_all_of_whose_times_are_in_milliseconds_is_refused(tmp_path: Path) -> None:
    for kind in ("audio", "visual", "quality", "labels"):
        files = clip_files(tmp_path) if (tmp_path / "labels").exists() else in_unit(tmp_path, kind, 1)
        frame = pd.read_csv(files[kind])
        frame.assign(time_s=frame["time_s"] * 1000).to_csv(files[kind], index=False)
    with pytest.raises(InputError, match="steps are 40 s apart: the times are probably in milliseconds"):
        read_clip(files, WIDTHS)


@pytest.mark.parametrize(("rate", "rows"), [(100, 6000), (1, 60), (0.5, 30), (25, 50)])
def test_streams_of_any_rate_and_of_a_part_of_the_clip_are_read(tmp_path: Path, rate: float, rows: int) -> None:
    files = in_unit(tmp_path, "audio", 1, rows=1500)
    table(files["audio"], rate=rate, rows=rows)
    assert read_clip(files, WIDTHS).embedding.audio_present.any()


@pytest.mark.parametrize(("rate", "rows"), [(25, 3), (1, 60), (0.2, 12), (100, 500), (1000, 60_000)])
def test_labels_of_any_rate_and_of_a_part_of_the_clip_are_read(tmp_path: Path, rate: float, rows: int) -> None:
    files = in_unit(tmp_path, "audio", 1, rows=1500)
    labels(files["labels"], rate=rate, rows=rows)
    assert read_clip(files, WIDTHS).embedding.audio_present.any()


@pytest.mark.parametrize(("ending", "read"), [(".CSV", True), (".xlsx", False), (".csv.gz", False), (".txt", False)])
def test_a_table_of_another_ending_is_read_or_named_but_never_missing_without_a_word(
    tmp_path: Path, ending: str, read: bool
) -> None:
    root = tmp_path / "corpus"
    write_corpus(SyntheticConfig(clips=4, seconds=2.0), root)
    for file in ("labels/clip00000.csv", "features/audio/clip00001.csv"):
        (root / file).rename(root / file.replace(".csv", ending))
    (root / "labels/README.txt").touch()
    (root / "labels/clip00002.txt").touch()  # next to its table
    index = index_features(root)
    assert index.clips["clip"].tolist() == [f"clip{i:05d}" for i in range(0 if read else 2, 4)]
    assert index.clips[COUNT].gt(0).all()
    if read:
        assert index.problems == []
        return
    refused = {row["file"]: row["effect"] for row in index.problems if "is not read" in str(row["problem"])}
    assert refused == {f"labels/clip00000{ending}": LEFT_OUT, f"features/audio/clip00001{ending}": LEFT_OUT}


def test_labels_without_a_column_are_told_which(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    write_corpus(SyntheticConfig(clips=4, seconds=2.0), root)
    labels = root / "labels/clip00000.csv"
    labels.write_text(labels.read_text().replace("valence", "V", 1))
    (found,) = (row for row in index_features(root).problems if row["clip"] == "clip00000")
    assert (found["problem"], found["row"]) == ("the column 'valence' is missing", 1)


def test_rows_of_zeros_count_as_present_and_are_told_with_their_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = corpus(tmp_path / "root")

    def faceless(lines: list[str]) -> list[str]:
        return [f"{line.split(',')[0]},0,0,-0.0" if 11 <= i < 18 else line for i, line in enumerate(lines)]

    for clip in ("c1", "c2"):
        rewrite(root / f"features/visual/{clip}.csv", faceless)
    rewrite(root / "features/audio/c1.csv", lambda lines: lines[:21] + lines[31:])  # absent, not zero
    rewrite(root / "features/audio/c3.csv", lambda lines: lines[:1] + [re.sub(",.*,", ",0,", x) for x in lines[1:]])
    ingestion = IngestionConfig.model_validate({"importer": "features"})
    index, problems = index_corpus(root, ingestion, MediaLimits())
    tasks = plan_timelines(root, index, problems, ingestion, MediaLimits())
    run_tasks(tasks, tmp_path / "out", ".parquet", ExecutorConfig(kind="serial"))
    clips, found, _ = describe_corpus(root, index, problems, results(tmp_path / "out", ".parquet"), ingestion)
    assert clips["face_found"].tolist() == [1.0] * 4
    doubtful = found[(found["effect"] == DOUBTFUL) & (found["clip"] != "")]
    assert doubtful[["clip", "file"]].to_numpy().tolist() == [[c, f"features/visual/{c}.csv"] for c in ("c1", "c2")]
    what = "all visual features are zero at 7 of 50 steps, where they count as present"
    remedy = "if nothing was observed there (no face), remove these rows: a missing row counts as absent"
    assert set(doubtful["problem"]) == {what}
    assert set(doubtful["remedy"]) == {remedy}
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    where = "c1 (features/visual/c1.csv), c2 (features/visual/c2.csv)"
    assert [line for line in warned if "zero" in line] == [f"{where}: {what}; doubtful. Remedy: {remedy}"]
    _, again = read_through(root, index, None)
    assert [row["problem"] for row in again] == [what, what]


def test_a_single_feature_may_be_zero(tmp_path: Path) -> None:
    root = corpus(tmp_path, 1)
    for columns in (1, 2):
        rows = table(root / "features/visual/c0.csv", columns=columns)
        rows.loc[:, rows.columns[1:]] = 0.0
        rows.to_csv(root / "features/visual/c0.csv", index=False)
        zeros = facts_of(read_clip(clip_files(root), {"audio": 2, "visual": columns}))["zeros"]
        assert zeros == {"audio": 0, "visual": 50 * (columns - 1)}


def test_a_clip_that_is_nearly_named_as_its_features_is_told_how_to_be_written(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    rewrite(
        root / "partition.csv", lambda lines: [line.replace("c1,", "C1.csv,").replace("c2,", "c9,") for line in lines]
    )
    remedies = {row["clip"]: row["remedy"] for row in index_features(root).problems if row["clip"] in ("C1.csv", "c9")}
    assert remedies == {"C1.csv": "write c1 in partition.csv", "c9": "put a table of the clip's name there"}
