"""Reading text, CSV, JSON and XML of unknown origin, with bounds on lines, cells and elements."""

from __future__ import annotations

import codecs
import csv
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from xml.parsers import expat

from iaca.errors import InputError, brief, unreadable
from iaca.files import require_file

LONGEST_LINE = 4 * 2**20  # characters; 65,536 features, the most a model accepts, need less than half of it
MOST_CELLS = 2**17  # of a row
DEEPEST, MOST_NODES = 64, 2_000_000  # of an XML file
EMPTY = ("", "nan", "na", "n/a", "null")
"""Cells without a number, in lower case."""
_NO_TEXT = "\ufffd"  # what invalid bytes become
_HEAD = 4096  # bytes; a file with a NUL among them is not text
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)

Row = tuple[int, list[str]]
"""1-based line number, and cells."""


@dataclass(frozen=True)
class Dialect:
    """How a table is written, as spreadsheets of any language save it.

    Attributes:
        encoding: `utf-8-sig` (UTF-8 with or without a byte order mark) or `utf-16`.
        delimiter: a comma, a semicolon, a tab, or what a first line `sep=;` names.
        skipped: lines above the header: 1 for a line `sep=;`, otherwise 0.
    """

    encoding: str
    delimiter: str
    skipped: int

    @property
    def decimal_comma(self) -> bool:
        """Whether `0,5` is a number, as well as `0.5`."""
        return self.delimiter != ","


def dialect_of(path: Path) -> Dialect:
    """The dialect of a table, from its first line.

    Raises:
        InputError: as `open_text`; the first line is too long.
    """
    with open_text(path, utf16=True) as file:
        first = next(islice(_lines(file, path), 1), "")
        named = _SEP_LINE.fullmatch(first)
        return Dialect(file.encoding, named[1] if named else delimiter_of(first), 1 if named else 0)


def delimiter_of(line: str) -> str:
    """The delimiter of a line: a semicolon or a tab if it is there as often as commas, which may be decimal commas."""
    commas = line.count(",") - 1  # n cells have up to n decimal commas, but n - 1 delimiters
    return next((d for d in ";\t" if line.count(d) >= max(commas, 1)), ",")


def open_text(path: Path, utf16: bool = False) -> TextIO:
    """Open a UTF-8 file, with or without a byte order mark. Invalid bytes become U+FFFD, which no number contains.

    Args:
        path: of the file.
        utf16: also open UTF-16 with a byte order mark, as Excel's "Unicode text".

    Raises:
        InputError: the file is missing, unreadable, a pipe, or not text in an accepted encoding.
    """
    try:
        require_file(path, "give a text file")
        with path.open("rb") as file:
            head = file.read(_HEAD)
        marked = head.startswith(_UTF16_MARKS) and not head.startswith(codecs.BOM_UTF32_LE)
        if marked and not utf16:
            raise InputError("the text is in UTF-16, not UTF-8", path, 1, "save it again, as UTF-8")
        if b"\0" in head and not marked:
            raise InputError("the file contains NUL bytes: it is not UTF-8 text", path, 1, "save it again, as UTF-8")
        return path.open(encoding="utf-16" if marked else "utf-8-sig", errors="replace", newline="")
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise InputError("there is no such file", path, remedy="correct the path, or restore the file") from error
        raise unreadable(error, path) from error


def read_text(path: Path, utf16: bool = False) -> str:
    """The text of a file, with `\\n` as line ends.

    Raises:
        InputError: as `open_text`; a line is too long, with its number.
    """
    with open_text(path, utf16) as file:
        text = file.read().replace("\r\n", "\n").replace("\r", "\n")
    start = 0
    while len(text) - start > LONGEST_LINE:
        end = text.rfind("\n", start, start + LONGEST_LINE)
        if end < 0:
            raise _too_long(path, text.count("\n", 0, start) + 1)
        start = end + 1
    return text


def csv_rows(path: Path, dialect: Dialect | None = None) -> Iterator[Row]:
    """Line number and cells of every non-empty row, in the dialect of the table, which is detected by default.

    Raises:
        InputError: as `open_text`; a line or cell is too long, or a row has too many cells, with its line.
    """
    dialect = dialect or dialect_of(path)
    with open_text(path, utf16=True) as file:
        lines = islice(_lines(file, path), dialect.skipped, None)
        reader = csv.reader(lines, delimiter=dialect.delimiter)
        try:
            for cells in reader:
                line = reader.line_num + dialect.skipped
                require_few(len(cells), path, line)
                if any(cell.strip() for cell in cells):
                    yield line, cells
        except csv.Error as error:
            remedy = "close its quotes, put line ends between the rows, or remove the file"
            line = reader.line_num + dialect.skipped
            raise InputError(f"can't be read as a table ({error})", path, line, remedy) from error


def csv_table(path: Path, columns: tuple[str, ...], remedy: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cell by column of every row below the header. Cells are stripped and in form
    NFC (`composed`), missing cells are empty.

    Args:
        path: of the table.
        columns: that it must have, in any case of letters; if a name occurs twice, the first column is used.
        remedy: for a missing column.

    Raises:
        InputError: as `csv_rows`; a column is missing, or a row is not UTF-8: of a name, what is left could be that of
            another clip or person.
    """
    rows = csv_rows(path)
    names = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    if missing := [name for name in columns if name not in names]:
        raise InputError(f"no column {missing[0]!r}", path, 1, remedy)
    for line, cells in rows:
        if unknown := [cell for cell in cells if _NO_TEXT in cell]:
            what = f"{brief(repr(unknown[0]), 40)} is not UTF-8 text"
            raise InputError(what, path, line, "save the table as UTF-8 (in Excel: CSV UTF-8)")
        padded = [*(composed(cell.strip()) for cell in cells), *[""] * (len(names) - len(cells))]
        yield line, dict(reversed(list(zip(names, padded, strict=False))))


def require_few(cells: int, path: Path, line: int) -> None:
    """Reject a row with very many cells: splitting it takes time and memory, in places quadratic.

    Raises:
        InputError: the line has more than `MOST_CELLS` cells.
    """
    if cells > MOST_CELLS:
        raise InputError(f"the line has more than {MOST_CELLS} cells", path, line, "put line ends between the rows")


def number(cell: str, decimal_comma: bool = False) -> float:
    """The number in a cell. Raises ValueError for a word, and for `0_1` and `\u0661`, which Python would read as 1.

    With `decimal_comma`, `0,5` is a number too, but `1.234,5` and `1,234,5` are not.
    """
    if "_" in cell or not cell.strip().isascii():
        raise ValueError(cell)
    if decimal_comma and "." not in cell and cell.count(",") == 1:
        cell = cell.replace(",", ".")
    return float(cell)


def composed(name: str) -> str:
    """A name in Unicode form NFC, in which names are compared: a Mac decomposes `é` in file names, Windows does not."""
    return unicodedata.normalize("NFC", name)


def look_of(name: str) -> str:
    """The same for names that differ only in capitals, blanks or compatible characters (`Anna`, `anna`)."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def clip_of(path: Path) -> str:
    """The clip that a file belongs to: its name without suffix, as `composed`."""
    return composed(path.stem)


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


# XML without document types, so that no entity can expand


@dataclass
class XmlNode:
    """An element of an XML file, with the line it starts in."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[XmlNode] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> Iterator[XmlNode]:
        """Every element of this name below, in document order."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.all(tag)

    def text_of(self, tag: str) -> str:
        """Text of the first element of this name directly below, without blanks around it; empty if there is none."""
        return next((child.text for child in self.children if child.tag == tag), "").strip()


def read_xml(path: Path, root: str) -> XmlNode:
    """The root element.

    Raises:
        InputError: not XML, another root, a document type, or too many or too deeply nested elements.
    """
    remedy = "export it again, without a document type"
    parser, stack, top = expat.ParserCreate(), list[XmlNode](), list[XmlNode]()
    count = 0

    def refuse(*_: object) -> None:
        what = "the file has a document type, which could expand entities"
        raise InputError(what, path, parser.CurrentLineNumber, remedy)

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) >= DEEPEST or count > MOST_NODES:
            raise InputError(
                "the file has too many elements, or nested too deeply", path, parser.CurrentLineNumber, remedy
            )
        node = XmlNode(tag, attributes, parser.CurrentLineNumber)
        (stack[-1].children if stack else top).append(node)
        stack.append(node)

    def data(text: str) -> None:
        stack[-1].text += text

    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.CharacterDataHandler = start, data
    parser.EndElementHandler = lambda _: stack.pop()
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise InputError(f"not an XML file ({expat.ErrorString(error.code)})", path, error.lineno, remedy) from error
    except ValueError as error:  # an encoding that Python does not know
        if isinstance(error, InputError):
            raise
        raise InputError(f"not an XML file ({error})", path, remedy=remedy) from error
    if top[0].tag != root:
        what = f"the root element is {brief(top[0].tag, 40)}, not {root}"
        raise InputError(what, path, top[0].line, "give a file that this program wrote")
    return top[0]
