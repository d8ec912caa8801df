"""Names are the same in any Unicode form: files of a Mac (NFD) beside tables of Windows (NFC), and the reverse."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from affwild2_tree import annotate, movie
from iaca.corpora.affwild2 import find_crops, index_affwild2
from iaca.corpora.convert import convert
from iaca.corpora.features import index_features
from iaca.corpora.folder import FolderConfig, index_folder
from iaca.corpora.index import DOUBTFUL, STOPS, names_alike, read_subjects
from iaca.corpora.recordings import ConvertConfig
from iaca.engine import ExecutorConfig, results, run_tasks
from iaca.evaluation.score import pair_files
from iaca.evaluation.submission import write_submission
from iaca.formats.labels import read_event_table
from iaca.formats.predictions import parse_predictions
from iaca.media import MediaLimits
from iaca.pipelines.ingestion.nodes import IngestionConfig, describe_corpus, index_corpus, plan_timelines

NAMES = ("Jos\u00e9", "Zo\u00eb", "M\u00fcller", "\ud55c\uae00", "\u1e9b\u0323")  # composed; the last one in two steps
FORMS = [("NFD", "NFC"), ("NFC", "NFD")]


def form(kind: str, name: str) -> str:
    return unicodedata.normalize(kind, name)


def composed(names: tuple[str, ...] = NAMES) -> list[str]:
    return sorted(form("NFC", name) for name in names)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def partitions(root: Path, kind: str, subject: str | None = None) -> None:
    rows = [f"{form(kind, name)},train,{subject or i}" for i, name in enumerate(NAMES)]
    put(root / "partition.csv", "\n".join(["clip,partition,subject", *rows]) + "\n")


@pytest.mark.parametrize(("files", "tables"), FORMS)
def test_videos_labels_and_tables_of_a_folder(tmp_path: Path, files: str, tables: str) -> None:
    partitions(tmp_path, tables)
    for name in NAMES:
        put(tmp_path / f"{form(files, name)}.mp4", "")
        put(tmp_path / f"{form(tables, name)}.csv", "time_s,valence,arousal\n0,0,0\n")
    index = index_folder(tmp_path, FolderConfig())
    assert index.problems == []
    assert index.clips["clip"].tolist() == composed()
    assert set(index.clips["partition"]) == {"train"}
    for media, annotation in index.clips[["media", "annotation"]].itertuples(index=False):
        assert (tmp_path / media).exists()  # files keep their own bytes
        assert (tmp_path / annotation).exists()
    put(tmp_path / "subjects.csv", f"clip,subject\n{form(tables, NAMES[0])},{form(tables, NAMES[1])}\n")
    assert read_subjects(tmp_path) == {NAMES[0]: (NAMES[1], 2)}


@pytest.mark.parametrize(("files", "tables"), FORMS)
def test_files_of_features(tmp_path: Path, files: str, tables: str) -> None:
    partitions(tmp_path, tables)
    for name in NAMES:
        for kind in ("features/audio", "features/visual", "labels"):
            columns = "valence,arousal" if kind == "labels" else "f0,f1"
            put(
                tmp_path / kind / f"{form(files if kind == 'labels' else tables, name)}.csv",
                f"time_s,{columns}\n0,0,0\n",
            )
    index = index_features(tmp_path)
    assert index.problems == []
    assert index.clips["clip"].tolist() == composed()


@pytest.mark.parametrize(("files", "tables"), FORMS)
def test_annotations_videos_and_crops_of_affwild2(tmp_path: Path, files: str, tables: str) -> None:
    for name in NAMES:
        annotate(tmp_path / f"VA_Set/Train_Set/{form(tables, name)}.txt", 3)
        put(tmp_path / f"videos/{form(files, name)}.mp4", "")
        put(tmp_path / f"cropped_aligned/{form(files, name)}/00001.jpg", "")
    index = index_affwild2(tmp_path)
    assert index.problems == []
    assert index.clips["clip"].tolist() == composed()
    assert (index.clips["annotation"] != "").all()
    assert sorted(find_crops(tmp_path)) == composed()


@pytest.mark.parametrize(("files", "tables"), FORMS)
def test_recordings_of_other_corpora(tmp_path: Path, files: str, tables: str) -> None:
    source, name = tmp_path / "in", NAMES[0]
    put(source / "partition.csv", f"Id,Proposal\n{form(tables, name)},train\n")
    for place in ("label_segments/valence", "label_segments/arousal", "feature_segments/a", "feature_segments/v"):
        written = form(tables if place.endswith("/a") else files, name)
        put(source / place / f"{written}.csv", "timestamp,segment_id,value\n0,1,0.5\n250,1,0.1\n")
    config = ConvertConfig(audio="feature_segments/a", visual="feature_segments/v")
    assert convert("muse", source, tmp_path / "out", config) == 1
    assert [path.stem for path in (tmp_path / "out/labels").iterdir()] == [form("NFC", name)]


@pytest.mark.parametrize(("files", "tables"), FORMS)
def test_predictions_and_their_annotations(tmp_path: Path, files: str, tables: str) -> None:
    rows = "".join(f"{v:.1f},{-v:.1f}\n" for v in (0.1, 0.3, 0.2))
    for name in NAMES:
        put(tmp_path / f"gold/{form(files, name)}.txt", f"valence,arousal\n{rows}")
        put(tmp_path / f"folder/{form(tables, name)}.txt", f"valence,arousal\n{rows}")
    table = "".join(f"{form(tables, name)},{i},{i / 10},0\n" for name in NAMES for i in range(3))
    put(tmp_path / "table.csv", f"clip,frame,valence,arousal\n{table}")
    images = "".join(f"{form(tables, name)}/{i:05d}.jpg,0.1,0\n" for name in NAMES for i in (1, 2, 3))
    put(tmp_path / "submission.txt", f"image_location,valence,arousal\n{images}")
    for place in ("folder", "table.csv", "submission.txt"):
        clips, faults = parse_predictions(tmp_path / place)
        assert sorted(clips) == composed()
        assert not faults
        pair_files(tmp_path / place, tmp_path / "gold")  # refuses clips that are not annotated


@pytest.mark.parametrize(("files", "tables"), FORMS)
def test_a_submission_keeps_the_bytes_of_the_sample(tmp_path: Path, files: str, tables: str) -> None:
    name = NAMES[0]
    location = f"{form(files, name)}/00001.jpg"
    sample = put(tmp_path / "sample.txt", f"image_location,valence,arousal\n{location},-5,-5\n")
    predictions = pd.DataFrame({"clip": [form(tables, name)], "frame": [0], "valence": [0.5], "arousal": [0.0]})
    write_submission(predictions, sample, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()[1].startswith(location)


@pytest.mark.parametrize(("files", "tables"), FORMS)
def test_a_subject_in_two_forms_is_one_subject(tmp_path: Path, files: str, tables: str) -> None:
    rows = f"a,train,{form(files, NAMES[0])}\nb,test,{form(tables, NAMES[0])}\n"
    put(tmp_path / "partition.csv", f"clip,partition,subject\n{rows}")
    for clip in "ab":
        put(tmp_path / f"{clip}.mp4", "")
    assert [row["effect"] for row in index_folder(tmp_path, FolderConfig()).problems] == [STOPS]
    events = put(tmp_path / "events.csv", f"clip,modality,kind,start_s,end_s\n{form(tables, NAMES[0])},audio,x,0,1\n")
    assert read_event_table(events)["clip"].tolist() == [NAMES[0]]


def test_two_videos_whose_names_look_the_same_are_ambiguous(tmp_path: Path) -> None:
    for kind in ("NFC", "NFD"):
        put(tmp_path / f"{form(kind, NAMES[0])}.mp4", "")
    problems = index_folder(tmp_path, FolderConfig()).problems
    assert len(problems) == 2
    assert all("two videos have this name" in str(row["problem"]) for row in problems)


def test_names_that_look_alike_are_told_once_with_their_partitions_and_stay_two(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "a,train,Anna\nb,test,anna\nc,train,Ben\nZo\u00eb,train,x\nzo\u00cb,train,y\n\uff2d1,train,\nM1,test,\n"
    put(tmp_path / "partition.csv", f"clip,partition,subject\n{rows}")
    for clip in ("a", "b", "c", "Zo\u00eb", "zo\u00cb", "\uff2d1", "M1"):
        movie(tmp_path / f"{clip}.mp4", 4)
    folder = IngestionConfig.model_validate({"importer": "folder"})
    index, problems = index_corpus(tmp_path, folder, MediaLimits())
    out, serial = tmp_path.parent / f"{tmp_path.name}_out", ExecutorConfig(kind="serial")
    run_tasks(plan_timelines(tmp_path, index, problems, folder, MediaLimits()), out, ".parquet", serial)
    _, described, _ = describe_corpus(tmp_path, index, problems, results(out, ".parquet"), folder)
    assert len(index) == 7
    assert {"Anna", "anna"} <= set(index["subject"])
    differ = "have names that differ only in capitals, blanks or alike characters"
    told = [
        f"2 clips {differ}: 'Zo\u00eb' (train), 'zo\u00cb' (train)",
        f"2 subjects {differ}: 'Anna' (train), 'anna' (test)",
        f"2 subjects {differ}: 'M1' (test), '\uff2d1' (train)",
    ]
    remedy = "if they are one, write the name alike everywhere; they count as different ones"
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line for line in warned if "differ" in line] == [f"{line}; doubtful. Remedy: {remedy}" for line in told]
    for table in (problems, described):
        noted = table[table["problem"].str.contains("differ only")]
        assert noted["problem"].tolist() == told
        assert set(noted["effect"]) == {DOUBTFUL}


def test_names_that_differ_are_no_problem(tmp_path: Path) -> None:
    names = ["a", "b", "ab", "a b", "\u00e9", "e", "1", "\u0661", "O", "0"]
    table = pd.DataFrame({"clip": names, "subject": names, "partition": "train"})
    assert names_alike(table) == []
    assert names_alike(table.iloc[:0]) == []


def test_each_group_of_such_names_is_a_problem_once_though_clips_are_named_after_subjects() -> None:
    names = ["Anna", "anna", "Bo", "bo", "cleo"]
    table = pd.DataFrame({"clip": names, "subject": names, "partition": "train"})
    found = names_alike(table)
    assert [str(problem["problem"]).split(": ")[1] for problem in found] == [
        "'Anna' (train), 'anna' (train)",
        "'Bo' (train), 'bo' (train)",
    ]
