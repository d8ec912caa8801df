"""How a folder of videos is read.

Partitions for a corpus that names none: dealt by subject, the same in every run.

Which clips a folder of videos holds, and which annotation and partition belongs to each.

The timeline of a video from a folder: its annotation, by time or by frame, laid onto its decoded frames.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from iaca.corpora.index import (
    CLIP_COLUMNS,
    EVENT_FILE,
    PARTITION_FILE,
    SUBJECT_FILE,
    CorpusIndex,
    Problem,
    problem,
    read_partitions,
    read_subjects,
    unique_files,
)
from iaca.corpora.timeline import ROUNDING_S, TOLERANCE, decode_clock, labels_at, median_step, write_timeline
from iaca.errors import InputError
from iaca.formats.labels import Annotation, Places, Values, read_labels
from iaca.media import MediaLimits
from iaca.parameters import LONGEST_S, Parameters, Seed


class FolderConfig(Parameters):
    """Parameters of the importer `folder`.

    Attributes:
        importer: belongs to the environment; see `iaca.corpora.importers`.
        root: folder of the corpus, as given on the command line; the catalog's `corpus` reads it.
        tolerance_s: how far (s) from a frame an annotated row may lie and still count for it. By default one and a
            half median steps of the annotation.
        validation_share, test_share: of the annotated subjects, where there is no partition.csv; the rest is for
            training.
        seed: of the dealing.
    """

    importer: Literal["folder"] = "folder"
    root: str | None = Field(default=None, min_length=1)
    tolerance_s: float | None = Field(default=None, gt=0, le=LONGEST_S)
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    seed: Seed = 0

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


def deal_subjects(subjects: Iterable[str], config: FolderConfig) -> dict[str, str]:
    """Subject -> train, validation or test.

    Each subject draws a number in [0, 1) from its name and the seed alone, so that a new one moves none of the others.
    Only where so few are there that a partition would stay empty, one of the fullest partition goes there: the one
    whose number lies nearest to those that belong there.
    """
    drawn = {subject: draw(subject, config.seed) for subject in subjects}
    held_out = config.validation_share + config.test_share
    bounds = {"train": (held_out, 1.0), "validation": (0.0, config.validation_share),
              "test": (config.validation_share, held_out)}  # fmt: skip
    dealt = {s: next(p for p, (low, high) in bounds.items() if low <= number < high) for s, number in drawn.items()}
    for partition, (low, high) in bounds.items():
        sizes = Counter(dealt.values())
        fullest = max(bounds, key=lambda p: sizes[p])
        if low < high and not sizes[partition] and sizes[fullest] > 1:
            members = [s for s in sorted(drawn) if dealt[s] == fullest]
            dealt[min(members, key=lambda s: abs(drawn[s] - (low + high) / 2))] = partition
    return dealt


def draw(subject: str, seed: int) -> float:
    """A number in [0, 1) that looks random and depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed} {subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


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


VERSION = "2"
INSIDE = 0.5  # of the annotation, at least, lies within its video

Notes = list[tuple[str, str]]


def build_timeline(
    media: Path,
    annotation: Path | None = None,
    *,
    target: Path,
    tolerance_s: float | None = None,
    limits: MediaLimits | None = None,
) -> None:
    """The engine's task: as `iaca.corpora.timeline.build_timeline`, for annotations by time or by frame.

    Raises:
        InputError: nothing decodes, the video is beyond a limit, the annotation is unreadable, or it can't be
            one of this video.
    """
    times, facts = decode_clock(media, limits)
    labels, notes = np.full((len(times), 2), np.nan, np.float32), Notes()
    if annotation is not None:
        given = read_labels(annotation)
        _check_belonging(given, times, annotation)
        labels, notes = _lay(given, times, tolerance_s)
    write_timeline(target, times, labels, facts | {"annotation_rows": None, "notes": notes})


def _check_belonging(given: Annotation, times: Places, path: Path) -> None:
    last = int(given.places[-1])
    if given.key == "frame" and last >= len(times) + TOLERANCE:
        what = f"frames up to {last} are annotated, but {len(times)} decode"
        raise InputError(what, path, remedy="check that annotation and video belong together, and count frames from 0")
    inside = float((given.places <= times[-1] + ROUNDING_S).mean())
    if given.key == "time_s" and inside < INSIDE:
        what = f"only {inside:.0%} of the rows lie within the video, which ends at {times[-1]:.2f} s"
        raise InputError(what, path, remedy="write times in seconds, and check that annotation and video fit")


def _lay(given: Annotation, times: Places, tolerance_s: float | None) -> tuple[Values, Notes]:
    if given.key == "time_s":
        late = int((given.places > times[-1] + median_step(times)).sum())
        what = f"{late} rows lie after the last frame at {times[-1]:.2f} s, and are not used"
        return labels_at(given.places, given.values, times, tolerance_s), [
            (what, "none, if the annotation ran on")
        ] if late else []
    labels = np.full((len(times), 2), np.nan, np.float32)
    frames = given.places.astype(np.int64)
    kept = frames < len(times)
    labels[frames[kept]] = given.values[kept]
    return labels, []
