"""Expressions and action units of the challenge: their files, their missing values, and the partition of a clip."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.framework.project import pipelines  # noqa: F401  # registers the project before nodes are imported

from iaca.corpora.affwild2 import annotation_files, index_affwild2, inspect_annotation
from iaca.corpora.check import check_corpus
from iaca.corpora.convert import main
from iaca.corpora.features import build_timeline as build_features_timeline
from iaca.corpora.features import index_features
from iaca.corpora.index import NOTED, STOPS
from iaca.corpora.timeline import build_timeline
from iaca.encoders.embedding import AnnotatedClip
from iaca.errors import InputError
from iaca.formats.labels import (
    EXPRESSIONS,
    TASK_COLUMNS,
    UNITS,
    parse_expressions,
    parse_units,
    read_multitask,
)
from iaca.media import MediaLimits, write_movie
from iaca.pipelines.ingestion.nodes import IngestionConfig, plan_timelines

EXPR_HEAD = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
AU_HEAD = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
MTL_HEAD = "image,valence,arousal,expression,aus"
UNIT_ROW = "0,1,0,0,1,-1,0,0,1,0,1,1"
VA, EXPR, AU = "VA_Estimation_Challenge", "EXPR_Recognition_Challenge", "AU_Detection_Challenge"
NAN = float("nan")


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def movie(path: Path, frames: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = ((i / 25.0, np.full((48, 64, 3), i, np.uint8)) for i in range(frames))
    write_movie(path, pictures, 25.0, None, 16_000)
    return path


def test_the_names_are_those_of_the_challenge_in_its_order() -> None:
    assert ",".join(EXPRESSIONS) == EXPR_HEAD.lower()
    assert ",".join(UNITS) == AU_HEAD.lower()
    assert ("expression", *UNITS) == TASK_COLUMNS


def test_minus_one_is_not_annotated_for_each_row_of_expressions_and_each_cell_of_units(tmp_path: Path) -> None:
    values, faults = parse_expressions(write(tmp_path / "e.txt", EXPR_HEAD, "0", "-1", "7", " 4 "))
    assert faults == []
    np.testing.assert_array_equal(values, [[0], [NAN], [7], [4]])
    units, faults = parse_units(write(tmp_path / "a.txt", AU_HEAD, UNIT_ROW, ",".join(["-1"] * 12)))
    assert faults == []
    np.testing.assert_array_equal(units[0], [0, 1, 0, 0, 1, NAN, 0, 0, 1, 0, 1, 1])
    assert np.isnan(units[1]).all()


@pytest.mark.parametrize(
    ("parse", "lines", "row", "message"),
    [
        (parse_expressions, [EXPR_HEAD, "0", "8"], 3, "one value out of -1 and 0 to 7"),
        (parse_expressions, [EXPR_HEAD, "-5"], 2, "one value out of -1"),
        (parse_expressions, [EXPR_HEAD, "1.5"], 2, "one value out of -1"),
        (parse_expressions, [EXPR_HEAD, "1,2"], 2, "one value out of -1"),
        (parse_expressions, [EXPR_HEAD, ""], None, ""),  # blank lines at the end are no rows
        (parse_expressions, ["Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise", "1"], 1, "does not name neutral"),
        (parse_units, [AU_HEAD, UNIT_ROW.replace("-1", "2")], 2, "12 values out of -1 and 0 to 1"),
        (parse_units, [AU_HEAD, UNIT_ROW + ",0"], 2, "12 values"),
        (parse_units, [AU_HEAD, "0,1"], 2, "12 values"),
        (parse_units, [AU_HEAD.replace("AU4,", ""), UNIT_ROW], 1, "does not name au1"),
        (parse_units, [""], 1, "empty"),
    ],
)
def test_anything_else_is_a_fault_with_its_line(tmp_path: Path, parse, lines: list[str], row, message: str) -> None:
    _, faults = parse(write(tmp_path / "x.txt", *lines))
    assert [fault.row for fault in faults] == ([] if row is None else [row])
    assert all(message in fault.problem for fault in faults)


def test_the_multitask_file_is_divided_by_clip_and_each_part_has_its_own_missing_value(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train_set.txt", MTL_HEAD,
        f"b/00003.jpg,0.5,-0.25,4,{UNIT_ROW}",
        f"a/00001.jpg,-5,0.1,-1,{','.join(['-1'] * 12)}",
        f"b/00001.jpg,-1,1,0,{UNIT_ROW}",
    )  # fmt: skip
    rows = read_multitask(path)
    assert rows["b"].frames.tolist() == [2, 0]
    np.testing.assert_array_equal(rows["b"].valence_arousal, [[0.5, -0.25], [-1, 1]])
    np.testing.assert_array_equal(rows["b"].tasks[:, 0], [4, 0])
    np.testing.assert_array_equal(rows["b"].tasks[0, 1:], [0, 1, 0, 0, 1, NAN, 0, 0, 1, 0, 1, 1])
    assert np.isnan(rows["a"].valence_arousal).all()
    assert np.isnan(rows["a"].tasks).all()
    assert list(read_multitask(path, "a")) == ["a"]
    named = write(
        tmp_path / "named.txt", f"image,valence,arousal,expression,{AU_HEAD}", f"a/00001.jpg,0,0,1,{UNIT_ROW}"
    )
    assert read_multitask(named)["a"].tasks[0, 0] == 1


def test_a_faulty_row_of_the_multitask_file_costs_its_clip_alone(tmp_path: Path) -> None:
    rows = read_multitask(
        write(
            tmp_path / "train.txt", MTL_HEAD, f"a/00001.jpg,0,0,1,{UNIT_ROW}", f"b/00001.jpg,0,7,1,{UNIT_ROW}",
            f"b/00002.jpg,0,0,9,{UNIT_ROW}", f"b/00004.jpg,0,0,1,{UNIT_ROW}", f"b/00004.jpg,0,0,1,{UNIT_ROW}",
            "b/00005.jpg,0,0,1,0,1",
        )
    )  # fmt: skip
    assert rows["a"].faults == ()
    assert [fault.row for fault in rows["b"].faults] == [3, 4, 6, 7]
    for lines in (["image,valence"], [MTL_HEAD, f"../00001,0,0,1,{UNIT_ROW}"]):
        with pytest.raises(InputError, match=r"line [12]"):
            read_multitask(write(tmp_path / "bad.txt", *lines))


def tree(root: Path, frames: int = 6) -> Path:
    """Clips with all three annotations, with one of them, and one that the challenges divide differently."""
    for video in ("all", "units", "split", "val"):
        movie(root / f"{video}.mp4", frames)
    affect = ["valence,arousal", *(f"0.{i},-0.{i}" for i in range(frames))]
    classes = [EXPR_HEAD, *(str(i % 8) for i in range(frames + 1))]  # one more, as in the corpus
    units = [AU_HEAD, *(UNIT_ROW for _ in range(frames - 2))]
    for clip, folder in {"all": "Train_Set", "split": "Train_Set", "val": "Validation_Set"}.items():
        write(root / VA / folder / f"{clip}.txt", *affect)
    write(root / EXPR / "Train_Set/all.txt", *classes)
    write(root / EXPR / "Validation_Set/split.txt", *classes)
    for clip in ("all", "units", "split"):
        write(root / AU / "Train_Set" / f"{clip}.txt", *units)
    return root


def test_a_clip_has_the_annotations_of_its_partition_and_may_have_units_alone(tmp_path: Path) -> None:
    root = tree(tmp_path)
    index = index_affwild2(root)
    clips = index.clips.set_index("clip")
    assert clips["partition"].to_dict() == {"all": "train", "split": "train", "units": "train", "val": "validation"}
    assert clips.loc["units", "annotation"] == f"{AU}/Train_Set/units.txt"
    assert index.further == {
        "all": (f"{EXPR}/Train_Set/all.txt", f"{AU}/Train_Set/all.txt"), "split": (f"{AU}/Train_Set/split.txt",),
    }  # fmt: skip
    (found,) = index.problems
    assert (found["clip"], found["file"], found["effect"]) == ("split", f"{EXPR}/Validation_Set/split.txt", NOTED)
    assert "train partition" in str(found["problem"])
    assert list(annotation_files(root)["train", "split"]) == ["valence_arousal", "action_units"]


def test_people_of_one_video_stay_in_one_partition_though_the_challenges_differ(tmp_path: Path) -> None:
    write(tmp_path / VA / "Train_Set/v.txt", "valence,arousal", "0,0")
    write(tmp_path / AU / "Validation_Set/v_left.txt", AU_HEAD, UNIT_ROW)
    (tmp_path / "v.mp4").write_bytes(b"")
    index = index_affwild2(tmp_path)
    assert index.clips["clip"].tolist() == ["v"]
    assert [(p["clip"], p["effect"]) for p in index.problems] == [("v_left", NOTED)]
    write(tmp_path / VA / "Validation_Set/v_left.txt", "valence,arousal", "0,0")  # an error, as before
    assert STOPS in {p["effect"] for p in index_affwild2(tmp_path).problems}


def test_timelines_hold_every_task_and_those_of_other_clips_are_as_they_were(tmp_path: Path) -> None:
    root = tree(tmp_path)
    ingestion = IngestionConfig.model_validate({"importer": "affwild2"})
    index = check_corpus(root, index_affwild2(root), inspect_annotation)
    tasks = plan_timelines(root, index.clips, pd.DataFrame(columns=["effect"]), ingestion, MediaLimits())
    assert tasks["val"].parameters == {}
    for clip in ("all", "units", "val"):
        tasks[clip].run(tmp_path / f"{clip}.parquet")
    table = pd.read_parquet(tmp_path / "all.parquet")
    np.testing.assert_array_equal(table["expression"], [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(table["au2"], [1, 1, 1, 1, NAN, NAN])  # two rows fewer than frames
    assert table["au10"].isna().all()
    np.testing.assert_allclose(table["valence"], np.arange(6) / 10, atol=1e-6)
    alone = pd.read_parquet(tmp_path / "units.parquet")
    assert alone[["valence", "arousal", "expression"]].isna().all().all()
    assert alone["au26"].notna().sum() == 4
    assert set(TASK_COLUMNS).isdisjoint(pd.read_parquet(tmp_path / "val.parquet").columns)


def test_a_file_of_another_length_or_with_a_fault_leaves_the_clip_out(tmp_path: Path) -> None:
    root = tree(tmp_path)
    write(root / EXPR / "Train_Set/all.txt", EXPR_HEAD, *["1"] * 9)
    index = check_corpus(root, index_affwild2(root), inspect_annotation)
    assert ("all", f"{EXPR}/Train_Set/all.txt") in {(p["clip"], p["file"]) for p in index.problems}
    with pytest.raises(InputError, match="9 annotated rows for 6 decoded frames"):
        build_timeline(
            root / "all.mp4", root / VA / "Train_Set/all.txt", root / EXPR / "Train_Set/all.txt",
            target=tmp_path / "x.parquet", kinds=("valence_arousal", "expression"),
        )  # fmt: skip
    write(root / AU / "Train_Set/split.txt", AU_HEAD, "oops")
    index = check_corpus(root, index_affwild2(root), inspect_annotation)
    assert "split" not in set(index.clips["clip"])
    assert "units" in set(index.clips["clip"])


def test_the_multitask_file_counts_for_clips_without_other_annotation(tmp_path: Path) -> None:
    root = tree(tmp_path)
    movie(root / "mtl.mp4", 6)
    rows = [f"mtl/{n:05d}.jpg,0.{n},-5,{n},{UNIT_ROW}" for n in (5, 2)] + [f"all/00001.jpg,0.9,0.9,3,{UNIT_ROW}"]
    rows += [f"mtl/00001.jpg,0.5,0.5,-1,{UNIT_ROW}"]
    write(root / "MTL_Challenge/training_set_annotations.txt", MTL_HEAD, *rows)
    index = check_corpus(root, index_affwild2(root), inspect_annotation)
    clips = index.clips.set_index("clip")
    assert clips.loc["mtl", ["partition", "annotated"]].tolist() == ["train", 1]
    ingestion = IngestionConfig.model_validate({"importer": "affwild2"})
    tasks = plan_timelines(root, index.clips, pd.DataFrame(columns=["effect"]), ingestion, MediaLimits())
    for clip in ("mtl", "all"):
        tasks[clip].run(tmp_path / f"{clip}.parquet")
    table = pd.read_parquet(tmp_path / "mtl.parquet")
    np.testing.assert_array_equal(table["expression"], [NAN, 2, NAN, NAN, 5, NAN])
    np.testing.assert_array_equal(table["arousal"], [0.5, *[NAN] * 5])
    assert pd.read_parquet(tmp_path / "all.parquet")["valence"].iloc[0] == 0  # of its own file


def test_labels_of_features_may_have_the_tasks_as_columns(tmp_path: Path) -> None:
    for kind in ("audio", "visual"):
        write(tmp_path / f"{kind}.csv", "time_s,x", *(f"{i / 10},{(i * 7) % 5}" for i in range(6)))
    labels = write(
        tmp_path / "labels.csv", "time_s,valence,arousal,au2,expression",
        *(f"{i / 10},{'' if i == 1 else 0.1},0.2,{'' if i == 2 else i % 2},{-1 if i == 3 else i}" for i in range(6)),
    )  # fmt: skip
    files, kinds = (tmp_path / "audio.csv", tmp_path / "visual.csv", labels), ("audio", "visual", "labels")
    given = {"kinds": kinds, "widths": {"audio": 1, "visual": 1}, "tolerance_s": None}
    build_features_timeline(*files, target=tmp_path / "t.parquet", **given)
    table = pd.read_parquet(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table["expression"], [0, 1, 2, NAN, 4, 5])
    np.testing.assert_array_equal(table["au2"], [0, 1, NAN, 1, 0, 1])
    assert table["au1"].isna().all()
    labels.write_text(labels.read_text().replace(",5\n", ",8\n"))
    with pytest.raises(InputError, match="line 7: expression 8 is not an integer from 0 to 7"):
        build_features_timeline(*files, target=tmp_path / "t.parquet", **given)


def test_tasks_of_another_length_are_refused() -> None:
    from iaca.encoders.embedding import ClipEmbedding

    there = np.ones(3, bool)
    rows = np.zeros((3, 1), np.float32)
    clip = ClipEmbedding(rows, rows, there, there, np.arange(3.0), np.zeros((3, 0), np.float32))
    with pytest.raises(ValueError, match="tasks"):
        AnnotatedClip(clip, np.zeros((3, 2), np.float32), np.zeros((3, 12), np.float32))


# --- a team's features and the challenge's annotations, without videos ---


def team(root: Path) -> Path:
    """Features of four clips in 25 and 10 Hz, annotations of three of them, frame rates of two."""
    for clip, fps in {"1-25-64x48": 25, "video2": 10, "video2_left": 10, "test9": 25}.items():
        steps = 10 if fps == 25 else 6
        for kind in ("audio", "visual"):
            rows = [f"{i / fps:.4f},{(3 * i) % 7},{len(clip) + i % 2}" for i in range(steps)]
            write(root / f"features/{kind}/{clip}.csv", "time_s,a,b", *rows)
    affect = [f"0.{i},-5" if i == 3 else f"0.{i},0.5" for i in range(10)]
    write(root / VA / "Train_Set/1-25-64x48.txt", "valence,arousal", *affect)
    write(root / EXPR / "Train_Set/1-25-64x48.txt", EXPR_HEAD, *(str(i % 8) for i in range(11)))
    write(root / AU / "Validation_Set/video2.txt", AU_HEAD, *[UNIT_ROW] * 6)
    write(root / "MTL_Challenge/validation_set.txt", MTL_HEAD, f"video2_left/00002.jpg,0.5,0.25,6,{UNIT_ROW}")
    write(root / "fps.csv", "clip,fps", "1-25-64x48,25", "video2,10")
    return root


def converted(source: Path, root: Path, *words: str) -> None:
    main(["abaw", str(source), str(root), "--audio", "features/audio", "--visual", "features/visual", *words])


def test_annotations_by_frame_become_labels_on_the_clock_of_each_video(tmp_path: Path) -> None:
    source, root = team(tmp_path / "source"), tmp_path / "root"
    converted(source, root)
    rows = pd.read_csv(root / "partition.csv").set_index("clip")
    assert rows["partition"].to_dict() == {
        "1-25-64x48": "train", "test9": "test", "video2": "validation", "video2_left": "validation",
    }  # fmt: skip
    assert rows.loc["video2_left", "subject"] == "video2"
    labels = pd.read_csv(root / "labels/1-25-64x48.csv", na_values="nan")
    assert list(labels.columns) == ["time_s", "valence", "arousal", *TASK_COLUMNS]
    np.testing.assert_allclose(labels["time_s"], np.arange(11) / 25, atol=1e-9)
    np.testing.assert_array_equal(labels["expression"], [*range(8), 0, 1, 2])
    assert labels["valence"].isna().tolist() == [i in (3, 10) for i in range(11)]
    assert labels["au1"].isna().all()
    other = pd.read_csv(root / "labels/video2_left.csv", na_values="nan")
    np.testing.assert_allclose(other["time_s"], [0, 0.1])
    assert other["expression"].tolist()[1] == 6
    assert not (root / "labels/test9.csv").exists()
    assert "Row i of an annotation" in (root / "corpus.json").read_text()
    clips = index_features(root).clips.set_index("clip")
    assert clips["annotated"].to_dict() == {"1-25-64x48": 9, "test9": 0, "video2": 0, "video2_left": 1}


def test_a_clip_without_frame_rate_features_or_with_lengths_that_differ_is_left_out(tmp_path: Path) -> None:
    source, root = team(tmp_path / "source"), tmp_path / "root"
    write(source / "fps.csv", "clip,fps", "1-25-64x48,25")
    write(source / EXPR / "Train_Set/1-25-64x48.txt", EXPR_HEAD, *["1"] * 14)
    write(source / AU / "Train_Set/nowhere.txt", AU_HEAD, UNIT_ROW)
    with pytest.raises(SystemExit):
        converted(source, root)  # nothing annotated is left
    assert not root.exists()
    converted(source, root, "--rate", "10")
    problems = pd.read_csv(root / "conversion_problems.csv").set_index("clip")["problem"]
    assert problems["1-25-64x48"] == "14 rows, but another annotation of the clip has 10"
    assert problems["nowhere"] == "no features of this clip"
    assert set(pd.read_csv(root / "partition.csv")["clip"]) == {"test9", "video2", "video2_left"}


def test_frame_rates_may_come_from_a_spreadsheet_with_decimal_commas(tmp_path: Path) -> None:
    source = team(tmp_path / "source")
    write(source / "fps.csv", "clip;fps", "1-25-64x48;12,5", "1-25-64x48;12,50", "video2;10")
    converted(source, tmp_path / "root")
    labels = pd.read_csv(tmp_path / "root/labels/1-25-64x48.csv", na_values="nan")
    np.testing.assert_allclose(labels["time_s"], np.arange(11) / 12.5, atol=1e-9)


@pytest.mark.parametrize(
    ("words", "fps", "message"),
    [
        (["--delay", "2"], "25", "are not of this corpus"),
        ([], "fast", "is not a number of frames per second"),
        ([], "0", "is not a number of frames per second"),
        ([], "25\n1-25-64x48,30", "line 3: 1-25-64x48 also has 25 frames per second Remedy: keep one of its rows"),
    ],
)
def test_parameters_of_other_corpora_and_rates_that_are_none_are_refused(
    tmp_path: Path, words: list[str], fps: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = team(tmp_path / "source")
    write(source / "fps.csv", "clip,fps", f"1-25-64x48,{fps}")
    with pytest.raises(SystemExit):
        converted(source, tmp_path / "root", *words)
    assert message in capsys.readouterr().err
