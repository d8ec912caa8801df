"""Every reader of tables of anybody's, with a header and a row that it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iaca.corpora.index import read_partitions, read_subjects
from iaca.corpora.recordings import partition_table
from iaca.errors import InputError
from iaca.formats.labels import read_annotation, read_event_table, read_labels
from iaca.formats.predictions import check_submission, parse_predictions
from iaca.formats.tables import read_rows, read_table

Read = Callable[[Path], object]


def subjects(path: Path) -> object:
    path.with_name("subjects.csv").write_bytes(path.read_bytes())
    return read_subjects(path.parent)


def submission_faults(path: Path) -> list[InputError]:
    sample = path.with_name("sample.txt")
    sample.write_text("image_location,valence,arousal\nc/00001.jpg,-5,-5\n")
    return check_submission(path, sample)


def submission(path: Path) -> object:
    if faults := submission_faults(path):
        raise faults[0]
    return faults


def predictions(path: Path) -> object:
    clips, faults = parse_predictions(path)
    if faults:
        raise faults[0]
    return clips


# reader, header, a row
READERS: dict[str, tuple[Read, str, str]] = {
    "annotation": (read_annotation, "valence,arousal", "0.1,0.2"),
    "labels": (read_labels, "time_s,valence,arousal", "0.5,0.1,0.2"),
    "features": (read_table, "time_s,f0", "0.5,0.1"),
    "partitions": (lambda path: read_partitions(path, []), "clip,partition,subject", "a,train,b"),
    "subjects": (subjects, "clip,subject", "a,b"),
    "events": (read_event_table, "clip,modality,kind,start_s,end_s", "a,audio,silent,0,1"),
    "recordings": (partition_table, "Id;Proposal", "a;devel"),
    "rows": (read_rows, "name;time;f0", "a;0.5;1"),
    "predictions": (predictions, "clip,frame,valence,arousal", "a,0,0.1,0.2"),
    "submission": (submission, "image_location,valence,arousal", "c/00001.jpg,0.1,0.2"),
}


def given(folder: Path, content: bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
