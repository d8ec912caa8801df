"""Valence and arousal by time or by frame, from the annotation file of one clip. Every faulty row is reported."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, brief, counted, first_faults
from iaca.text import EMPTY, Row, csv_rows, dialect_of, number

LABELS = ("valence", "arousal")
Values = NDArray[np.float32]
Places = NDArray[np.float64]


@dataclass(frozen=True)
class AnnotationFacts:
    """The contents of an annotation file, in numbers.

    Attributes:
        annotated: rows with valence and arousal.
        frames: number of frames up to its last row; None if its rows have times.
        partial: whether it may skip frames.
        faults: one per faulty row, or one for the entire file.
    """

    annotated: int = 0
    frames: int | None = None
    partial: bool = False
    faults: tuple[InputError, ...] = ()


Inspect = Callable[[Path], AnnotationFacts]
"""Reads an annotation file; faults of its content are returned, never raised."""


@dataclass(frozen=True)
class Annotation:
    """Annotated rows in rising order.

    Attributes:
        key: `time_s`, or `frame` (0-based).
        places: (n,) times (s) or frame numbers.
        values: (n, 2) valence and arousal in [-1, 1]; NaN for an empty cell.
    """

    key: str
    places: Places
    values: Values


def read_labels(path: Path) -> Annotation:
    """Read `time_s` or `frame`, `valence`, `arousal`, ignoring other columns. If both are there, the times count.

    Raises:
        InputError: a column is missing or a row is faulty; the first fault, with its line.
    """
    annotation, faults = _parse(path)
    if faults:
        raise faults[0]
    return annotation


def inspect_labels(path: Path) -> AnnotationFacts:
    """Count the annotated rows and collect the faults of an annotation file."""
    annotation, faults = _parse(path)
    frames = int(annotation.places[-1]) + 1 if annotation.key == "frame" and len(annotation.places) else None
    return AnnotationFacts(
        int(np.isfinite(annotation.values).all(1).sum()), None if faults else frames, True, tuple(faults)
    )


def _parse(path: Path) -> tuple[Annotation, list[InputError]]:
    try:
        dialect = dialect_of(path)
        rows = csv_rows(path, dialect)
        names = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
        key = next((name for name in ("time_s", "frame") if name in names), None)
        if key is None or any(name not in names for name in LABELS):
            what = f"the columns are {brief(', '.join(names[:6]))}" if names else "the file is empty"
            raise InputError(what, path, 1, "begin with the line `time_s,valence,arousal` or `frame,valence,arousal`")
        return _annotation(path, rows, names, key, dialect.decimal_comma)
    except InputError as error:  # concerns the entire file
        return Annotation("time_s", np.empty(0), np.empty((0, 2), np.float32)), [error]


def _annotation(
    path: Path, rows: Iterator[Row], names: list[str], key: str, decimal_comma: bool
) -> tuple[Annotation, list[InputError]]:
    columns = [names.index(name) for name in (key, *LABELS)]
    numbers = array("d")  # a tuple per row would take gigabytes for ten million rows

    def faulty() -> Iterator[InputError]:
        last, empty = -math.inf, True
        for line, cells in rows:
            empty = False
            try:
                _require_width(cells, len(names), path, line)
                row = _row([cells[i] for i in columns], key, decimal_comma, last, path, line)
            except InputError as error:
                yield error
            else:
                last = row[0]
                numbers.extend(row)
        if empty:
            yield InputError("no row below the header", path, None, "remove the file, or add rows")

    faults = first_faults(faulty())
    table = np.array(numbers, np.float64).reshape(-1, 3)
    return Annotation(key, table[:, 0], table[:, 1:].astype(np.float32)), faults


def _require_width(cells: list[str], width: int, path: Path, line: int) -> None:
    if len(cells) != width:
        what = f"{counted(len(cells), 'cell')}, but the header names {counted(width, 'column')}"
        raise InputError(what, path, line, "give every row one cell per column")


def _row(
    cells: list[str], key: str, decimal_comma: bool, last: float, path: Path, line: int
) -> tuple[float, float, float]:
    place, valence, arousal = (_number(cell, decimal_comma, path, line) for cell in cells)
    if not 0 <= place < math.inf or (key == "frame" and place != int(place)):
        what = f"{brief(repr(cells[0]), 40)} is not a {'time' if key == 'time_s' else 'frame'}"
        raise InputError(what, path, line, "write the time in the video in seconds, or its frame counted from 0")
    if place <= last:
        raise InputError(f"{key} {place:g} comes after {last:g}", path, line, f"sort the rows, one row per {key}")
    for value in (valence, arousal):
        if abs(value) > 1:
            what = f"{value:g} is outside [-1, 1]"
            raise InputError(what, path, line, "rescale the annotation; leave the cell empty if there is no value")
    return place, valence, arousal


def _number(cell: str, decimal_comma: bool, path: Path, line: int) -> float:
    try:
        return math.nan if cell.strip().lower() in EMPTY else number(cell, decimal_comma)
    except ValueError:
        what = f"{cell[:40]!r} is not a number"
        raise InputError(what, path, line, "write a number, or leave the cell empty") from None
