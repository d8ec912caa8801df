"""Reading text, CSV and JSON of unknown origin, with bounds on lines and cells."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from iaca.errors import InputError
from iaca.files import require_file

LONGEST_LINE = 4 * 2**20  # characters; 65,536 features, the most a model accepts, need less than half of it
MOST_CELLS = 2**17  # of a row
EMPTY = ("", "nan", "na", "n/a", "null")
"""Cells without a number, in lower case."""
_HEAD = 4096  # bytes; a file with a NUL among them is not text
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # UTF-32 marks start with these or contain NULs

Row = tuple[int, list[str]]
"""1-based line number, and cells."""


def open_text(path: Path) -> TextIO:
    """Open a UTF-8 file, with or without a byte order mark. Invalid bytes become U+FFFD, which no number contains.

    Raises:
        InputError: the file is missing, unreadable, a pipe, not text, or in UTF-16.
    """
    try:
        require_file(path, "give a text file")
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head.startswith(_UTF16_MARKS):
            raise InputError("the text is in UTF-16, not UTF-8", path, 1, "save it again, as UTF-8")
        if b"\0" in head:
            raise InputError("the file contains NUL bytes: it is not UTF-8 text", path, 1, "save it again, as UTF-8")
        return path.open(encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        what = "there is no such file" if isinstance(error, FileNotFoundError) else f"can't be read ({error.strerror})"
        raise InputError(what, path, remedy="give a file that exists and is readable") from error


def read_text(path: Path) -> str:
    """The text of a file, with `\\n` as line ends.

    Raises:
        InputError: as `open_text`; a line is too long, with its number.
    """
    with open_text(path) as file:
        text = file.read().replace("\r\n", "\n").replace("\r", "\n")
    start = 0
    while len(text) - start > LONGEST_LINE:
        end = text.rfind("\n", start, start + LONGEST_LINE)
        if end < 0:
            raise _too_long(path, text.count("\n", 0, start) + 1)
        start = end + 1
    return text


def csv_rows(path: Path, delimiters: str = ",") -> Iterator[Row]:
    """Line number and cells of every non-empty row. Of several delimiters, the most frequent in the first line is used.

    Raises:
        InputError: as `open_text`; a line or cell is too long, or a row has too many cells, with its line.
    """
    with open_text(path) as file:
        first = next(islice(_lines(file, path), 1), "")
        file.seek(0)
        reader = csv.reader(_lines(file, path), delimiter=max(delimiters, key=first.count))
        try:
            for cells in reader:
                require_few(len(cells), path, reader.line_num)
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            remedy = "close its quotes, put line ends between the rows, or remove the file"
            raise InputError(f"can't be read as a table ({error})", path, reader.line_num, remedy) from error


def csv_table(path: Path, columns: tuple[str, ...], remedy: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cell by column of every row below the header. Cells are stripped, missing cells are empty.

    Args:
        path: of the table.
        columns: that it must have; if a name occurs twice, the first column is used.
        remedy: for a missing column.

    Raises:
        InputError: as `csv_rows`; a column is missing.
    """
    rows = csv_rows(path)
    names = [cell.strip() for cell in next(rows, (1, []))[1]]
    if missing := [name for name in columns if name not in names]:
        raise InputError(f"no column {missing[0]!r}", path, 1, remedy)
    for line, cells in rows:
        padded = [*(cell.strip() for cell in cells), *[""] * (len(names) - len(cells))]
        yield line, dict(reversed(list(zip(names, padded, strict=False))))


def require_few(cells: int, path: Path, line: int) -> None:
    """Reject a row with very many cells: splitting it takes time and memory, in places quadratic.

    Raises:
        InputError: the line has more than `MOST_CELLS` cells.
    """
    if cells > MOST_CELLS:
        raise InputError(f"the line has more than {MOST_CELLS} cells", path, line, "put line ends between the rows")


def number(cell: str) -> float:
    """The number in a cell. Raises ValueError for a word, and for `0_1`, which Python would read as 1."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def parse_json(text: str | bytes) -> Any:
    """As `json.loads`. Raises ValueError for everything that is not JSON, including nesting that is too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets are nested too deeply") from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    count = 0
    while line := file.readline(LONGEST_LINE):
        count += 1
        if len(line) == LONGEST_LINE:
            raise _too_long(path, count)
        yield line


def _too_long(path: Path, line: int) -> InputError:
    what = f"the line has more than {LONGEST_LINE // 2**20} million characters"
    return InputError(what, path, line, "put line ends between the rows")
