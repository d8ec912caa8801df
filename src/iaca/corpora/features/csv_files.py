"""CSV files of numbers, parsed fast, and read again row by row to say what is wrong with them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from iaca.errors import InputError
from iaca.text import csv_rows, number, open_text

TIME = "time_s"


def csv_header(path: Path) -> list[str]:
    """The names in the first line; none where the file is empty."""
    return [name.strip() for name in next(csv_rows(path), (1, []))[1]]


def parse_csv(path: Path) -> pa.Table:
    """All columns of a CSV file, each cell rounded once: times to float64, the others to float32.

    Raises:
        InputError: a row has too few or too many cells, or one that is no number; there is no row.
        ArrowException: the file can't be read for another reason.
    """
    names = csv_header(path)
    types = {name: pa.float64() if name == TIME else pa.float32() for name in names}
    try:
        return arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(column_names=names, skip_rows=1, use_threads=False),
            convert_options=arrow_csv.ConvertOptions(column_types=types),
        )
    except pa.ArrowInvalid as error:
        if fault := _blame(path, names):
            raise fault from error
        raise


def line_of(path: Path, index: int) -> int:
    """1-based line of row `index` of what `parse_csv` has read: its line ends are any, and empty lines are no rows."""
    with open_text(path) as file:
        filled = (number for number, line in enumerate(file, start=1) if line.strip("\r\n"))
        return next(islice(filled, index + 1, None))


def _blame(path: Path, names: list[str]) -> InputError | None:
    """Which row a CSV file can't be read for."""
    rows = csv_rows(path)
    next(rows, None)
    line = 0
    for line, cells in rows:
        if len(cells) != len(names):
            what = f"{len(cells)} cells, but the header names {len(names)} columns"
            return InputError(what, path, line, "give every row one cell per column")
        for name, cell in zip(names, cells, strict=True):
            if not _is_number(cell):
                what = f"{cell[:40]!r} in column {name!r} is no number"
                return InputError(what, path, line, "write a number, or remove the column or the row")
    return None if line else InputError("no row below the header", path, remedy="remove the file, or fill it")


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return cell.strip().lower() in ("", "na", "n/a", "null", "nan")
    return True
