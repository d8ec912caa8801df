"""One clip of features on one clock: its steps, what was there at each, and its annotation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iaca.corpora.features.layout import LABELS
from iaca.corpora.features.tables import Table, read_table
from iaca.corpora.timeline import TOLERANCE, write_timeline
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, write_embedding
from iaca.errors import InputError

VERSION = "2"
METADATA = {"visual_encoder": "features", "audio_encoder": "features", "embedding_version": VERSION}
ROUNDING_S = 1e-6  # times that were written with few decimals still meet their step


def align_file(
    *files: Path, target: Path, kinds: tuple[str, ...], widths: Mapping[str, int], tolerance_s: float | None
) -> None:
    """The engine's task: read a clip's tables, write its embeddings. Its annotation is checked, and goes no further.

    Args:
        files: the tables of the clip.
        target: the safetensors file.
        kinds: what each of them holds: `audio`, `visual`, `labels` or `quality`.
        widths: columns of `audio` and `visual`, for clips that lack one.
        tolerance_s: how far a row may lie from its step.
    """
    write_embedding(read_clip(dict(zip(kinds, files, strict=True)), widths, tolerance_s).embedding, target)


def build_timeline(
    *files: Path, target: Path, kinds: tuple[str, ...], widths: Mapping[str, int], tolerance_s: float | None
) -> None:
    """The engine's task: read a clip's tables as `align_file` does, write its timeline (Parquet), presence included.

    What `facts_of` says of the clip travels in the table's `attrs`.
    """
    write_clip_timeline(read_clip(dict(zip(kinds, files, strict=True)), widths, tolerance_s), target)


def write_clip_timeline(clip: AnnotatedClip, target: Path) -> None:
    """Write the timeline (Parquet) of an annotated clip whose presence is known."""
    seen = clip.embedding
    presence = {"face_found": seen.face_found, "audio_present": seen.audio_present}
    write_timeline(target, seen.time_s, clip.labels, facts_of(clip), presence)


def facts_of(clip: AnnotatedClip) -> dict[str, object]:
    """Which modalities a clip has, at which share of its steps, and `notes`: pairs of what is odd and its remedy."""
    return {
        "has_audio": bool(clip.embedding.audio_present.any()),
        "audio_present": float(clip.embedding.audio_present.mean()),
        "face_found": float(clip.embedding.face_found.mean()),
        "notes": _lengths(clip),
    }


def read_clip(files: Mapping[str, Path], widths: Mapping[str, int], tolerance_s: float | None = None) -> AnnotatedClip:
    """Bring the tables of a clip onto one clock.

    Steps are the times of the labels; without labels those of the visual, or else of the audio features. A modality is
    present at a step if it has a row within the tolerance, and the nearest one counts: streams of another rate are
    resampled to the nearest row. Cues are context, not observation: the nearest row counts however far it is.

    Args:
        files: tables by `audio`, `visual`, `labels`, `quality`; at least one of the first two.
        widths: columns of `audio` and `visual`, for clips that lack one.
        tolerance_s: how far (s) a row may lie from its step; by default half the longer of the two median steps.

    Raises:
        InputError: a table is broken; a feature or cue is NaN or infinite; a label is outside [-1, 1].
    """
    tables = {kind: read_table(path) for kind, path in files.items()}
    for kind in ("audio", "visual", "quality"):
        _check_finite(tables.get(kind))
    clock = next(tables[kind] for kind in ("labels", "visual", "audio") if kind in tables).times
    audio, audio_present = _on_clock(tables.get("audio"), clock, widths["audio"], tolerance_s)
    visual, face_found = _on_clock(tables.get("visual"), clock, widths["visual"], tolerance_s)
    cues = tables.get("quality")
    embedding = ClipEmbedding(
        audio=audio,
        visual=visual,
        audio_present=audio_present,
        face_found=face_found,
        time_s=clock,
        quality=np.empty((len(clock), 0), np.float32) if cues is None else cues.values[_nearest(cues.times, clock)],
        quality_names=() if cues is None else cues.names,
        metadata=METADATA,
    )
    return AnnotatedClip(embedding, _annotation(tables.get("labels"), len(clock)))


def _on_clock(
    table: Table | None, clock: NDArray[np.float64], width: int, tolerance: float | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features (t, width), zero where absent, and presence (t,)."""
    if table is None:
        return np.zeros((len(clock), width), np.float32), np.zeros(len(clock), np.bool_)
    if tolerance is None:
        tolerance = max(_median_step(clock), _median_step(table.times)) / 2
    index = _nearest(table.times, clock)
    present = np.abs(table.times[index] - clock) <= tolerance + ROUNDING_S
    if not present.any():
        what = f"no row within {tolerance:g} s of a step: steps from {clock[0]:g} to {clock[-1]:g} s, rows from "
        what += f"{table.times[0]:g} to {table.times[-1]:g} s"
        raise InputError(what, table.file, remedy="write all times in seconds from the same moment")
    return np.where(present[:, None], table.values[index], np.float32(0)), present


def _nearest(times: NDArray[np.float64], clock: NDArray[np.float64]) -> NDArray[np.intp]:
    """(t,) index of the row nearest to each step; of two equally near the earlier."""
    after = np.searchsorted(times, clock).clip(1, max(len(times) - 1, 1))
    before = after - 1
    after = after.clip(0, len(times) - 1)
    return np.where(clock - times[before] <= times[after] - clock, before, after)


def _median_step(times: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


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
            "rescale the annotation; leave the cell empty where a step is not annotated",
        )  # fmt: skip
    return values


def _check_finite(table: Table | None) -> None:
    if table is None or np.isfinite(table.values).all():
        return
    row, column = (int(i) for i in np.argwhere(~np.isfinite(table.values))[0])
    raise InputError(
        f"{table.values[row, column]} in column {table.names[column]!r}", table.file, table.line(row),
        "remove the row: a modality without a row is taken for absent at that time",
    )  # fmt: skip


def _lengths(clip: AnnotatedClip) -> list[tuple[str, str]]:
    """Annotated steps before the first or after the last features, where there are more than a few."""
    seen = np.flatnonzero(clip.embedding.observed)
    annotated = np.flatnonzero(np.isfinite(clip.labels).all(axis=1))
    outside = int(((annotated < seen[0]) | (annotated > seen[-1])).sum())
    if outside <= TOLERANCE:
        return []
    span = " to ".join(f"{clip.embedding.time_s[i]:g}" for i in (seen[0], seen[-1]))
    what = f"{outside} annotated steps lie outside of the features, which run from {span} s"
    return [(what, "check that labels and features belong together; those steps have neither voice nor face")]
