"""The recordings of AVEC 2019, RECOLA, MuSe and ABAW: their files, partitions and subjects, for `iaca.corpora.convert`.

AVEC 2019, cross-cultural emotion (SEWA): one label file per recording, at 10 Hz, with a column per dimension. The
partition is the first part of the name. Numbers restart in each part, so every recording counts as its own subject.

    SOURCE/labels/<Part>_<Language>_<number>.csv      name;timestamp;arousal;valence;liking     names in single quotes
    SOURCE/<features>/<Part>_<Language>_<number>.csv  name, timestamp, then one column per feature

RECOLA, and the AVEC challenges on it: a gold standard at 25 Hz, one folder per dimension. CSV files with the traces of
several annotators are accepted too; `column` then chooses the gold standard: one of them, or `mean`.

    SOURCE/ratings_gold_standard/<dimension>/<recording>.arff     name, frame time (s), GoldStandard
    SOURCE/<features>/<recording>.{arff,csv}                      name, frame time (s), then one column per feature
    SOURCE/partition.csv      clip,partition[,subject]; needed unless names begin with train_, dev_ or test_

MuSe (MuSe-CaR and its successors): labels and features in segments, times in milliseconds.

    SOURCE/label_segments/<dimension>/<id>.csv            timestamp,segment_id,value
    SOURCE/feature_segments/<features>/<id>.csv           timestamp,segment_id, then one column per feature
    SOURCE/partition.csv, or SOURCE/metadata/partition.csv    Id,Proposal, or clip,partition[,subject]

ABAW (Aff-Wild2): the annotation folders of the challenge (`iaca.corpora.affwild2`), one row per video frame, with
features of a team's own. A clip without annotation belongs to the test partition.

    SOURCE/{VA_Estimation,EXPR_Recognition,AU_Detection}_Challenge/..., SOURCE/MTL_Challenge/...
    SOURCE/<features>/<clip>.csv      time (s), then one column per feature
    SOURCE/fps.csv                    clip,fps: frames per second of its video, unless `rate` is that of all
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from iaca.corpora.affwild2 import frame_labels, split_clip
from iaca.corpora.index import USUAL_NAMES, Problem, partition_named, problem
from iaca.errors import InputError, brief, counted
from iaca.files import entries
from iaca.parameters import Parameters
from iaca.text import clip_of, composed, csv_rows, csv_table, dialect_of, number


class ConvertConfig(Parameters):
    """Parameters of a conversion.

    Attributes:
        audio: folder of the acoustic features below SOURCE, one file per recording.
        visual: folder of the visual features.
        labels: folder of the labels; each corpus has its own default.
        valence: name of the column or folder that holds valence.
        arousal: name of the column or folder that holds arousal.
        column: RECOLA, CSV with several annotators: the column to use, or `mean` of all.
        delay: reaction time (s) of the annotators, by which labels are moved to earlier times. 2 to 4 s are usual for
            RECOLA and SEWA; 0 if the labels are already compensated, as in MuSe.
        rate: of the labels (Hz), interpolated linearly; by default they keep their own times. ABAW: frames per second
            of the videos that fps.csv does not list; row i of an annotation is at i / rate.
        features: `keep` their own times, or resample them to those of the labels: the `nearest` row, or the `mean` of
            the rows around each.
        scale: labels are multiplied by this, for a corpus whose scale is not [-1, 1].
    """

    audio: str | None = None
    visual: str | None = None
    labels: str | None = None
    valence: str = "valence"
    arousal: str = "arousal"
    column: str | None = None
    delay: float = Field(default=0.0, ge=0, le=60)
    rate: float | None = Field(default=None, gt=0, le=1000)
    features: Literal["keep", "nearest", "mean"] = "keep"
    scale: float = Field(default=1.0, gt=0)


SUFFIXES = (".csv", ".arff")
CLIP_NAMES, PARTITION_NAMES = ("clip", "id", "name", "file"), ("partition", "proposal", "split", "set")
SUBJECT_NAMES = ("subject", "speaker", "participant")
REMEDY = "write one row per recording below the line clip,partition,subject"


@dataclass(frozen=True)
class Recording:
    """One clip of a corpus.

    Attributes:
        clip, partition, subject: as in partition.csv.
        labels: file and column by `valence` and `arousal`; no column if the file has only one dimension. Empty if the
            clip is not annotated.
        features: file by `audio` and `visual`, if it has one.
        frames: frames per second, and annotation files by kind, of a clip that is annotated by frame.
    """

    clip: str
    partition: str
    subject: str
    labels: dict[str, tuple[Path, str | None]] = field(default_factory=dict)
    features: dict[str, Path] = field(default_factory=dict)
    frames: tuple[float, dict[str, Path]] | None = None

    @property
    def annotated(self) -> bool:
        """Whether there is an annotation of the clip."""
        return bool(self.labels) or self.frames is not None


def feature_files(source: Path, config: ConvertConfig) -> dict[str, dict[str, Path]]:
    """Modality -> recording -> file.

    Raises:
        InputError: a folder is not named, or is missing or without tables.
    """
    return {kind: tables(source, name, kind) for kind, name in (("audio", config.audio), ("visual", config.visual))}


def tables(source: Path, name: str | None, kind: str) -> dict[str, Path]:
    """Recording -> table in the folder `name`.

    Raises:
        InputError: the folder may not be read; or there is none with tables, and the message lists those that have.
    """
    folder = source / name if name else source
    found = {clip_of(path): path for path in entries(folder) if path.suffix.lower() in SUFFIXES}
    if name and found:
        return found
    if not source.is_dir():
        raise InputError("there is no such folder", source, remedy="give the folder of the corpus")
    others = sorted({str(path.parent.relative_to(source)) for s in SUFFIXES for path in source.rglob(f"*{s}")} - {"."})
    what = f"no table of {kind} in {name!r}" if name else f"no folder of {kind} is named"
    remedy = f"give --{kind} one of: {', '.join(others[:20]) or 'no folder contains a table'}"
    raise InputError(what, source, remedy=remedy)


def place(path: Path, source: Path) -> Path:
    """The path of a file for messages: relative to the corpus, if it is inside."""
    return path.relative_to(source) if path.is_relative_to(source) else path


def partition_table(path: Path) -> dict[str, tuple[str, str]]:
    """Recording -> partition and subject, from a table with any of the published column names.

    Raises:
        InputError: a column is missing, a partition is unknown, or two rows of a recording differ.
    """
    rows = [(line, [composed(cell.strip().strip("'")) for cell in cells]) for line, cells in csv_rows(path)]
    names = [name.lower() for name in rows[0][1]] if rows else []
    places = [next((names.index(n) for n in known if n in names), None) for known in (CLIP_NAMES, PARTITION_NAMES)]
    if None in places:
        raise InputError(f"no column named like {CLIP_NAMES[0]} or {PARTITION_NAMES[0]}", path, 1, REMEDY)
    subject = next((names.index(n) for n in SUBJECT_NAMES if n in names), None)
    members: dict[str, tuple[str, str]] = {}
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            raise InputError(
                f"{counted(len(cells), 'cell')}, but the header names {counted(len(names), 'column')}",
                path,
                line,
                REMEDY,
            )
        clip, partition = (cells[i] for i in places if i is not None)
        member = partition_of(partition, path, line), cells[subject] if subject is not None else clip
        if members.setdefault(clip, member) != member:
            what = f"{brief(clip)} is listed twice, with another partition or subject"
            raise InputError(what, path, line, "keep one of its rows")
    return members


def partition_of(name: str, path: Path, line: int | None = None) -> str:
    """Train, validation or test, for any of their usual names."""
    if (partition := partition_named(name)) is None:
        what, remedy = f"{brief(repr(name))} is not a partition", f"write one of {', '.join(USUAL_NAMES)}"
        raise InputError(what, path, line, remedy)
    return partition


def labels_by_dimension(
    source: Path, folder: str, config: ConvertConfig
) -> dict[str, dict[str, tuple[Path, str | None]]]:
    """Recording -> file and column by `valence` and `arousal`, for recordings that have both.

    Raises:
        InputError: the folder of a dimension is missing; the message lists the existing ones.
    """
    found: dict[str, dict[str, Path]] = {}
    for dimension, name in (("valence", config.valence), ("arousal", config.arousal)):
        if not (source / folder / name).is_dir():
            others = sorted(path.name for path in (source / folder).glob("*") if path.is_dir())
            remedy = f"give --{dimension} one of: {', '.join(others) or 'there is none; give --labels another folder'}"
            raise InputError(f"no dimension {name!r}", source / folder, remedy=remedy)
        found[dimension] = tables(source, f"{folder}/{name}", "labels")
    both = set(found["valence"]) & set(found["arousal"])
    return {clip: {kind: (paths[clip], config.column) for kind, paths in found.items()} for clip in sorted(both)}


def avec2019_recordings(source: Path, config: ConvertConfig, problems: list[Problem]) -> list[Recording]:
    """Every recording with features; `problems` receives files whose name gives no partition.

    Raises:
        InputError: a folder is missing.
    """
    labels = tables(source, config.labels or "labels", "labels")
    features = feature_files(source, config)
    found = []
    for clip in sorted(set(labels).union(*features.values())):
        files = {kind: paths[clip] for kind, paths in features.items() if clip in paths}
        known = re.fullmatch(r"(Train|Devel|Test)_[A-Za-z]+_\w+", clip, re.IGNORECASE)
        if known is None or not files:
            what = "no features of this recording" if known else "the name is not <Part>_<Language>_<number>"
            path = labels.get(clip) or next(iter(files.values()))
            problems.append(problem(clip, place(path, source), what, "add them, or remove the file"))
            continue
        named: dict[str, tuple[Path, str | None]] = {}
        if clip in labels:
            named = {"valence": (labels[clip], config.valence), "arousal": (labels[clip], config.arousal)}
        found.append(Recording(clip, partition_of(known[1], source), clip, named, files))
    return found


def muse_recordings(source: Path, config: ConvertConfig, problems: list[Problem]) -> list[Recording]:
    """Every recording of the table of partitions with features; `problems` receives the others.

    Raises:
        InputError: a folder, a dimension or the table of partitions is missing.
    """
    labels = labels_by_dimension(source, config.labels or "label_segments", config)
    features = feature_files(source, config)
    places = (source / "partition.csv", source / "metadata/partition.csv")
    table = next((path for path in places if path.exists()), None)
    if table is None:
        raise InputError("there is no such file", places[0], remedy=REMEDY)
    members = partition_table(table)
    found = []
    for clip in sorted(set(members) | set(labels).union(*features.values())):
        files = {kind: paths[clip] for kind, paths in features.items() if clip in paths}
        if clip not in members or not files:
            what = "no features of this recording" if clip in members else "the recording is in no partition"
            problems.append(problem(clip, place(table, source), what, "add them" if clip in members else REMEDY))
            continue
        found.append(Recording(clip, *members[clip], labels.get(clip, {}), files))
    return found


def recola_recordings(source: Path, config: ConvertConfig, problems: list[Problem]) -> list[Recording]:
    """Every recording with features; `problems` receives those without a partition.

    Raises:
        InputError: a folder or a dimension is missing, or partition.csv is unreadable.
    """
    labels = labels_by_dimension(source, config.labels or "ratings_gold_standard", config)
    features = feature_files(source, config)
    table = source / "partition.csv"
    members = partition_table(table) if table.exists() else {}
    found = []
    for clip in sorted(set(labels).union(*features.values())):
        files = {kind: paths[clip] for kind, paths in features.items() if clip in paths}
        prefix = clip.split("_")[0].lower()
        partition, subject = members.get(clip, (None if members else partition_named(prefix), clip))
        if partition is None or not files:
            what = "no features of this recording" if partition else "the recording is in no partition"
            problems.append(problem(clip, "partition.csv", what, "add them" if partition else REMEDY))
            continue
        found.append(Recording(clip, partition, subject, labels.get(clip, {}), files))
    return found


FPS_FILE = "fps.csv"


def abaw_recordings(source: Path, config: ConvertConfig, problems: list[Problem]) -> list[Recording]:
    """Every clip with features; `problems` receives annotations without features, and clips without a frame rate.

    Raises:
        InputError: a folder is missing, a row of fps.csv is none, or a parameter is given that is of another corpus.
    """
    plain = ConvertConfig(audio=config.audio, visual=config.visual, rate=config.rate, features=config.features)
    if config != plain:
        raise InputError(
            "labels, valence, arousal, column, delay and scale are not of this corpus",
            remedy="give --audio, --visual, --rate and --features alone",
        )
    annotations, features = frame_labels(source, problems), feature_files(source, config)
    rates = _frame_rates(source / FPS_FILE)
    found = []
    for clip in sorted(set(annotations).union(*features.values())):
        files = {kind: paths[clip] for kind, paths in features.items() if clip in paths}
        partition, known = annotations.get(clip, ("test", {}))
        rate = rates.get(clip, rates.get(split_clip(clip)[0], config.rate))
        if not files:
            first = next(iter(known.values()))
            problems.append(problem(clip, place(first, source), "no features of this clip", "add them"))
        elif known and rate is None:
            remedy = "write a row clip,fps, or give --rate if all videos have the same"
            problems.append(problem(clip, FPS_FILE, "the frame rate of the video is not known", remedy))
        else:
            frames = (rate, known) if known and rate is not None else None
            found.append(Recording(clip, partition, split_clip(clip)[0], features=files, frames=frames))
    return found


def _frame_rates(path: Path) -> dict[str, float]:
    """Clip or video -> frames per second; empty without the file."""
    rates: dict[str, float] = {}
    if not path.exists():
        return rates
    decimal_comma = dialect_of(path).decimal_comma
    for line, row in csv_table(path, ("clip", "fps"), "write one row per video below the line clip,fps"):
        try:
            rate = number(row["fps"], decimal_comma)
        except ValueError:
            rate = math.nan
        if not 0 < rate <= 1000:
            what = f"{brief(repr(row['fps']))} is not a number of frames per second"
            raise InputError(what, path, line, "write it as 29.97")
        if rates.setdefault(row["clip"], rate) != rate:
            what = f"{brief(row['clip'])} also has {rates[row['clip']]:g} frames per second"
            raise InputError(what, path, line, "keep one of its rows")
    return rates


@dataclass(frozen=True)
class CorpusReader:
    """How the files of one corpus are read.

    Attributes:
        name: of the corpus, for its card.
        unit_s: unit of its times (s).
        recordings: lists its recordings.
    """

    name: str
    unit_s: float
    recordings: Callable[[Path, ConvertConfig, list[Problem]], list[Recording]]


CORPORA = {
    "avec2019": CorpusReader("AVEC 2019 (SEWA)", 1.0, avec2019_recordings),
    "recola": CorpusReader("RECOLA", 1.0, recola_recordings),
    "muse": CorpusReader("MuSe", 1e-3, muse_recordings),
    "abaw": CorpusReader("ABAW (Aff-Wild2)", 1.0, abaw_recordings),
}
