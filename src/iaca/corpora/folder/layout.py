"""Which clips a folder of videos holds, and which annotation and partition belongs to each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from iaca.corpora.events import FILE as EVENT_FILE
from iaca.corpora.features.partitions import PARTITION_FILE, read_partitions
from iaca.corpora.folder.config import FolderConfig
from iaca.corpora.folder.deal import deal_subjects
from iaca.corpora.index import (
    CLIP_COLUMNS,
    SUBJECT_FILE,
    CorpusIndex,
    Problem,
    problem,
    read_subjects,
    unique_files,
)
from iaca.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac", ".wma")
TABLES = (PARTITION_FILE, SUBJECT_FILE, EVENT_FILE)


def index_folder(root: Path, config: FolderConfig) -> CorpusIndex:
    """List the clips of a folder without opening a video.

    Without partition.csv the annotated subjects are dealt (`deal_subjects`), and clips without annotation are test
    clips, unless another clip of their subject is annotated: then they go where that one goes.

    Raises:
        InputError: there is no video, or partition.csv or subjects.csv is no such table.
    """
    files = list(_files(root))
    problems: list[Problem] = []
    videos = unique_files(root, (path for path in files if path.suffix.lower() in VIDEO_SUFFIXES), problems)
    if not videos and not problems:
        raise InputError("there is no video below this folder", root, remedy=f"put {', '.join(VIDEO_SUFFIXES)} there")
    _report_unused(root, files, videos, problems)
    tables = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".csv"}
    labels = {clip: tables[path.with_suffix("")] for clip, path in videos.items() if path.with_suffix("") in tables}
    if (root / PARTITION_FILE).exists():
        members = _listed(root, videos, problems)
    else:
        members = _dealt(root, videos, labels, config)
    rows = [
        (clip, subject, partition, str(videos[clip].relative_to(root)), _relative(labels.get(clip), root), "")
        for clip, subject, partition in members[["clip", "subject", "partition"]].itertuples(index=False)
    ]
    clips = pd.DataFrame(rows, columns=list(CLIP_COLUMNS))
    return CorpusIndex(clips.sort_values("clip", ignore_index=True), problems)


def _listed(root: Path, videos: dict[str, Path], problems: list[Problem]) -> pd.DataFrame:
    """Members by partition.csv; a clip on one side alone is reported."""
    members = read_partitions(root / PARTITION_FILE, problems)
    told = {row["clip"] for row in problems}
    for clip in members.loc[~members["clip"].isin(list(videos)), "clip"]:
        if clip not in told:
            remedy = "put a video of this name anywhere below the root, or remove the row"
            problems.append(problem(clip, PARTITION_FILE, "no video of this name", remedy))
    for clip in sorted(set(videos) - set(members["clip"]) - told):
        remedy = f"give the clip a row in {PARTITION_FILE}, or remove its video"
        problems.append(problem(clip, videos[clip].relative_to(root), "the clip is in no partition", remedy))
    return members[members["clip"].isin(list(videos))]


def _dealt(root: Path, videos: dict[str, Path], labels: dict[str, Path], config: FolderConfig) -> pd.DataFrame:
    named = read_subjects(root)
    subjects = {clip: named[clip][0] if clip in named else clip for clip in videos}
    partitions = deal_subjects({subjects[clip] for clip in labels}, config)
    rows = [(clip, subject, partitions.get(subject, "test")) for clip, subject in subjects.items()]
    return pd.DataFrame(rows, columns=["clip", "subject", "partition"])


def _report_unused(root: Path, files: list[Path], videos: dict[str, Path], problems: list[Problem]) -> None:
    """Annotations without a video beside them, and sound files, of which this workflow makes no clip."""
    told = {row["clip"] for row in problems}
    beside = {path.with_suffix("") for path in videos.values()}
    for path in files:
        known = path.with_suffix("") in beside or path.stem in told or (path.parent == root and path.name in TABLES)
        if path.suffix.lower() == ".csv" and not known:
            what = "no video of this name beside the annotation"
            problems.append(problem(path.stem, path.relative_to(root), what, "put the video there, or remove the file"))
        elif path.suffix.lower() in SOUND_SUFFIXES and path.with_suffix("") not in beside:
            remedy = "make features of it (docs/guide/features.md), or put it into a video file"
            problems.append(problem(path.stem, path.relative_to(root), "sound without a picture makes no clip", remedy))


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        yield from (Path(folder, name) for name in sorted(files) if name[0] != ".")


def _relative(path: Path | None, root: Path) -> str:
    return str(path.relative_to(root)) if path else ""
