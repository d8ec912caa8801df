"""The importer of precomputed features: its parameters, its index, and its clips on one clock.

ROOT/features/{audio,visual}/<clip>.csv    time_s, then one column per feature; or .parquet, .safetensors
ROOT/features/quality/<clip>.csv           optional: time_s, then one column per cue
ROOT/labels/<clip>.csv                     time_s,valence,arousal; optional: expression, au1 ... au26
ROOT/partition.csv                         clip,partition[,subject]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from iaca.corpora.check import failure
from iaca.corpora.index import (
    COUNT,
    DOUBTFUL,
    LEFT_OUT,
    NOTED,
    PARTITION_FILE,
    STOPS,
    CorpusIndex,
    Problem,
    meant,
    problem,
    read_partitions,
    require_exact_names,
)
from iaca.corpora.timeline import (
    TOLERANCE,
    counts,
    mismatch,
    nearest,
    read_timeline_facts,
    spans,
    unit_problem,
    write_timeline,
)
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, Dtype, write_embedding
from iaca.engine import ClipPaths
from iaca.engine.task import FileCache
from iaca.errors import InputError, counted
from iaca.files import entries
from iaca.formats.labels import EXPRESSIONS, LABELS, MISSING, TASK_COLUMNS, UNITS, WIDTH
from iaca.formats.tables import SUFFIXES, Table, columns_of, read_head, read_table
from iaca.parameters import LONGEST_S, MODALITIES, Modality, Parameters
from iaca.text import clip_of

VERSION = "4"
METADATA = {"visual_encoder": "features", "audio_encoder": "features", "embedding_version": "2"}
SAME_CLOCK = "write all times in seconds from the same moment"
FOLDERS = {"audio": "features/audio", "visual": "features/visual", "labels": "labels", "quality": "features/quality"}
NOTHING = {"audio": "no sound", "visual": "no face"}
FEWEST_COUNTED = 5  # rows from which a column that counts is not a coincidence
FACTS = ("frames", "annotated", "first_s", "last_s", "has_audio", "audio_present", "face_found")


class FeaturesConfig(Parameters):
    """Parameters of the importer `features`.

    Attributes:
        importer: set by the environment; see `iaca.pipelines.ingestion.nodes`.
        root: folder of the corpus, as given on the command line; the catalog's `corpus` reads it.
        tolerance_s: largest distance (s) at which a row counts for a step. By default half the longer of two median
            steps, that of the clip's clock and that of the table.
    """

    importer: Literal["features"] = "features"
    root: str | None = Field(default=None, min_length=1)
    tolerance_s: float | None = Field(default=None, gt=0, le=LONGEST_S)


# The index


def index_features(root: Path) -> CorpusIndex:
    """List the clips of a corpus, reading only their labels and the heads of their other files.

    A clip that lacks one modality is kept, with that modality absent throughout. All clips must have the columns that
    most clips have; a clip with others is left out.

    Returns:
        The clips, with `audio`, `visual`, `labels` and `quality` (paths relative to the root; empty without such a
        file) and `annotated` (rows), and the problems, including those that stop the run.

    Raises:
        InputError: partition.csv is missing, or it or a folder can't be read.
    """
    require_exact_names(root)
    problems: list[Problem] = []
    clips = read_partitions(root / PARTITION_FILE, problems)
    listed = set(clips["clip"])
    files = {kind: _files(root, kind, listed, problems) for kind in FOLDERS}
    _report_unlisted(root, listed, files, problems)
    clips = _with_features(clips, files, problems)
    for kind in FOLDERS:
        clips[kind] = [str(path.relative_to(root)) if path else "" for path in map(files[kind].get, clips["clip"])]
    for kind in FOLDERS:
        clips = _alike(root, clips, kind, problems)
    _report_unlabelled(clips, problems)
    clips[COUNT] = [_annotated(root / name) if name else 0 for name in clips["labels"]]
    if clips.empty:
        remedy = "put the features of each clip of partition.csv into features/audio and features/visual"
        if problems:
            remedy = f"fix the other problems, or {remedy}"
        problems.append(problem("", ".", "no clip can be used", remedy, effect=STOPS))
    return CorpusIndex(clips.sort_values("clip", ignore_index=True), problems)


def feature_widths(root: Path, clips: pd.DataFrame) -> dict[str, int]:
    """Number of `audio` and of `visual` features, the same in all clips of an index.

    Raises:
        InputError: no clip has features of one of them.
    """
    widths: dict[str, int] = {}
    for kind in MODALITIES:
        names = [name for name in clips[kind] if name]
        if not names:
            remedy = "add features of both modalities; a model of one modality needs the width of the other too"
            raise InputError(f"no clip has {kind} features", root / FOLDERS[kind], remedy=remedy)
        widths[kind] = len(columns_of(root / names[0]))
    return widths


def _files(root: Path, kind: str, listed: set[str], problems: list[Problem]) -> dict[str, Path]:
    """Clip -> its file of this kind. If it has several formats, the first counts.

    A file that is not a table (`CLIP.xlsx`, `CLIP.csv.gz`) is that of a listed clip without a table: its head will be
    refused. All others are ignored.
    """
    found, others = dict[str, Path](), dict[str, Path]()
    for path in entries(root / FOLDERS[kind]):
        if path.suffix.lower() not in SUFFIXES:
            others |= {clip: path for clip in (clip_of(path), clip_of(Path(path.stem))) if clip in listed}
            continue
        clip = clip_of(path)
        if clip in found:
            what = f"the clip has another file of this kind: {found[clip].name}"
            remedy = "remove one of them; the other counts"
            problems.append(problem(clip, path.relative_to(root), what, remedy, effect=NOTED))
            continue
        found[clip] = path
    return others | found


def _report_unlisted(root: Path, listed: set[str], files: dict[str, dict[str, Path]], problems: list[Problem]) -> None:
    unlisted: dict[str, Path] = {}
    for paths in files.values():
        unlisted = {clip: path for clip, path in paths.items() if clip not in listed} | unlisted
    for clip in sorted(set(unlisted) - {row["clip"] for row in problems}):
        remedy = f"give the clip a row in {PARTITION_FILE}, or remove its files"
        problems.append(problem(clip, unlisted[clip].relative_to(root), "the clip is in no partition", remedy))


def _with_features(clips: pd.DataFrame, files: dict[str, dict[str, Path]], problems: list[Problem]) -> pd.DataFrame:
    """Clips with at least one modality; a missing modality is reported."""
    used = []
    for clip in clips["clip"]:
        missing = [kind for kind in MODALITIES if clip not in files[kind]]
        used.append(len(missing) < 2)
        effect = "counts as absent throughout" if used[-1] else "is empty"
        near = None if used[-1] else meant(clip, {*files["audio"], *files["visual"]})
        remedy = f"write {near} in {PARTITION_FILE}" if near else "put a table of the clip's name there"
        for kind in missing:
            what = f"no {kind} features: the {'modality' if used[-1] else 'clip'} {effect}"
            kept = NOTED if used[-1] else LEFT_OUT
            problems.append(problem(clip, FOLDERS[kind], what, remedy, effect=kept))
    return clips[np.array(used, np.bool_)].reset_index(drop=True)


def _report_unlabelled(clips: pd.DataFrame, problems: list[Problem]) -> None:
    for clip, partition in clips.loc[clips["labels"] == "", ["clip", "partition"]].itertuples(index=False):
        what = f"no labels: a {partition} clip that is only predicted"
        remedy = "none for a test clip; to train on it, put a table of the clip's name there"
        problems.append(problem(clip, FOLDERS["labels"], what, remedy, effect=NOTED))


def _annotated(path: Path) -> int:
    """Rows of a table of labels with both values, cached while the file stays unchanged. A table that can't be read
    counts as annotated here: what is wrong with it is reported when its clip is read."""
    cache = FileCache(f"annotated rows, {VERSION}", path)
    if (cached := cache.get()) is not None:
        return int(cached)
    try:
        rows = int(np.isfinite(_annotation(read_table(path), 0)).all(axis=1).sum())
    except InputError:
        return 1
    cache.set(str(rows))
    return rows


def _alike(root: Path, clips: pd.DataFrame, kind: str, problems: list[Problem]) -> pd.DataFrame:
    """Clips whose file of this kind has the columns of most clips; the others are reported."""
    heads = {clip: _head(root, clip, name, problems) for clip, name in zip(clips["clip"], clips[kind], strict=True)}
    counted = Counter(names for names in heads.values() if names)
    expected = LABELS if kind == "labels" else counted.most_common(1)[0][0] if counted else ()
    used = []
    for clip, name in zip(clips["clip"], clips[kind], strict=True):
        wrong = None if heads[clip] is None else _difference(heads[clip] or (), expected, kind)
        used.append(heads[clip] is not None and wrong is None)
        if wrong:
            remedy = "give all clips the same columns in the same order; this one is left out"
            problems.append(problem(clip, name or FOLDERS[kind], wrong, remedy, 1 if name else None))
    return clips[np.array(used, np.bool_)].reset_index(drop=True)


def _head(root: Path, clip: str, name: str, problems: list[Problem]) -> tuple[str, ...] | None:
    """Columns of a clip's file; empty without a file, None if the file is unreadable, which is reported."""
    if not name:
        return ()
    try:
        columns, left_out = read_head(root / name)
    except InputError as error:
        problems.append(problem(clip, name, error.problem, error.remedy or "", error.row))
        return None
    if left_out:
        what = f"columns left out: {', '.join(map(repr, left_out))} number the rows or repeat the time"
        remedy = "none, if they are no features; otherwise rename them"
        problems.append(problem(clip, name, what, remedy, 1, effect=NOTED))
    return columns


def _difference(names: tuple[str, ...], expected: tuple[str, ...], kind: str) -> str | None:
    """The difference of a clip's columns from the expected ones, if there is one."""
    if not names:
        return "the clip has no cues, but others have" if kind == "quality" and expected else None
    if missing := [name for name in expected if name not in names]:
        if kind == "labels":
            return f"the column {missing[0]!r} is missing"
        return f"{counted(len(names), 'column')} instead of {len(expected)}: {missing[0]!r} is missing"
    if kind == "labels":
        return None
    if len(names) > len(expected):
        extra = next(name for name in names if name not in expected)
        return f"{counted(len(names), 'column')} instead of {len(expected)}: {extra!r} is one too many"
    return "the columns are in another order than in the other clips" if names != expected else None


# One clip on one clock


def align_file(
    *files: Path,
    target: Path,
    kinds: tuple[str, ...],
    widths: Mapping[str, int],
    tolerance_s: float | None,
    dtype: Dtype = "float32",
) -> None:
    """Engine task: read the tables of a clip, write its embeddings. Its annotation is checked, but not written.

    Args:
        files: the tables of the clip.
        target: the safetensors file.
        kinds: of each table: `audio`, `visual`, `labels` or `quality`.
        widths: columns of `audio` and `visual`, for clips that lack one.
        tolerance_s: largest distance (s) of a row from its step.
        dtype: of the rows.
    """
    write_embedding(read_clip(dict(zip(kinds, files, strict=True)), widths, tolerance_s).embedding, target, dtype)


def build_timeline(
    *files: Path, target: Path, kinds: tuple[str, ...], widths: Mapping[str, int], tolerance_s: float | None
) -> None:
    """Engine task: read the tables of a clip as `align_file` does, write its timeline (Parquet) with presence.

    The table's `attrs` contain `facts_of` the clip.
    """
    write_clip_timeline(read_clip(dict(zip(kinds, files, strict=True)), widths, tolerance_s), target)


def write_clip_timeline(clip: AnnotatedClip, target: Path) -> None:
    """Write the timeline (Parquet) of an annotated clip."""
    seen = clip.embedding
    presence = {"face_found": seen.face_found, "audio_present": seen.audio_present}
    write_timeline(target, seen.time_s, clip.labels, facts_of(clip), presence, clip.tasks)


def facts_of(clip: AnnotatedClip) -> dict[str, object]:
    """Which modalities a clip has, at which share of its steps; at how many steps all features of a present one are
    zero; and `notes`: pairs of an oddity and its remedy."""
    return {
        "has_audio": bool(clip.embedding.audio_present.any()),
        "audio_present": float(clip.embedding.audio_present.mean()),
        "face_found": float(clip.embedding.face_found.mean()),
        "zeros": {kind: _zeros(clip.embedding, kind) for kind in MODALITIES},
        "notes": _lengths(clip),
    }


def read_clip(files: Mapping[str, Path], widths: Mapping[str, int], tolerance_s: float | None = None) -> AnnotatedClip:
    """Bring the tables of a clip onto one clock.

    Steps are the times of the labels; without labels those of the visual features, or else of the audio features. A
    modality is present at a step if it has a row within the tolerance. Streams of another rate are resampled to the
    nearest row. Cues are context, not observation: the nearest row counts at any distance.

    Args:
        files: tables by `audio`, `visual`, `labels`, `quality`; at least one of the first two.
        widths: columns of `audio` and `visual`, for clips that lack one.
        tolerance_s: largest distance (s) of a row from its step; by default half the longer of the two median steps.

    Raises:
        InputError: a table is unreadable; a feature or cue is NaN or infinite; a label is outside [-1, 1], or is not a
            class or unit; times are not in seconds, or hardly overlap.
    """
    tables = {kind: read_table(path) for kind, path in files.items()}
    for kind in ("audio", "visual", "quality"):
        _check_finite(tables.get(kind))
        _check_informative(tables.get(kind))
    timed = next(tables[kind] for kind in ("labels", "visual", "audio") if kind in tables)
    clock = timed.times
    audio, audio_present = _on_clock(tables.get("audio"), clock, widths["audio"], tolerance_s)
    visual, face_found = _on_clock(tables.get("visual"), clock, widths["visual"], tolerance_s)
    quality, quality_names = _cues(tables.get("quality"), clock)
    if wrong := unit_problem(clock):
        raise InputError(f"the times do not fit: {wrong}", timed.file, remedy=SAME_CLOCK)
    embedding = ClipEmbedding(
        audio=audio,
        visual=visual,
        audio_present=audio_present,
        face_found=face_found,
        time_s=clock,
        quality=quality,
        quality_names=quality_names,
        metadata=METADATA,
    )
    labels = tables.get("labels")
    return AnnotatedClip(embedding, _annotation(labels, len(clock)), None if labels is None else _tasks(labels))


def _on_clock(
    table: Table | None, clock: NDArray[np.float64], width: int, tolerance: float | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features (t, width), zero where absent, and presence (t,)."""
    if table is None:
        return np.zeros((len(clock), width), np.float32), np.zeros(len(clock), np.bool_)
    index, present = nearest(table.times, clock, tolerance)
    if not present.any():
        what = f"no row is near enough to a step: {spans(table.times, clock)}"
        raise InputError(what, table.file, remedy=SAME_CLOCK)
    if wrong := mismatch(table.times, clock, tolerance):
        raise InputError(f"the times do not fit: {wrong}", table.file, remedy=SAME_CLOCK)
    return np.where(present[:, None], table.values[index], np.float32(0)), present


def _cues(table: Table | None, clock: NDArray[np.float64]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Cues (t, q) and their names."""
    if table is None:
        return np.empty((len(clock), 0), np.float32), ()
    if wrong := mismatch(table.times, clock, np.inf):
        raise InputError(f"the times do not fit: {wrong}", table.file, remedy=SAME_CLOCK)
    return table.values[nearest(table.times, clock)[0]], table.names


def _annotation(table: Table | None, steps: int) -> NDArray[np.float32]:
    """(t, 2) valence and arousal; NaN where not annotated."""
    if table is None:
        return np.full((steps, 2), np.nan, np.float32)
    values = table.values[:, [table.names.index(name) for name in LABELS]]
    outside = np.argwhere(np.abs(values) > 1)
    if len(outside):
        row, column = (int(i) for i in outside[0])
        raise InputError(
            f"{LABELS[column]} {values[row, column]:g} is outside [-1, 1]", table.file, table.line(row),
            "rescale the annotation; leave the cell empty if a step is not annotated",
        )  # fmt: skip
    return values


def _tasks(table: Table) -> NDArray[np.float32] | None:
    """(t, 13) expression and action units, NaN where empty or -1; None if the table has no column of them."""
    named = [name for name in TASK_COLUMNS if name in table.names]
    if not named:
        return None
    values = np.full((len(table.times), WIDTH), np.nan, np.float32)
    values[:, [TASK_COLUMNS.index(name) for name in named]] = table.values[:, [table.names.index(n) for n in named]]
    values[values == MISSING] = np.nan
    largest = np.array([len(EXPRESSIONS) - 1, *(1 for _ in UNITS)])
    wrong = np.argwhere(~np.isnan(values) & ~((values == np.floor(values)) & (values >= 0) & (values <= largest)))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise InputError(
            f"{TASK_COLUMNS[column]} {values[row, column]:g} is not an integer from 0 to {largest[column]}", table.file,
            table.line(row), "write the challenge's classes; leave the cell empty if a step is not annotated",
        )  # fmt: skip
    return values


def _check_finite(table: Table | None) -> None:
    if table is None or np.isfinite(table.values).all():
        return
    row, column = (int(i) for i in np.argwhere(~np.isfinite(table.values))[0])
    raise InputError(
        f"{table.values[row, column]} in column {table.names[column]!r}", table.file, table.line(row),
        "remove the row: a modality without a row counts as absent at that time",
    )  # fmt: skip


def _check_informative(table: Table | None) -> None:
    """Reject a column that counts the rows or repeats the time: from it a model learns when, not what."""
    if table is None or len(table.times) < FEWEST_COUNTED:
        return
    counting = (np.diff(table.values, axis=0) == 1).all(axis=0)
    counting |= np.isclose(table.values, table.times[:, None], rtol=1e-6, atol=0).all(axis=0)
    if len(found := np.flatnonzero(counting)):
        what = f"column {table.names[found[0]]!r} counts the rows or repeats the time"
        raise InputError(what, table.file, 1, "remove the column from all clips: a model would learn the time from it")


def _zeros(clip: ClipEmbedding, kind: Modality) -> int:
    """Steps at which a modality counts as present and all its features are exactly zero, as many extractors write them
    where they find no face. A single feature may well be zero."""
    rows, present = (clip.visual, clip.face_found) if kind == "visual" else (clip.audio, clip.audio_present)
    return int((present & ~rows.any(axis=1)).sum()) if rows.shape[1] > 1 else 0


def _lengths(clip: AnnotatedClip) -> list[tuple[str, str]]:
    """A note on annotated steps before the first or after the last features, if there are more than a few."""
    observed = np.flatnonzero(clip.embedding.observed)
    annotated = np.flatnonzero(np.isfinite(clip.labels).all(axis=1))
    outside = int(((annotated < observed[0]) | (annotated > observed[-1])).sum())
    if outside <= TOLERANCE:
        return []
    span = " to ".join(f"{clip.embedding.time_s[i]:g}" for i in (observed[0], observed[-1]))
    what = f"{outside} annotated steps lie outside the features, which run from {span} s"
    return [(what, "check that labels and features belong together; those steps have neither audio nor face")]


# All clips


def clip_table(clip_index: pd.DataFrame, timelines: ClipPaths, root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Clips that have a timeline, with the columns `FACTS`; and the problems of the others.

    Args:
        clip_index: from `index_features`.
        timelines: clip -> its timeline; and the reasons of failures.
        root: of the corpus; problems name files relative to it.
    """
    rows, problems = [], []
    for row in clip_index.drop(columns=COUNT, errors="ignore").to_dict("records"):
        clip = str(row["clip"])
        if clip in timelines:
            facts = read_timeline_facts(timelines.whole(clip))
            rows.append(row | {name: facts[name] for name in FACTS})
            problems += _noted(row, facts)
        else:
            problems.append(failure(clip, timelines.failures.get(clip, "its timeline is missing"), root))
    return pd.DataFrame(rows, columns=[*clip_index.columns.drop(COUNT, errors="ignore"), *FACTS]), problems


def read_through(root: Path, clip_index: pd.DataFrame, tolerance_s: float | None) -> tuple[pd.DataFrame, list[Problem]]:
    """As `clip_table`, read directly from the tables: all problems of a corpus for which the run stops."""
    rows, problems = [], []
    for row in clip_index.drop(columns=COUNT, errors="ignore").to_dict("records"):
        files = {kind: root / row[kind] for kind in FOLDERS if row[kind]}
        try:
            widths = {str(kind): len(columns_of(files[kind])) if kind in files else 0 for kind in MODALITIES}
            clip = read_clip(files, widths, tolerance_s)
            facts = counts(clip.embedding.time_s, clip.labels) | facts_of(clip)
            rows.append(row | {name: facts[name] for name in FACTS})
            problems += _noted(row, facts)
        except InputError as error:
            problems.append(failure(str(row["clip"]), str(error), root))
    return pd.DataFrame(rows, columns=[*clip_index.columns.drop(COUNT, errors="ignore"), *FACTS]), problems


def _noted(row: Mapping[Hashable, Any], facts: Mapping[str, Any]) -> list[Problem]:
    clip = str(row["clip"])
    found = [problem(clip, str(row["labels"]), what, remedy, effect=NOTED) for what, remedy in facts["notes"]]
    for kind, count in facts["zeros"].items():
        if count:
            steps = counted(facts["frames"], "step")
            what = f"all {kind} features are zero at {count:,} of {steps}, where they count as present"
            remedy = (
                f"if nothing was observed there ({NOTHING[kind]}), remove these rows: a missing row counts as absent"
            )
            found.append(problem(clip, str(row[kind]), what, remedy, effect=DOUBTFUL))
    return found
