"""The importer of Aff-Wild2 (challenges on valence-arousal, expressions, action units), in its organisers' layout.

    ROOT/VA_Estimation_Challenge/{Train_Set,Validation_Set,Test_Set}/<clip>.txt     (older releases: VA_Set/...)
    ROOT/EXPR_Recognition_Challenge/..., ROOT/AU_Detection_Challenge/...            optional: likewise
    ROOT/MTL_Challenge/{train,validation}*.txt                                      optional: of many clips
    ROOT/**/<video>.{mp4,avi}        the raw videos, in any folder
    ROOT/cropped_aligned*/<clip>/    optional: faces cropped by the organisers; 00001.jpg is the first frame
    ROOT/subjects.csv                optional: clip,subject

A clip is `<video>`, or `<video>_left` / `<video>_right` for the second person of a video with two. There may be
several folders of crops, as they were downloaded; a clip is in one of them.

The challenges divide the videos differently. A subject belongs to the partition of the first challenge, in the order
above, that annotates one of its clips; annotations from another partition are left out, or a network could be scored
on people it has learned from. A clip's rows in a file of the multi-task challenge count if it has no other annotation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.corpora.index import (
    CLIP_COLUMNS,
    NOTED,
    STOPS,
    SUBJECT_FILE,
    CorpusIndex,
    Problem,
    files_below,
    problem,
    read_subjects,
    require_exact_names,
    subject_problems,
    unique_files,
)
from iaca.corpora.timeline import TOLERANCE, rows_of
from iaca.errors import InputError, counted, plain_name
from iaca.faces.extract import crop_files
from iaca.files import entries
from iaca.formats.labels import WIDTH, AnnotationFacts, parse_annotation, parse_expressions, parse_units, read_multitask
from iaca.text import clip_of, composed

SETS = {"Train_Set": "train", "Validation_Set": "validation", "Test_Set": "test"}
KINDS = {
    "valence_arousal": ("VA_Estimation_Challenge", "VA_Set"),
    "expression": ("EXPR_Recognition_Challenge", "EXPR_Classification_Challenge", "EXPR_Set"),
    "action_units": ("AU_Detection_Challenge", "AU_Set"),
}
MULTITASK, MULTITASK_ROOT = "multitask", "MTL_Challenge"
MULTITASK_FILES = {"train": "train", "val": "validation", "test": "test"}  # by the beginning of the name
PATTERN = "cropped_aligned*"
VIDEO_SUFFIXES = (".mp4", ".avi")


def index_affwild2(root: Path) -> CorpusIndex:
    """List the clips of a corpus without opening a file, except those of the multi-task challenge.

    A video without annotation is a test clip, or two if the organisers' crops show a second person. An annotation
    without video and videos that share a name are problems; their clips are left out. A clip annotated in two
    partitions is listed in the first, and stops the run.

    Raises:
        InputError: there is no annotation folder, or it may not be read.
    """
    require_exact_names(root)
    problems: list[Problem] = []
    media = (path for path in files_below(root, problems, PATTERN) if path.suffix.lower() in VIDEO_SUFFIXES)
    videos, found = unique_files(root, media, problems), _annotations(root, problems)
    named = read_subjects(root)
    subjects = {clip: subject for clip, (subject, _) in named.items()}

    def video_of(clip: str) -> tuple[str, str]:
        return split_clip(clip) if clip not in videos else (clip, "")

    people = {clip: subjects.get(clip, video_of(clip)[0]) for of_kind in found.values() for clip in of_kind}
    rows: list[tuple[str, str, str, Path, Path | None, str]] = []
    further: dict[str, tuple[str, ...]] = {}
    for clip, (partition, files) in sorted(_in_one_partition(root, found, people, problems).items()):
        (video, side), (annotation, *others) = video_of(clip), files
        if video not in videos:
            remedy = f"put {plain_name(video)}.mp4 anywhere below the root, once, or remove the annotation"
            problems.append(problem(clip, annotation.relative_to(root), "no video of this name", remedy))
            continue
        rows.append((clip, subjects.get(clip, video), partition, videos[video], annotation, side))
        if others:
            further[clip] = tuple(str(path.relative_to(root)) for path in others)
    used = {row[3] for row in rows}
    for clip, video, side in _unannotated({video for video, path in videos.items() if path not in used}, root):
        rows.append((clip, subjects.get(clip, video), "test", videos[video], None, side))
    clips = pd.DataFrame(rows, columns=list(CLIP_COLUMNS))
    lines = pd.Series([named[clip][1] if clip in named else None for clip in clips["clip"]], dtype="Int64")
    problems += subject_problems(clips.assign(line=lines), SUBJECT_FILE if named else ".")
    for column in ("media", "annotation"):
        clips[column] = [str(p.relative_to(root)) if p else "" for p in clips[column]]
    facts = _multitask_facts({path for *_, path, _ in rows if path is not None and _kind_of(path) == MULTITASK})
    return CorpusIndex(clips.sort_values("clip", ignore_index=True), problems, further, facts)


def annotation_files(root: Path) -> dict[tuple[str, str], dict[str, Path]]:
    """(Partition, clip) -> its annotation files by kind: those of `KINDS`, or `multitask` alone."""
    files: dict[tuple[str, str], dict[str, Path]] = {}
    for kind, of_kind in _annotations(root, []).items():
        for clip, (partition, path) in of_kind.items():
            own = files.setdefault((partition, clip), {})
            if kind != MULTITASK or not own:
                own[kind] = path
    return files


def frame_labels(root: Path, problems: list[Problem]) -> dict[str, tuple[str, dict[str, Path]]]:
    """Clip -> its partition and its annotation files by kind, of a tree without videos.

    Raises:
        InputError: there is no annotation folder.
    """
    found = _annotations(root, problems)
    people = {clip: split_clip(clip)[0] for of_kind in found.values() for clip in of_kind}
    clips = _in_one_partition(root, found, people, problems)
    return {clip: (partition, {_kind_of(path): path for path in files}) for clip, (partition, files) in clips.items()}


def read_frames(clip: str, files: Mapping[str, Path]) -> NDArray[np.float32]:
    """(n, 15) valence, arousal, class and units by frame, NaN where not annotated.

    Raises:
        InputError: a file has a fault, or its length differs from the first one's by more than a few rows.
    """
    if MULTITASK in files:
        rows = read_multitask(files[MULTITASK], clip)[clip]
        if rows.faults:
            raise rows.faults[0]
        whole = np.full((int(rows.frames.max()) + 1, 2 + WIDTH), np.nan, np.float32)
        whole[rows.frames] = np.column_stack([rows.valence_arousal, rows.tasks])
        return whole
    parts = {kind: rows_of(kind, path) for kind, path in files.items()}
    first, whole = len(next(iter(parts.values()))), np.full((max(map(len, parts.values())), 2 + WIDTH), np.nan)
    for kind, part in parts.items():
        if abs(len(part) - first) > TOLERANCE:
            what = f"{len(part)} rows, but another annotation of the clip has {first}"
            raise InputError(what, files[kind], remedy="check that both belong to the same video, or remove one")
        whole[: len(part), COLUMNS[kind]] = part
    return whole.astype(np.float32)


COLUMNS = {"valence_arousal": slice(0, 2), "expression": slice(2, 3), "action_units": slice(3, None)}
"""Of the columns of `read_frames`, those of each kind."""


def _in_one_partition(
    root: Path,
    found: dict[str, dict[str, tuple[str, Path]]],
    subjects: dict[str, str],
    problems: list[Problem],
) -> dict[str, tuple[str, list[Path]]]:
    """Clip -> its partition and its files, the first of which is that of the first challenge."""
    partitions: dict[str, str] = {}  # of each subject
    clips: dict[str, tuple[str, list[Path]]] = {}
    for kind, of_kind in found.items():
        known = dict(partitions)  # a subject in two partitions of one challenge is an error, found later
        for clip, (partition, path) in of_kind.items():
            due = known.get(subjects[clip], partition)
            if due != partition:
                what = f"not used: another challenge has this person in the {due} partition"
                remedy = f"none; to use it, move the file to the {due} set, which changes the challenge's division"
                problems.append(problem(clip, path.relative_to(root), what, remedy, effect=NOTED))
            elif kind != MULTITASK or clip not in clips:
                partitions.setdefault(subjects[clip], partition)
                clips.setdefault(clip, (partition, []))[1].append(path)
    return clips


def _kind_of(path: Path) -> str:
    """The kind of an annotation file, by its folder."""
    if path.parent.name == MULTITASK_ROOT:
        return MULTITASK
    return next(kind for kind, roots in KINDS.items() if path.parent.parent.name in roots)


def _multitask_facts(files: set[Path]) -> dict[str, AnnotationFacts]:
    """Clip -> what a file of the multi-task challenge has of it."""
    return {
        clip: AnnotationFacts(
            int(np.isfinite(rows.valence_arousal).all(1).sum()), int(rows.frames.max()) + 1, True, rows.faults
        )
        for path in sorted(files)
        for clip, rows in read_multitask(path).items()
    }


def _unannotated(videos: set[str], root: Path) -> list[tuple[str, str, str]]:
    """Clip, video and side of everything without annotation: clips that have crops, and videos that have none."""
    known = [(clip, *split_clip(clip)) for clip in find_crops(root) if clip not in videos]
    clips = [(clip, video, side) for clip, video, side in known if video in videos]
    cropped = {video for _, video, _ in clips} - set(find_crops(root))
    return sorted(clips + [(video, video, "") for video in videos - cropped])


def split_clip(clip: str) -> tuple[str, str]:
    """`10-60-1280x720_left` -> (`10-60-1280x720`, `left`); a name without a side is returned as it is."""
    match = re.fullmatch(r"(.+)_(left|right)", clip)
    return (match[1], match[2]) if match else (clip, "")


def inspect_annotation(path: Path) -> AnnotationFacts:
    """Count the rows of an annotation file, and those with valence and arousal, and collect its faults."""
    kind = _kind_of(path)
    if kind != "valence_arousal":
        values, faults = (parse_expressions if kind == "expression" else parse_units)(path)
        return AnnotationFacts(0, len(values), faults=tuple(faults))
    labels, faults = parse_annotation(path)
    return AnnotationFacts(int(np.isfinite(labels).all(1).sum()), len(labels), faults=tuple(faults))


def _annotations(root: Path, problems: list[Problem]) -> dict[str, dict[str, tuple[str, Path]]]:
    """Kind -> clip -> its partition and file."""
    found = {kind: _annotations_of(root, tops, problems) for kind, tops in KINDS.items()}
    found[MULTITASK] = {}
    for path in _texts(root / MULTITASK_ROOT):
        partition = next((p for start, p in MULTITASK_FILES.items() if path.name.lower().startswith(start)), None)
        if partition is None:
            raise InputError("the name does not say whose rows these are", path, remedy="begin it with train or val")
        for clip in read_multitask(path):
            if clip in found[MULTITASK]:
                found[MULTITASK][clip] = _twice(root, clip, path, found[MULTITASK][clip], problems)
                continue
            found[MULTITASK][clip] = (partition, path)
    if not any(found.values()):
        raise InputError(
            "no annotation found",
            root / KINDS["valence_arousal"][0],
            remedy="give the folder that contains VA_Estimation_Challenge/Train_Set",
        )
    return found


def _annotations_of(root: Path, tops: tuple[str, ...], problems: list[Problem]) -> dict[str, tuple[str, Path]]:
    """Clip -> its partition and file, of one challenge."""
    found: dict[str, tuple[str, Path]] = {}
    for top in tops:
        for folder, partition in SETS.items():
            alike = [path for path in entries(root / top) if path.name.lower() == folder.lower()]
            for path in (text for place in alike for text in _texts(place)):
                clip = clip_of(path)
                if clip in found:
                    found[clip] = _twice(root, clip, path, found[clip], problems)
                    continue
                found[clip] = (partition, path)
    return found


def _texts(folder: Path) -> list[Path]:
    return [path for path in entries(folder) if path.suffix.lower() == ".txt"]


def _twice(root: Path, clip: str, path: Path, first: tuple[str, Path], problems: list[Problem]) -> tuple[str, Path]:
    """Report a clip that one challenge annotates twice; the first file counts."""
    what = f"annotated in two partitions, the other file is {first[1].relative_to(root)}"
    remedy = "remove one of them; a score over shared subjects means nothing"
    problems.append(problem(clip, path.relative_to(root), what, remedy, effect=STOPS))
    return first


# Cropped faces


def find_crops(root: Path) -> dict[str, Path]:
    """Clip -> its folder of crops, if it has one.

    Raises:
        InputError: a clip has two, or a folder of crops may not be read.
    """
    found: dict[str, Path] = {}
    for folder in sorted(path for top in root.glob(PATTERN) for path in entries(top) if path.is_dir()):
        clip = composed(folder.name)
        if clip in found:
            other = found[clip].relative_to(root)
            raise InputError(f"the clip has crops in {other} as well", folder, remedy="remove one of the folders")
        found[clip] = folder
    return found


def crop_problems(root: Path, clips: pd.DataFrame) -> list[dict[str, object]]:
    """Mismatches between the crops and the decoded frames of `clips`; empty if the corpus has no crops."""
    crops = find_crops(root)
    if not crops:
        return []
    problems = []
    for clip, frames in zip(clips["clip"], clips["frames"], strict=True):
        if clip not in crops:
            remedy = "none is needed: its faces are detected, unless faces.source is crops"
            problems.append(problem(clip, "", "no folder of crops, though other clips have one", remedy, effect=NOTED))
            continue
        try:
            beyond = sorted(frame + 1 for frame in crop_files(crops[clip]) if not 0 <= frame < frames)
        except InputError as error:
            remedy = "fix its permissions; or detect all faces: faces.source=detect"
            problems.append(problem(clip, crops[clip].relative_to(root), error.problem, remedy, effect=NOTED))
            continue
        if beyond:
            what = f"{counted(len(beyond), 'crop')} beyond the {frames} decoded frames"
            what += f", numbers {beyond[0]} to {beyond[-1]}"
            remedy = "none for one or two, which are left out; for more, check that video and crops belong together"
            problems.append(problem(clip, crops[clip].relative_to(root), what, remedy, effect=NOTED))
    return problems
