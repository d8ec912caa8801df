"""The importer of a folder of videos with annotations next to them: its parameters, its index, its timelines.

ROOT/**/<clip>.{mp4,mov,...}     videos in any folder (`iaca.media.kind_of` says what is one)
ROOT/**/<clip>.csv               optional, next to its video: time_s or frame, valence, arousal
ROOT/partition.csv               optional: clip,partition[,subject]; without it subjects are assigned at random
ROOT/subjects.csv                optional: clip,subject
ROOT/raters/                     optional: traces of single raters (`iaca.corpora.raters`); not read here
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from iaca.corpora.index import (
    CLIP_COLUMNS,
    DOUBTFUL,
    EVENT_FILE,
    NOTED,
    PARTITION_FILE,
    RATERS,
    SUBJECT_FILE,
    CorpusIndex,
    Problem,
    files_below,
    meant,
    problem,
    read_partitions,
    read_subjects,
    require_exact_names,
    unique_files,
)
from iaca.corpora.timeline import (
    CUT_REMEDY,
    ROUNDING_S,
    TOLERANCE,
    cut_off,
    decode_clock,
    labels_at,
    median_step,
    mismatch,
    spans,
    write_timeline,
)
from iaca.errors import InputError, counted
from iaca.formats.labels import Annotation, Places, Values, read_labels
from iaca.media import MediaLimits, kind_of, left_out
from iaca.media.probe import Kind
from iaca.parameters import LONGEST_S, Parameters, Seed
from iaca.text import clip_of

VERSION = "3"
TABLES = (PARTITION_FILE, SUBJECT_FILE, EVENT_FILE)
TABLE_NAMES = {"partition": PARTITION_FILE, "split": PARTITION_FILE, "subject": SUBJECT_FILE, "event": EVENT_FILE}
"""How people name these tables, without ending and without the s of a plural -> how they are read."""
OTHER_TABLES = (".tsv", ".txt", ".xlsx", ".xls", ".ods")
INSIDE = 0.5  # share of the annotated rows that must lie within the video

Notes = list[tuple[str, str]]
"""Pairs of a note and its remedy."""


class FolderConfig(Parameters):
    """Parameters of the importer `folder`.

    Attributes:
        importer: set by the environment; see `iaca.pipelines.ingestion.nodes`.
        root: folder of the corpus, as given on the command line; the catalog's `corpus` reads it.
        tolerance_s: largest distance (s) at which an annotated row counts for a frame. By default one and a half
            median steps of the annotation.
        validation_share, test_share: of the annotated subjects, if there is no partition.csv; the others are for
            training.
        seed: of the assignment of subjects.
    """

    importer: Literal["folder"] = "folder"
    root: str | None = Field(default=None, min_length=1)
    tolerance_s: float | None = Field(default=None, gt=0, le=LONGEST_S)
    validation_share: float = Field(default=0.2, ge=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    seed: Seed = 0

    @model_validator(mode="after")
    def _leave_training_data(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


# The index


def index_folder(root: Path, config: FolderConfig) -> CorpusIndex:
    """List the clips of a folder; of files that no ending tells what they are, the header is read.

    Without partition.csv the annotated subjects are assigned at random (`assign_partitions`). Clips without annotation
    are test clips, unless another clip of their subject is annotated: then they join its partition.

    Raises:
        InputError: there is no video, or partition.csv or subjects.csv is unreadable or has other capitals in its name.
    """
    require_exact_names(root)
    problems: list[Problem] = []
    files = list(files_below(root, problems))
    kinds = {path: _kind(root, path, problems) for path in files}
    videos = _videos(root, kinds, problems)
    if not videos and not problems:
        others = f"; it contains {left_out(files)}" if files else ""
        raise InputError(f"there is no video below this folder{others}", root, remedy="put videos there")
    _report_unused(root, kinds, videos, problems)
    tables = {_place(path): path for path in files if path.suffix.lower() == ".csv"}
    labels = {clip: tables[_place(path)] for clip, path in videos.items() if _place(path) in tables}
    if (root / PARTITION_FILE).exists():
        members = _listed(root, videos, problems)
    else:
        members = _assigned(root, videos, labels, config)
    rows = [
        (clip, subject, partition, str(videos[clip].relative_to(root)), _relative(labels.get(clip), root), "")
        for clip, subject, partition in members[["clip", "subject", "partition"]].itertuples(index=False)
    ]
    clips = pd.DataFrame(rows, columns=list(CLIP_COLUMNS))
    return CorpusIndex(clips.sort_values("clip", ignore_index=True), problems)


def find_videos(root: Path, closed: list[Problem] | None = None) -> dict[str, Path]:
    """The video of each clip of a folder, by the rule of `index_folder`; what is left out there is left out here.

    Args:
        root: the folder.
        closed: receives folders that may not be read.
    """
    problems: list[Problem] = []
    files = files_below(root, problems if closed is None else closed)
    return _videos(root, {path: _kind(root, path, problems) for path in files}, problems)


def _videos(root: Path, kinds: dict[Path, Kind], problems: list[Problem]) -> dict[str, Path]:
    return unique_files(root, (path for path, kind in kinds.items() if kind == "video"), problems)


def _listed(root: Path, videos: dict[str, Path], problems: list[Problem]) -> pd.DataFrame:
    """The clips of partition.csv that have a video; the others, and videos it does not list, are reported."""
    members = read_partitions(root / PARTITION_FILE, problems)
    reported = {row["clip"] for row in problems}
    example = ""
    for clip in members.loc[~members["clip"].isin(list(videos)), "clip"]:
        if clip not in reported:
            remedy = "put a video of this name anywhere below the root, or remove the row"
            if near := meant(clip, videos):
                example = example or f"{near} for {clip}"  # the same in every row, so that they share a line of the log
                remedy = f"write names of videos as they are, without folder and ending: {example}"
            problems.append(problem(clip, PARTITION_FILE, "no video of this name", remedy))
    for clip in sorted(set(videos) - set(members["clip"]) - reported):
        remedy = f"give the clip a row in {PARTITION_FILE}, or remove its video"
        problems.append(problem(clip, videos[clip].relative_to(root), "the clip is in no partition", remedy))
    return members[members["clip"].isin(list(videos))]


def _assigned(root: Path, videos: dict[str, Path], labels: dict[str, Path], config: FolderConfig) -> pd.DataFrame:
    named = read_subjects(root)
    subjects = {clip: named[clip][0] if clip in named else clip for clip in videos}
    partitions = assign_partitions({subjects[clip] for clip in labels}, config)
    rows = [(clip, subject, partitions.get(subject, "test")) for clip, subject in subjects.items()]
    return pd.DataFrame(rows, columns=["clip", "subject", "partition"])


def _kind(root: Path, path: Path, problems: list[Problem]) -> Kind:
    """What a file is; one that is nothing known is reported."""
    try:
        return kind_of(path)
    except InputError as error:
        problems.append(problem(clip_of(path), path.relative_to(root), error.problem, error.remedy or ""))
        return "other"


def _report_unused(root: Path, kinds: dict[Path, Kind], videos: dict[str, Path], problems: list[Problem]) -> None:
    """Report annotations without a video next to them, or in another format than CSV, tables that have another name or
    folder, and sound files, which are not clips."""
    annotated = {_place(path) for path in kinds if path.suffix.lower() == ".csv"}
    reported = {row["clip"] for row in problems}
    with_video = {_place(path) for path in videos.values()}
    for path, kind in kinds.items():
        clip = clip_of(path)
        known = _place(path) in with_video or clip in reported or (path.parent == root and path.name in TABLES)
        known = known or path.relative_to(root).parts[0] == RATERS
        if not known and (unread := _unread_table(root, path)) is not None:
            problems.append(unread)
        elif path.suffix.lower() == ".csv" and not known and clip in videos:
            what = f"it is not read: the video of this name is {videos[clip].relative_to(root)}"
            problems.append(problem(clip, path.relative_to(root), what, "move it next to the video", effect=DOUBTFUL))
        elif path.suffix.lower() == ".csv" and not known:
            what = "no video of this name is next to the annotation"
            problems.append(problem(clip, path.relative_to(root), what, "put the video there, or remove the file"))
        elif path.suffix.lower() in OTHER_TABLES and _place(path) in with_video - annotated:
            what = f"an annotation has to be a .csv file: this {path.suffix} is not read"
            remedy = f"if it is the annotation of {clip}, save it as {path.stem}.csv"
            problems.append(problem(clip, path.relative_to(root), what, remedy, effect=NOTED))
        elif kind == "sound" and _place(path) not in with_video:
            remedy = "extract features from it (docs/guide/features.md), or put it into a video file"
            problems.append(problem(clip, path.relative_to(root), "sound without a picture is not a clip", remedy))


def _unread_table(root: Path, path: Path) -> Problem | None:
    """The problem with a table of partitions, subjects or events that has another name or is in another folder."""
    name = TABLE_NAMES.get(path.stem.lower().removesuffix("s"))
    if name is None or path.suffix.lower() not in (".csv", *OTHER_TABLES):
        return None
    what = f"this table is not read: {name} has to be in the folder that is given, under this name"
    if name == PARTITION_FILE and not (root / PARTITION_FILE).exists():
        what += ". Without it, partitions are drawn at random"
    remedy = f"save it as {name} there"
    if path.name == name:
        remedy = f"move it there, or give its folder: ingestion.root={path.parent}"
    return problem("", path.relative_to(root), what, remedy, effect=DOUBTFUL)


def _place(path: Path) -> tuple[Path, str]:
    """What a video and its annotation have in common: their folder, and the clip."""
    return path.parent, clip_of(path)


def _relative(path: Path | None, root: Path) -> str:
    return str(path.relative_to(root)) if path else ""


def assign_partitions(subjects: Iterable[str], config: FolderConfig) -> dict[str, str]:
    """Subject -> train, validation or test.

    Each subject draws a number in [0, 1) from its name and the seed alone, so a new subject moves none of the others.
    If there are so few subjects that a partition would stay empty, one subject of the fullest partition moves there:
    the one whose number is nearest.
    """
    drawn = {subject: _draw(subject, config.seed) for subject in subjects}
    held_out = config.validation_share + config.test_share
    bounds = {"train": (held_out, 1.0), "validation": (0.0, config.validation_share),
              "test": (config.validation_share, held_out)}  # fmt: skip
    assigned = {s: next(p for p, (low, high) in bounds.items() if low <= number < high) for s, number in drawn.items()}
    for partition, (low, high) in bounds.items():
        sizes = Counter(assigned.values())
        fullest = max(bounds, key=lambda p: sizes[p])
        if low < high and not sizes[partition] and sizes[fullest] > 1:
            members = [s for s in sorted(drawn) if assigned[s] == fullest]
            assigned[min(members, key=lambda s: abs(drawn[s] - (low + high) / 2))] = partition
    return assigned


def _draw(subject: str, seed: int) -> float:
    """A pseudo-random number in [0, 1) that depends only on the arguments."""
    digest = hashlib.sha256(f"{seed} {subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


# Timelines


def build_timeline(
    media: Path,
    annotation: Path | None = None,
    *,
    target: Path,
    tolerance_s: float | None = None,
    limits: MediaLimits | None = None,
) -> None:
    """Engine task: as `iaca.corpora.timeline.build_timeline`, for annotations by time or by frame.

    Raises:
        InputError: nothing decodes, the video is beyond a limit, or the annotation is unreadable or belongs to another
            video.
    """
    times, facts = decode_clock(media, limits)
    labels, notes = np.full((len(times), 2), np.nan, np.float32), Notes()
    if annotation is not None:
        given, notes = _counted_from_0(read_labels(annotation), len(times))
        _check_fit(given, times, annotation, cut_off(float(times[-1]), facts["duration_s"]))
        labels, others = _labels(given, times, tolerance_s)
        notes += others
    write_timeline(target, times, labels, facts | {"annotation_rows": None, "notes": notes})


def _counted_from_0(given: Annotation, frames: int) -> tuple[Annotation, Notes]:
    """The annotation with frames counted from 0. Those of a file that reaches from 1 to the number of frames or beyond
    are counted from 1: there is no frame of this number from 0."""
    if given.key != "frame" or given.places[0] != 1:
        return given, []
    last = int(given.places[-1])
    if last >= frames:
        what = f"rows are numbered from 1 to {last}, for {counted(frames, 'frame')}: taken as counted from 1"
        return replace(given, places=given.places - 1), [(what, "none, if row 1 belongs to the first frame")]
    what = f"rows are numbered from 1 to {last}, for {counted(frames, 'frame')}: taken as counted from 0"
    return given, [(what, "none, if the first frame is not annotated; otherwise count frames from 0")]


def _check_fit(given: Annotation, times: Places, path: Path, cut: str | None) -> None:
    """Refuse an annotation that does not fit the video; `cut` says why the video may be the shorter one."""
    last = int(given.places[-1])
    if given.key == "frame" and last >= len(times) + TOLERANCE:
        what = f"frames up to {last} are annotated, but {len(times)} decode"
        remedy = "check that annotation and video belong together, and count frames from 0"
        raise InputError(f"{what}; {cut}" if cut else what, path, remedy=CUT_REMEDY if cut else remedy)
    if given.key == "frame":
        return
    remedy = "write times in seconds, and check that annotation and video belong together"
    inside = float((given.places <= times[-1] + ROUNDING_S).mean())
    if inside < INSIDE and cut:
        raise InputError(f"only {inside:.0%} of the rows lie within the video; {cut}", path, remedy=CUT_REMEDY)
    if inside < INSIDE:
        what = f"only {inside:.0%} of the rows lie within the video: {spans(given.places, times)}"
        raise InputError(what, path, remedy=remedy)
    if wrong := mismatch(given.places, times):
        raise InputError(f"the times do not fit: {wrong}", path, remedy=remedy)


def _rows_lie(count: int) -> str:
    return f"{counted(count, 'row')} {'lies' if count == 1 else 'lie'}"


def _labels(given: Annotation, times: Places, tolerance_s: float | None) -> tuple[Values, Notes]:
    """Labels (t, 2) of the frames, NaN where not annotated."""
    if given.key == "time_s":
        late = int((given.places > times[-1] + median_step(times)).sum())
        what = f"{_rows_lie(late)} after the last frame at {times[-1]:.2f} s, not used"
        notes = [(what, "none, if the annotation is longer than the video")] if late else []
        return labels_at(given.places, given.values, times, tolerance_s), notes
    labels = np.full((len(times), 2), np.nan, np.float32)
    frames = given.places.astype(np.int64)
    kept = frames < len(times)
    labels[frames[kept]] = given.values[kept]
    what = f"{_rows_lie((~kept).sum())} after the last of {counted(len(times), 'frame')}, not used"
    return labels, [] if kept.all() else [(what, "none, if the annotation is longer; frames are counted from 0")]
