"""What the readers of all corpora have in common: recordings, where their files are, and names of partitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from iaca.corpora.convert.config import ConvertConfig
from iaca.errors import InputError, brief
from iaca.text import csv_rows

PARTITIONS = {
    "train": "train", "training": "train", "devel": "validation", "dev": "validation", "val": "validation",
    "validation": "validation", "test": "test",
}  # fmt: skip
SUFFIXES = (".csv", ".arff")
CLIP_NAMES, PARTITION_NAMES = ("clip", "id", "name", "file"), ("partition", "proposal", "split", "set")
SUBJECT_NAMES = ("subject", "speaker", "participant")
REMEDY = "write one row per recording below the line clip,partition,subject"


@dataclass(frozen=True)
class Recording:
    """One clip of a corpus.

    Attributes:
        clip, partition, subject: as in partition.csv.
        labels: file and column by `valence` and `arousal`; no column where the file holds one dimension alone. Empty
            where the clip is not annotated.
        features: file by `audio` and `visual`, of those that are there.
    """

    clip: str
    partition: str
    subject: str
    labels: dict[str, tuple[Path, str | None]] = field(default_factory=dict)
    features: dict[str, Path] = field(default_factory=dict)


def feature_files(source: Path, config: ConvertConfig) -> dict[str, dict[str, Path]]:
    """Modality -> recording -> file.

    Raises:
        InputError: a modality is not named, or its folder is not there or holds no table.
    """
    return {kind: tables(source, name, kind) for kind, name in (("audio", config.audio), ("visual", config.visual))}


def tables(source: Path, name: str | None, kind: str) -> dict[str, Path]:
    """Recording -> table in the folder `name`; an error lists the folders there are."""
    folder = source / name if name else source
    found = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES}
    if name and found:
        return found
    if not source.is_dir():
        raise InputError("there is no such folder", source, remedy="give the folder of the corpus")
    held = sorted({str(path.parent.relative_to(source)) for s in SUFFIXES for path in source.rglob(f"*{s}")} - {"."})
    what = f"no folder of {kind} is named" if not name else f"no table of {kind} in {name!r}"
    remedy = f"give --{kind} one of: {', '.join(held[:20]) or 'no folder holds a table'}"
    raise InputError(what, source, remedy=remedy)


def place(path: Path, source: Path) -> Path:
    """A file as it is told: below the corpus, or as it is where its folder was named from elsewhere."""
    return path.relative_to(source) if path.is_relative_to(source) else path


def partition_table(path: Path) -> dict[str, tuple[str, str]]:
    """Recording -> partition and subject, from a table whose columns may have several names, as published.

    Raises:
        InputError: a column is missing, or a partition has an unknown name.
    """
    rows = [(line, [cell.strip().strip("'") for cell in cells]) for line, cells in csv_rows(path, ",;")]
    names = [name.lower() for name in rows[0][1]] if rows else []
    places = [next((names.index(n) for n in known if n in names), None) for known in (CLIP_NAMES, PARTITION_NAMES)]
    if None in places:
        raise InputError(f"no column named like {CLIP_NAMES[0]} or {PARTITION_NAMES[0]}", path, 1, REMEDY)
    subject = next((names.index(n) for n in SUBJECT_NAMES if n in names), None)
    members = {}
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            raise InputError(f"{len(cells)} cells, but the header names {len(names)} columns", path, line, REMEDY)
        clip, partition = (cells[i] for i in places if i is not None)
        members[clip] = partition_of(partition, path, line), cells[subject] if subject is not None else clip
    return members


def partition_of(name: str, path: Path, line: int | None = None) -> str:
    """Train, validation or test, by any of their usual names."""
    if name.lower() not in PARTITIONS:
        raise InputError(f"{brief(repr(name))} is no partition", path, line, f"write one of {', '.join(PARTITIONS)}")
    return PARTITIONS[name.lower()]
