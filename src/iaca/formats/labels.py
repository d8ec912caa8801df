"""Label files: a table of valence and arousal per clip, Aff-Wild2's text formats, and the table of known events.

Every faulty row of annotation is reported, and the first one of events. Aff-Wild2's formats have a header, then a row
per video frame:

    valence,arousal                             two numbers in [-1, 1]; -5 in either column: not annotated
    Neutral,Anger,...,Surprise,Other            one class, 0 to 7; -1: not annotated
    AU1,AU2,AU4,...,AU26                        0 or 1 for each action unit; -1: that unit is not annotated
    image,valence,arousal,expression,aus        the multi-task challenge: any clips and frames, in one file

Predictions in these formats have a value in every row. A byte order mark, Windows line ends, capitals in the header and
blanks around a number are accepted; anything else is a fault.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.errors import InputError, brief, counted, first_faults
from iaca.parameters import MODALITIES
from iaca.text import EMPTY, Row, composed, csv_rows, csv_table, dialect_of, number, read_text

LABELS = ("valence", "arousal")
EVENT_COLUMNS = ("clip", "modality", "kind", "start_s", "end_s")
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


# Aff-Wild2

Array = NDArray[np.float64]
UNANNOTATED = -5.0
MISSING = -1.0  # of an expression or an action unit
BLOCK = 65536  # rows
LOCATION = re.compile(r"([^/]+)/(\d{1,9})\.(?:jpg|png)")

EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
"""Names of the classes 0 to 7."""
UNITS = tuple(f"au{number}" for number in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))
"""The action units, in the order of the challenge."""
TASK_COLUMNS = ("expression", *UNITS)
"""In timelines, tables of labels and predictions: class and units."""
WIDTH = len(TASK_COLUMNS)
MULTITASK = ("image", "valence", "arousal", "expression")
"""First columns of the multi-task challenge's files; the action units follow, as one name `aus` or as twelve."""


def read_annotation(path: Path) -> NDArray[np.float32]:
    """Valence and arousal per frame, (rows, 2) float32; NaN in both if either column is -5.

    Raises:
        InputError: the header or a row does not follow the format; with its line.
    """
    labels, faults = parse_annotation(path)
    if faults:
        raise faults[0]
    return labels.astype(np.float32)


def parse_annotation(path: Path) -> tuple[Array, list[InputError]]:
    """(rows, 2) valence and arousal, NaN where a row is not annotated or faulty; and the faults in line order."""
    return _parse_pairs(path, "write -5 for a frame that is not annotated", UNANNOTATED)


def parse_prediction(path: Path) -> tuple[Array, list[InputError]]:
    """(rows, 2) predicted valence and arousal, NaN where a row is faulty; and the faults in line order."""
    values, faults = _parse_pairs(path, "predict every frame, with values in [-1, 1]")
    if not len(values) and not faults:
        faults.append(InputError("there is no row below the header", path, 2, "write a row per frame"))
    return values, faults


def parse_expressions(path: Path) -> tuple[Array, list[InputError]]:
    """(rows, 1) class 0 to 7, NaN where a row is not annotated or faulty; and the faults in line order."""
    return _parse_classes(path, EXPRESSIONS, len(EXPRESSIONS) - 1, 1)


def parse_units(path: Path) -> tuple[Array, list[InputError]]:
    """(rows, 12) 0 or 1, NaN where a unit is not annotated or a row is faulty; and the faults in line order."""
    return _parse_classes(path, UNITS, 1, len(UNITS))


def _parse_classes(path: Path, names: Sequence[str], largest: int, width: int) -> tuple[Array, list[InputError]]:
    """(rows, width) integers from 0 to `largest`, NaN for -1, below a header of `names`."""
    try:
        lines = read_text(path).rstrip().split("\n")
    except InputError as error:
        return np.empty((0, width)), [error]
    if [cell.strip().lower() for cell in lines[0].split(",", len(names))] != list(names):
        what = f"the first line does not name {names[0]}, ..., {names[-1]}" if lines != [""] else "the file is empty"
        return np.empty((0, width)), [InputError(what, path, 1, "write the organisers' header and rows")]
    values = np.full((len(lines) - 1, width), np.nan)

    def faulty() -> Iterator[InputError]:
        for index, line in enumerate(lines[1:]):
            try:
                values[index] = classes(line.split(",", width), largest, width)
            except ValueError as error:
                remedy = f"write -1 for what is not annotated, otherwise {'0 or 1' if largest == 1 else '0 to 7'}"
                yield InputError(f"a row with {error}: {line[:40]!r}", path, index + 2, remedy)

    return values, first_faults(faulty())


def classes(cells: Sequence[str], largest: int, width: int) -> Array:
    """(width,) integers from 0 to `largest`; NaN for -1.

    Raises:
        ValueError: another number of cells, or a cell is something else; the message says which values are allowed.
    """
    allowed = f"other than {f'{width} values' if width > 1 else 'one value'} out of -1 and 0 to {largest}"
    try:
        row = np.array([number(cell) for cell in cells])
    except ValueError:
        raise ValueError(allowed) from None
    if len(row) != width or not ((row == np.floor(row)) & (row >= MISSING) & (row <= largest)).all():
        raise ValueError(allowed)
    row[row == MISSING] = np.nan
    return row


@dataclass(frozen=True)
class MultitaskRows:
    """The rows of one clip in a file of the multi-task challenge.

    Attributes:
        frames: (n,) 0-based, in the order of the file.
        valence_arousal: (n, 2) in [-1, 1]; NaN where not annotated.
        tasks: (n, 13) the columns `TASK_COLUMNS`; NaN where not annotated.
        faults: of the clip's rows, in line order.
    """

    frames: NDArray[np.int64]
    valence_arousal: Array
    tasks: Array
    faults: tuple[InputError, ...] = ()


def read_multitask(path: Path, clip: str | None = None) -> dict[str, MultitaskRows]:
    """Clip -> its rows in a file of the multi-task challenge; of one clip if it is named.

    Raises:
        InputError: the header is another, or a row names no image.
    """
    lines = read_text(path).rstrip().split("\n")
    head = [cell.strip().lower() for cell in lines[0].split(",", len(MULTITASK) + len(UNITS))]
    if head[: len(MULTITASK)] != list(MULTITASK) or head[len(MULTITASK) :] not in (["aus"], list(UNITS)):
        remedy = "write the organisers' header and rows"
        raise InputError(f"the first line is not `{','.join(MULTITASK)},aus`", path, 1, remedy)
    rows: dict[str, list[tuple[int, str, str]]] = {}
    for line, text in enumerate(lines[1:], start=2):
        location, _, cells = text.partition(",")
        match = LOCATION.fullmatch(location.strip())
        if match is None or int(match[2]) < 1:
            raise InputError(f"not an image location: {location[:40]!r}", path, line, "write `clip/00001.jpg`")
        name = composed(match[1])
        if clip is None or name == clip:
            rows.setdefault(name, []).append((line, match[2], cells))
    return {name: _multitask_rows(path, own) for name, own in rows.items()}


def _multitask_rows(path: Path, rows: list[tuple[int, str, str]]) -> MultitaskRows:
    """The rows of a clip, from line, number of the image, and the other cells."""
    frames = np.array([int(image) - 1 for _, image, _ in rows])
    values = np.full((len(rows), 2 + WIDTH), np.nan)
    seen: dict[int, int] = {}

    def faulty() -> Iterator[InputError]:
        for index, (line, image, text) in enumerate(rows):
            try:
                values[index] = _multitask_row(text.split(",", 2 + WIDTH))
            except ValueError as error:
                remedy = "write -5 for valence and arousal, and -1 for a class or unit, that is not annotated"
                yield InputError(f"a row with {error}: {text[:60]!r}", path, line, remedy)
            if int(image) in seen:
                what = f"image {image} of this clip was on line {seen[int(image)]} already"
                yield InputError(what, path, line, "keep one row per image")
            seen[int(image)] = line

    faults = first_faults(faulty())
    return MultitaskRows(frames, values[:, :2], values[:, 2:], tuple(faults))


def _multitask_row(cells: Sequence[str]) -> Array:
    """(15,) valence, arousal, class, units."""
    if len(cells) != 2 + WIDTH:
        raise ValueError(f"other than {2 + WIDTH} values")
    try:
        affect = np.array([number(cell) for cell in cells[:2]])
    except ValueError:
        affect = np.array([np.nan])
    if not ((np.abs(affect) <= 1) | (affect == UNANNOTATED)).all():
        raise ValueError("valence and arousal other than two numbers in [-1, 1] or -5")
    if (affect == UNANNOTATED).any():
        affect[:] = np.nan
    return np.concatenate([affect, classes(cells[2:3], len(EXPRESSIONS) - 1, 1), classes(cells[3:], 1, len(UNITS))])


def _parse_pairs(path: Path, remedy: str, missing: float = np.nan) -> tuple[Array, list[InputError]]:
    try:
        lines = read_text(path).rstrip().split("\n")
    except InputError as error:
        return np.empty((0, 2)), [error]
    if not lines or [c.strip().lower() for c in lines[0].split(",", 2)] != ["valence", "arousal"]:
        what = "the first line is not `valence,arousal`" if lines != [""] else "the file is empty"
        return np.empty((0, 2)), [InputError(what, path, 1, "write the organisers' header and rows")]
    values = _numbers(lines[1:])
    known = (np.abs(values) <= 1) | (values == missing)
    bad = np.flatnonzero(~known.all(1))
    values[bad] = np.nan

    def faulty() -> Iterator[InputError]:
        for index in bad:
            try:
                values[index] = _pair(lines[index + 1], path, int(index) + 2, remedy, missing)
            except InputError as error:
                yield error

    faults = first_faults(faulty())
    values[(values == missing).any(1)] = np.nan
    return values, faults


def _numbers(lines: list[str]) -> Array:
    """(rows, 2) float64, many rows at once, since a corpus has millions. A block with a faulty cell is all NaN."""
    values = np.full((len(lines), 2), np.nan)
    for start in range(0, len(lines), BLOCK):
        block = lines[start : start + BLOCK]
        joined = ",".join(block)
        if "_" not in joined and joined.isascii() and all(line.count(",") == 1 for line in block):  # see `number`
            with suppress(ValueError):
                cells = np.fromiter(map(float, joined.split(",")), np.float64, 2 * len(block))
                values[start : start + BLOCK] = cells.reshape(-1, 2)
    return values


def _pair(line: str, path: Path, row: int, remedy: str, missing: float) -> tuple[float, float]:
    try:
        valence, arousal = (number(cell) for cell in line.split(",", 2))
    except ValueError:
        raise InputError(f"not two numbers: {line[:40]!r}", path, row, "write `valence,arousal`") from None
    for value in (valence, arousal):
        if value != missing and not -1 <= value <= 1:
            raise InputError(f"{value} is outside [-1, 1]", path, row, remedy)
    return valence, arousal


# Known events


def read_event_table(path: Path) -> pd.DataFrame:
    """Ground truth of events: columns `EVENT_COLUMNS`, times in s. An event covers start_s <= time_s < end_s.

    Without the file there are no rows.

    Raises:
        InputError: a column is missing, a time or modality is invalid, or an event ends before it starts.
    """
    if not path.exists():
        return pd.DataFrame(
            {name: pd.Series(dtype="float64" if name.endswith("_s") else "str") for name in EVENT_COLUMNS}
        )
    rows, decimal_comma = [], dialect_of(path).decimal_comma
    for line, row in csv_table(path, EVENT_COLUMNS, f"give the table the columns {','.join(EVENT_COLUMNS)}"):
        try:
            start, end = (number(row[name], decimal_comma) for name in ("start_s", "end_s"))
        except ValueError:
            start = end = math.nan
        if not math.isfinite(start) or not math.isfinite(end):
            what = f"not two times: {brief(repr(row['start_s']))} and {brief(repr(row['end_s']))}"
            raise InputError(what, path, line, "write the start and end of the event in seconds")
        if end <= start:
            raise InputError("an event ends before it starts", path, line, "swap start_s and end_s")
        if row["modality"] not in MODALITIES:
            raise InputError(f"{brief(repr(row['modality']))} is not a modality", path, line, "write audio or visual")
        rows.append((row["clip"], row["modality"], row["kind"], start, end))
    return pd.DataFrame(rows, columns=list(EVENT_COLUMNS)).astype({"start_s": "float64", "end_s": "float64"})
