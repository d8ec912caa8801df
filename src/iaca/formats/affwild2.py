"""Aff-Wild2's text format: a header `valence,arousal`, then a row per video frame.

In annotations -5 marks a frame without annotation; predictions have a value in every row. A byte order mark, Windows
line ends, capitals in the header and blanks around a number are accepted; anything else is a fault, and all faults of
a file are reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, first_faults
from iaca.text import number, read_text

Array = NDArray[np.float64]
UNANNOTATED = -5.0
BLOCK = 65536  # rows


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
