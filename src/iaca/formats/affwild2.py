"""Aff-Wild2's text formats: a header, then a row per video frame.

    valence,arousal                             two numbers in [-1, 1]; -5 in either column: not annotated
    Neutral,Anger,...,Surprise,Other            one class, 0 to 7; -1: not annotated
    AU1,AU2,AU4,...,AU26                        0 or 1 for each action unit; -1: that unit is not annotated
    image,valence,arousal,expression,aus        the multi-task challenge: any clips and frames, in one file

Predictions have a value in every row. A byte order mark, Windows line ends, capitals in the header and blanks around a
number are accepted; anything else is a fault, and all faults of a file are reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, first_faults
from iaca.text import composed, number, read_text

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
    return _parse(path, "write -5 for a frame that is not annotated", UNANNOTATED)


def parse_prediction(path: Path) -> tuple[Array, list[InputError]]:
    """(rows, 2) predicted valence and arousal, NaN where a row is faulty; and the faults in line order."""
    values, faults = _parse(path, "predict every frame, with values in [-1, 1]")
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


def _parse(path: Path, remedy: str, missing: float = np.nan) -> tuple[Array, list[InputError]]:
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
                values[index] = _row(lines[index + 1], path, int(index) + 2, remedy, missing)
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


def _row(line: str, path: Path, row: int, remedy: str, missing: float) -> tuple[float, float]:
    try:
        valence, arousal = (number(cell) for cell in line.split(",", 2))
    except ValueError:
        raise InputError(f"not two numbers: {line[:40]!r}", path, row, "write `valence,arousal`") from None
    for value in (valence, arousal):
        if value != missing and not -1 <= value <= 1:
            raise InputError(f"{value} is outside [-1, 1]", path, row, remedy)
    return valence, arousal
