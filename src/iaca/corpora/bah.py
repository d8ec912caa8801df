"""The importer of BAH (Gonzalez-Gonzalez et al., ICLR 2026): videos in which people hesitate or are ambivalent.

    ROOT[/data]/Videos/<participant>/Visite_<n>/<clip>.mp4
    ROOT/**/{train,val,test}.txt     in one folder, a line per video: path,label,transcript
    ROOT/**/video_annotation.yaml    video -> frame_annotation: a list of [frame, label]; 1: ambivalence or hesitancy

A clip is a video, its subject the participant. BAH has no valence and arousal: no model is trained on it. Its frame
labels say where experts saw ambivalence or hesitancy, among other cues by discord between voice, face and words. They
are the human truth against which the `inconsistency` of predictions is scored.

    python -m iaca.corpora.bah ROOT --predictions FOLDER [--partition test]

The layout is that of the public description and code of its authors; docs/guide/bah.md lists what is assumed beyond
that. Every assumption is checked, and an error names the file where it does not hold.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from iaca.corpora.index import (
    CLIP_COLUMNS,
    PARTITIONS,
    CorpusIndex,
    Problem,
    problem,
    subject_problems,
)
from iaca.corpora.timeline import TOLERANCE
from iaca.errors import InputError, brief, ended_by_errors, permission_errors, plain_name, unreadable
from iaca.files import replacing, require_access
from iaca.text import clip_of, composed, open_text

log = logging.getLogger(__name__)

SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the compiled one reads a million frames in 20 s

SPLITS = {"train": "train", "val": "validation", "test": "test"}
DATA, VIDEOS, ANNOTATION = "data", "Videos", "video_annotation.yaml"
TRUTH_COLUMNS = ("clip", "partition", "frame", "ambivalent")
NUMBER = re.compile(r"(\d+)(?:\.\w+)?$")  # of a frame, at the end of its name: 12, frame-12, frame-12.jpg
REMEDY = "give the folder of the release, with Videos and with split/train.txt, split/val.txt and split/test.txt"


class Video(NamedTuple):
    """A line of a split: the path as it is written there, the clip, its participant and partition, and whether there is
    ambivalence or hesitancy anywhere in it."""

    path: str
    clip: str
    subject: str
    partition: str
    label: int


# The index


def index_bah(root: Path) -> CorpusIndex:
    """List the videos of the three splits without opening one.

    A line that is not a path and a label, a path without its participant, and a video that is missing or may not be
    opened are problems; their clips are left out. A participant in two partitions stops the run.

    Raises:
        InputError: a file of the splits is missing or there are several, or a folder outside Videos may not be read.
    """
    problems: list[Problem] = []
    home = _home(root)
    rows = []
    for video in read_splits(root, problems):
        media = home / video.path
        if (fault := _fault(media)) is not None:
            problems.append(problem(video.clip, media.relative_to(root), fault.problem, str(fault.remedy)))
            continue
        rows.append((video.clip, video.subject, video.partition, str(media.relative_to(root)), "", ""))
    clips = pd.DataFrame(rows, columns=list(CLIP_COLUMNS))
    problems += subject_problems(clips, _split_files(root)["train"].parent.relative_to(root))
    return CorpusIndex(clips.sort_values("clip", ignore_index=True), problems)


def read_splits(root: Path, problems: list[Problem]) -> list[Video]:
    """The videos of the three splits; lines that can't be used are added to the problems."""
    videos: dict[str, Video] = {}
    for split, path in _split_files(root).items():
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                video, wrong = _video(line, SPLITS[split])
                clip = plain_name(line.split(",")[0].strip()[-80:]) if video is None else video.clip
                if video is not None and clip in videos:
                    wrong = f"another video has this name: {videos[clip].path}"
                if video is None or wrong:
                    remedy = f"write {VIDEOS}/<participant>/<visit>/<clip>.mp4,<0 or 1>,<transcript>, each video once"
                    problems.append(problem(clip, path.relative_to(root), str(wrong), remedy, number))
                    continue
                videos[clip] = video
    return list(videos.values())


def _video(line: str, partition: str) -> tuple[Video | None, str]:
    """The video of a line, or what is wrong with it. The transcript may contain commas, the path may not."""
    path, label, *_ = [*(cell.strip() for cell in line.split(",", 2)), "", ""]
    place = PurePosixPath(composed(path))
    if place.suffix.lower() != ".mp4" or place.is_absolute() or ".." in place.parts:
        return None, f"{brief(repr(path))} is not the path of an .mp4 below {VIDEOS}"
    if len(place.parts) < 3 or place.parts[0] != VIDEOS:
        return None, f"{brief(repr(path))} does not begin with {VIDEOS}/<participant>"
    if label not in ("0", "1"):
        return None, f"the label is {brief(repr(label))}, not 0 or 1"
    return Video(str(place), clip_of(Path(place.name)), place.parts[1], partition, int(label)), ""


def _fault(media: Path) -> InputError | None:
    """Why there is no such video, or why it may not be opened; None if it is there."""
    try:
        with permission_errors():
            there = media.is_file()
    except InputError as error:
        return error
    return None if there else InputError("no such video", media, remedy=f"put it into {VIDEOS}, or remove the line")


@permission_errors()
def _home(root: Path) -> Path:
    """The folder that contains Videos: the root, or its folder `data`."""
    for home in (root, root / DATA):
        if (home / VIDEOS).is_dir():
            return home
    raise InputError(f"there is no folder {VIDEOS}, neither here nor in {DATA}", root, remedy=REMEDY)


def _split_files(root: Path) -> dict[str, Path]:
    """Split -> its file, in the only folder that contains all three. Those of `frame-level` list frames, not videos."""
    folders = [path.parent for path in _found(root, "val.txt") if "frame-level" not in path.parts]
    complete = [folder for folder in folders if all((folder / f"{split}.txt").is_file() for split in SPLITS)]
    if not complete:
        raise InputError("there is no folder with train.txt, val.txt and test.txt", root, remedy=REMEDY)
    if len(complete) > 1:
        others = ", ".join(str(folder.relative_to(root)) for folder in complete)
        raise InputError(f"several folders have splits: {others}", root, remedy="keep one of them below this folder")
    return {split: complete[0] / f"{split}.txt" for split in SPLITS}


def _found(root: Path, name: str) -> list[Path]:
    """The files of this name below a folder, found without listing videos and millions of crops.

    Raises:
        InputError: a folder may not be read: the file may be there.
    """
    found = []

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise unreadable(error)

    for folder, folders, files in os.walk(root, onerror=refuse):
        try:
            require_access(folder)
        except OSError as error:
            raise unreadable(error, folder) from error
        folders[:] = [name for name in folders if name != VIDEOS and not name.startswith(("cropped", "."))]
        found += [Path(folder, name)] if name in files else []
    return sorted(found)


# Human truth


def read_truth(root: Path) -> pd.DataFrame:
    """Where experts saw ambivalence or hesitancy, one row per annotated frame: `TRUTH_COLUMNS`, frames counted from 0.

    Raises:
        InputError: there is no annotation, or several; a video of a split is not annotated, or is twice; frames are not
            numbered in succession from 0 or 1; a label is not 0 or 1; the label of a video is not the highest of its
            frames.
    """
    path = _annotation(root)
    problems: list[Problem] = []
    videos = read_splits(root, problems)
    if problems:
        first = problems[0]
        what = f"a line of the splits can't be used: {first['problem']}"
        row = first["row"] if isinstance(first["row"], int) else None
        raise InputError(what, root / str(first["file"]), row, "list each video once, with its label")
    given = _by_name(_loaded(path), path)
    tables = []
    for video in videos:
        labels = _frame_labels(_of_video(given, video, path), video, path)
        if labels.max(initial=0) != video.label:
            what = f"the split labels {video.clip} as {video.label}, but {int(labels.sum())} of its frames are 1"
            raise InputError(what, path, remedy="use splits and frame annotation of the same release")
        columns = (video.clip, video.partition, np.arange(len(labels)), labels)
        tables.append(pd.DataFrame(dict(zip(TRUTH_COLUMNS, columns, strict=True))))
    return pd.concat(tables, ignore_index=True)


def _annotation(root: Path) -> Path:
    found = _found(root, ANNOTATION)
    if len(found) != 1:
        places = ", ".join(str(path.relative_to(root)) for path in found) or "none"
        what = f"one {ANNOTATION} is needed with the labels of the frames, but there is: {places}"
        raise InputError(what, root, remedy="put that of the release there, once")
    return found[0]


def _loaded(path: Path) -> Mapping[str, Any]:
    with open_text(path) as file:
        try:
            content = SafeLoader(file).get_single_data()
        except yaml.YAMLError as error:
            what = f"not YAML ({' '.join(str(error).split())[:120]})"
            raise InputError(what, path, remedy="restore the file of the release") from error
    if not isinstance(content, dict):
        raise InputError("not a mapping from videos to annotations", path, remedy="restore the file of the release")
    return content


def _by_name(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Name of the video without folders and suffix -> its annotation."""
    named: dict[str, Any] = {}
    for key, annotation in content.items():
        place = PurePosixPath(composed(str(key)))
        name = place.stem if place.suffix.lower() == ".mp4" else place.name
        if name in named:
            raise InputError(f"{brief(name)} is annotated twice", path, remedy="restore the file of the release")
        named[name] = annotation
    return named


def _of_video(given: Mapping[str, Any], video: Video, path: Path) -> list[Any]:
    annotation = given.get(video.clip)
    frames = annotation.get("frame_annotation") if isinstance(annotation, dict) else None
    if not isinstance(frames, list) or not frames:
        what = f"no frame_annotation of {video.clip}, which is in the split {video.partition}"
        raise InputError(what, path, remedy="use splits and frame annotation of the same release")
    return frames


def _frame_labels(frames: list[Any], video: Video, path: Path) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """(n,) label of every frame."""
    labels = np.zeros(len(frames), np.int8)
    first: int | None = None
    for place, entry in enumerate(frames):
        if not isinstance(entry, list) or len(entry) != 2:
            what = f"entry {place} of {video.clip} is {brief(repr(entry))}, not a frame and its label"
            raise InputError(what, path, remedy="restore the file of the release")
        number = NUMBER.search(str(entry[0]))
        if first is None and number is not None:
            first = int(number[1])
        if number is None or first not in (0, 1) or int(number[1]) != first + place:
            what = f"entry {place} of {video.clip} is for the frame {brief(repr(entry[0]))}"
            raise InputError(what, path, remedy="list every frame once, numbered in succession from 0 or from 1")
        if entry[1] not in (0, 1):
            what = f"entry {place} of {video.clip} has the label {brief(repr(entry[1]))}"
            raise InputError(what, path, remedy="write 1 where there is ambivalence or hesitancy, otherwise 0")
        labels[place] = int(entry[1])
    return labels


# Scores of predictions


def read_scores(folder: Path, truth: pd.DataFrame, column: str) -> pd.DataFrame:
    """The column of the predictions `<clip>.csv` of a folder, for the clips of the truth: clip, frame, score.

    Raises:
        InputError: a clip has no predictions, the column is missing, or the numbers of frames differ by more than
            `TOLERANCE`.
    """
    tables = []
    for clip, rows in truth.groupby("clip", sort=True):
        path = folder / f"{clip}.csv"
        if not path.is_file():
            remedy = "predict its video with the pipeline inference, or choose a --partition"
            raise InputError("there are no predictions of this clip", path, remedy=remedy)
        table = pd.read_csv(path)
        if column not in table or "frame" not in table:
            what = f"no column {column!r}; there are {brief(', '.join(map(str, table.columns)), 200)}"
            raise InputError(what, path, 1, "name another --column, or predict with a model that has it")
        if abs(len(table) - len(rows)) > TOLERANCE:
            what = f"{len(table)} predicted frames, but {len(rows)} annotated ones"
            raise InputError(what, path, remedy="check that annotation and video belong together")
        tables.append(pd.DataFrame({"clip": clip, "frame": table["frame"], "score": table[column]}))
    return pd.concat(tables, ignore_index=True)


def main(words: Sequence[str] | None = None) -> None:
    """Write the truth as a table, or score predictions against it."""
    parser = argparse.ArgumentParser(prog="python -m iaca.corpora.bah", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("root", type=Path, help="folder of the release")
    parser.add_argument("--truth", type=Path, help="CSV to write: clip,partition,frame,ambivalent")
    parser.add_argument("--predictions", type=Path, help="folder with <clip>.csv of the pipeline inference")
    parser.add_argument("--column", default="inconsistency", help="of the predictions [inconsistency]")
    parser.add_argument("--partition", choices=PARTITIONS, help="only these clips [all]")
    parser.add_argument("--threshold", type=float, default=0.5, help="from which score on it counts as seen [0.5]")
    given = parser.parse_args(words)
    if given.truth is None and given.predictions is None:
        parser.error("give --truth FILE, --predictions FOLDER, or both")
    with ended_by_errors(parser):
        for line in _answers(given):
            log.info("%s", line)


def _answers(given: argparse.Namespace) -> Iterator[str]:
    truth = read_truth(given.root)
    if given.partition:
        truth = truth[truth["partition"] == given.partition].reset_index(drop=True)
    if given.truth is not None:
        with replacing(given.truth) as partial:
            truth.to_csv(partial, index=False)
        yield f"{len(truth)} frames of {truth['clip'].nunique()} clips in {given.truth}"
    if given.predictions is not None:
        from iaca.evaluation.events import detection_scores  # brings torch, which ingestion does without

        scores = read_scores(given.predictions, truth, given.column)
        for name, value in detection_scores(scores, truth, given.threshold).items():
            yield f"{name}: {value:.4g}"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
