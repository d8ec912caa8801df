"""Tables of numbers over time: features in this project's layout, features and labels in those of other corpora.

`read_table` and `write_table`: a column `time_s` (s) and one per feature, as CSV or Parquet, or as two tensors of a
safetensors file, `time_s` (t,) and `features` (t, k).
`read_rows`: names in single quotes, with or without a header, or ARFF; the recording's name may come first,
then the time, in a unit of the corpus's own.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from iaca.errors import InputError, brief, unreadable
from iaca.files import require_file, require_modest
from iaca.text import (
    EMPTY,
    LONGEST_LINE,
    clip_of,
    composed,
    csv_rows,
    dialect_of,
    number,
    open_text,
    read_text,
    require_few,
)

SUFFIXES = (".csv", ".parquet", ".safetensors")
TIME = "time_s"
BLOCK = "features"  # the tensor of a safetensors file with all columns but the time
SEGMENT = "segment_id"  # a column of MuSe that is not a feature
ROW_NUMBERS = re.compile(
    r"(unnamed: ?\d+|__index_level_\d+__|level_\d+|_\d+|(row|line)?_?(index|number|num|no|nr|id)?|"
    r"frames?_?(index|idx|number|num|no|nr|id|count)?)", re.IGNORECASE
)  # fmt: skip
"""Names of columns that number the rows; pandas writes its index without a name. As features they would give away the
time of a row."""
TIMES = re.compile(r"(frame)?_?time(stamp)?s?(_?(s|sec|secs|ms|msec|seconds))?|seconds|milliseconds", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"^(\s*[+-]?\d+),(\d+)")
LATEST_S = 1e7  # nearly four months: a larger number is not a time of a recording
UNREADABLE = (pa.ArrowException, SafetensorError, OSError, TypeError)  # numpy lacks some types of safetensors

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Table:
    """Rows at rising times.

    Attributes:
        file: where they were read.
        times: (t,) float64, s.
        names: of the k columns.
        values: (t, k) float32; may contain NaN and infinity.
        notes: what was left out or reordered, in words.
    """

    file: Path
    times: NDArray[np.float64]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()

    def line(self, index: int) -> int:
        """1-based line of row `index` in a CSV file; in other formats the 1-based row."""
        return _line_of(self.file, index) if self.file.suffix.lower() == ".csv" else index + 1


# Features in this project's layout


def read_table(path: Path) -> Table:
    """Read a table of features. Its times rise strictly; its values are numbers, some of which may be NaN or infinite.

    Raises:
        InputError: a column is missing or not a number, there is no row, or times do not rise; with its row.
    """
    names = columns_of(path)
    try:
        times, values = _tensors(path) if path.suffix.lower() == ".safetensors" else _columns(path, names)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    table = Table(path, times.astype(np.float64), names, values.astype(np.float32, copy=False))
    _check_times(table)
    return table


def columns_of(path: Path) -> tuple[str, ...]:
    """The columns of features of a table; as `read_head`."""
    return read_head(path)[0]


def read_head(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of features of a table, read from the head of its file, and the columns that are left out.

    Columns are left out if their names say that they number the rows or repeat the time.

    Raises:
        InputError: there is no time column, a column occurs twice, or the head can't be read.
    """
    if path.suffix.lower() not in SUFFIXES:
        what = f"a table is a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file: {path.suffix} is not read"
        raise InputError(what, path, remedy=f"save it as {SUFFIXES[0]}, or remove it")
    try:
        require_file(path, "write a table in its place, or remove it")
        names = _head(path)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if TIME not in names:
        raise InputError(
            f"no column `{TIME}`, but {brief(', '.join(names[:5])) or 'nothing'}", path, 1,
            f"write a header with commas, semicolons or tabs between the names, and the time in seconds as `{TIME}`",
        )  # fmt: skip
    left_out = tuple(n for n in names if n != TIME and (ROW_NUMBERS.fullmatch(n) or TIMES.fullmatch(n)))
    kept = [name for name in names if name not in left_out]
    if doubled := sorted(name for name, times in Counter(kept).items() if times > 1):
        raise InputError(f"column {brief(repr(doubled[0]))} occurs twice", path, 1, "give every column its own name")
    if len(kept) == 1:
        what = f"no column other than `{TIME}`{' and row numbers' if left_out else ''}"
        raise InputError(what, path, 1, "add the columns, or remove the file")
    return tuple(name for name in kept if name != TIME), left_out


def write_table(path: Path, times: NDArray[np.float64], names: tuple[str, ...], values: NDArray[np.float32]) -> None:
    """Write a table in the format of its suffix; reading it returns the same bits. The caller renames."""
    if path.suffix.lower() == ".safetensors":
        save_file({TIME: times, BLOCK: np.ascontiguousarray(values)}, path)
        return
    table = pa.table({TIME: times, **{name: values[:, i] for i, name in enumerate(names)}})
    if path.suffix.lower() == ".parquet":
        parquet.write_table(table, path, use_dictionary=False, use_byte_stream_split=True, compression="zstd")
        return
    with path.open("wb") as file:
        file.write((",".join([TIME, *names]) + "\n").encode())
        arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(include_header=False))


def _head(path: Path) -> list[str]:
    if path.suffix.lower() == ".parquet":
        return list(parquet.read_schema(path).names)
    if path.suffix.lower() == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            width = file.get_slice(BLOCK).get_shape()[-1] if BLOCK in names else 0
            return [*(name for name in names if name != BLOCK), *map(str, range(width))]
    return [name.strip() for name in next(csv_rows(path), (1, []))[1]]


def _tensors(path: Path) -> tuple[Array, Array]:
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is not a mapping
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if not all(np.issubdtype(tensor.dtype, np.number) for tensor in tensors.values()):
        raise InputError("its tensors are not real numbers", path, remedy="store float32 or float64")
    if set(shapes) != {TIME, BLOCK} or len(shapes[BLOCK]) != 2 or shapes[TIME] != shapes[BLOCK][:1]:
        remedy = f"store two tensors, `{TIME}` (t,) and `{BLOCK}` (t, k)"
        raise InputError(f"the shapes of its tensors are {shapes}", path, remedy=remedy)
    return tensors[TIME], tensors[BLOCK]


def _columns(path: Path, names: tuple[str, ...]) -> tuple[Array, Array]:
    table = _read_parquet(path, names) if path.suffix.lower() == ".parquet" else _read_csv(path, names)
    values = [table[name].to_numpy() for name in names] or [np.empty(0)]
    return table[TIME].to_numpy(), np.stack(values, axis=1)


def _read_parquet(path: Path, names: tuple[str, ...]) -> pa.Table:
    with parquet.ParquetFile(path) as file:
        require_modest(path, 8 * file.metadata.num_rows * file.metadata.num_columns)
        for name in (TIME, *names):  # before anything is unpacked: strings may be of any length
            _check_type(file.schema_arrow.field(name), path)
        return file.read([TIME, *names])


def _check_type(field: pa.Field, path: Path) -> None:
    if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
        what = f"column {brief(repr(field.name))} has type {brief(field.type)}, not numbers"
        raise InputError(what, path, remedy="convert or remove the column")


def _read_csv(path: Path, names: tuple[str, ...]) -> pa.Table:
    """Columns of a CSV file, each cell rounded once: times to float64, the others to float32."""
    types = {TIME: pa.float64()} | dict.fromkeys(names, pa.float32())
    dialect, columns = dialect_of(path), _head(path)
    for decimal in ".," if dialect.decimal_comma else ".":
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(read_text(path, utf16=True).encode()) if dialect.encoding == "utf-16" else path,
                arrow_csv.ReadOptions(column_names=columns, skip_rows=1 + dialect.skipped, use_threads=False),
                arrow_csv.ParseOptions(delimiter=dialect.delimiter),
                arrow_csv.ConvertOptions(column_types=types, include_columns=list(types), decimal_point=decimal),
            )
        except pa.ArrowInvalid as error:
            failure = error
    if fault := _faulty_row(path, set(types)):
        raise fault from failure
    raise failure


def _faulty_row(path: Path, used: set[str]) -> InputError | None:
    """The first row that makes a CSV file unreadable; the fast parser does not say which."""
    dialect, names = dialect_of(path), _head(path)
    rows = csv_rows(path, dialect)
    next(rows, None)
    line = 0
    for line, cells in rows:
        if len(cells) != len(names):
            return _wrong_width(len(cells), len(names), path, line)
        for name, cell in zip(names, cells, strict=True):
            usable = cell.isascii() and _is_number(cell, dialect.decimal_comma)  # Arrow's blanks and digits alone
            if name in used and not usable and cell.strip().lower() not in EMPTY:
                return _not_a_number(cell, name, path, line)
    return None if line else _no_row(path)


def _check_times(table: Table) -> None:
    if not len(table.times):
        raise _no_row(table.file)
    if len(unusable := np.flatnonzero(~np.isfinite(table.times))):
        raise InputError("no time in this row", table.file, table.line(int(unusable[0])), "give every row its time (s)")
    if len(back := np.flatnonzero(np.diff(table.times) <= 0)):
        row = int(back[0]) + 1
        before, here = table.times[row - 1], table.times[row]
        what = f"time {here} s comes after {before} s" if here < before else f"time {here} s occurs twice"
        raise InputError(what, table.file, table.line(row), "sort the rows by time, one row per time")


def _line_of(path: Path, index: int) -> int:
    """1-based line of row `index` of a CSV file: all line ends count, empty lines are not rows."""
    header = 1 + dialect_of(path).skipped
    with open_text(path, utf16=True) as file:
        filled = (line for line, text in enumerate(file, start=1) if text.strip("\r\n"))
        return next(islice(filled, header + index, None))


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, PermissionError):
        return unreadable(error, path)
    return InputError(f"can't be read ({brief(error)})", path, remedy="write the file again, or remove it")


# Features and labels of other corpora


def read_rows(path: Path, unit_s: float = 1.0) -> Table:
    """Read a table: optionally the recording's name, then the time, then numbers. A column `segment_id` is left out.

    Rows are sorted by time; of several at one time the first counts. Empty cells become NaN. Without a header, columns
    are named f0, f1, ...

    Args:
        path: CSV or ARFF.
        unit_s: unit of the times (s).

    Raises:
        InputError: the file is empty or damaged, there is no time, or a cell is not a number; with its line.
    """
    text = read_text(path, utf16=True)
    table, first = _arff(text, path) if path.suffix.lower() == ".arff" else _delimited(text, path)
    notes = []
    if table.shape[1] and not _is_number(str(table.iloc[0, 0])):
        others = {composed(name.strip("\"' ").lower()) for name in table.iloc[:, 0].unique()}
        others -= {clip_of(path).lower(), "unknown"}
        notes += [f"the first column names another recording, {sorted(others)[0]!r}"] if others else []
        table = table.iloc[:, 1:]
    table, left_out = _without_row_numbers(table, path)
    notes += [f"columns {', '.join(map(repr, left_out))} number the rows: left out"] if left_out else []
    if table.shape[1] < 2:
        raise InputError("no column after the time", path, 1, "give a table with the time and at least one value")
    numbers = _numbers(table, path, first)
    names = [name for name in table.columns[1:] if name != SEGMENT]
    times = numbers[table.columns[0]].to_numpy(np.float64) * unit_s
    if len(unusable := np.flatnonzero(~(np.abs(times) <= LATEST_S))):
        row = first + int(table.index[int(unusable[0])])
        raise InputError("no time in this row", path, row, f"give every row its time, at most {LATEST_S:.0e} s")
    times, kept = np.unique(np.round(times, 9), return_index=True)
    if len(kept) < len(table) or (np.diff(kept) < 0).any():
        notes.append(f"times do not rise throughout: rows were sorted, {len(table) - len(kept)} duplicates left out")
    return Table(path, times, tuple(names), numbers[names].to_numpy(np.float32)[kept], tuple(notes))


def _without_row_numbers(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table without columns that number the rows, and their names. Before the time, they would be read as times."""
    left_out = [name for name in table.columns if ROW_NUMBERS.fullmatch(name)]
    rest = table.drop(columns=left_out)
    if table.shape[1] and table.columns[0] in left_out and not (rest.shape[1] and TIMES.fullmatch(rest.columns[0])):
        what = f"column {table.columns[0]!r} numbers the rows, and no column of times follows"
        raise InputError(what, path, 1, "give a column `time` before the values")
    return rest, left_out


def _delimited(text: str, path: Path) -> tuple[pd.DataFrame, int]:
    """All cells as text, and the line of the first row."""
    dialect = dialect_of(path)
    text = text.partition("\n")[2] if dialect.skipped else text
    header, _, rest = text.partition("\n")
    separator = dialect.delimiter
    require_few(header.count(separator) + 1, path, 1)
    try:
        cells = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
    except csv.Error as error:
        raise InputError(f"can't be read as a table ({error})", path, 1, "write shorter names of columns") from error
    names = [cell.strip("\"' \r") for cell in cells]
    if len(names) < 2:
        what = "the file is empty" if not text.strip() else "the first line has a single column"
        raise InputError(what, path, 1, "give a table with `;` or `,` between the cells")
    if _is_number(names[1], dialect.decimal_comma):
        return _cells(text, separator, None, path), 1 + dialect.skipped
    return _cells(rest, separator, names, path), 2 + dialect.skipped


def _arff(text: str, path: Path) -> tuple[pd.DataFrame, int]:
    """All cells as text, and the line of the first row."""
    parts = re.split(r"(?im)^@data[^\n]*\n", text, maxsplit=1)
    names = re.findall(r"(?im)^@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", parts[0])
    if len(parts) < 2 or len(names) < 2:
        raise InputError("no @attribute lines above @data", path, 1, "give an ARFF file, or a CSV")
    return _cells(parts[1], ",", [name.strip("\"'") for name in names], path), parts[0].count("\n") + 2


def _cells(body: str, separator: str, names: list[str] | None, path: Path) -> pd.DataFrame:
    """Cells as text, indexed by their line of the body, without empty lines."""
    first = body[:LONGEST_LINE].lstrip("\n").split("\n", 1)[0]
    require_few(first.count(separator) + 1, path, 1)
    quote = '"' if '"' in first else "'"  # of a spreadsheet, or of openSMILE
    try:
        table = pd.read_csv(io.StringIO(body), sep=separator, header=None, dtype=str, quotechar=quote,
                            skip_blank_lines=False, keep_default_na=False, skipinitialspace=True)  # fmt: skip
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except pd.errors.ParserError as error:
        raise InputError(f"can't be read ({brief(error)})", path, remedy="give every row one cell per column") from None
    table = table.fillna("")
    if separator != ",":
        table = table.apply(lambda column: column.str.replace(DECIMAL_COMMA, r"\1.\2", regex=True))
    table = table[~(table == "").all(axis=1)]
    if table.empty:
        raise _no_row(path)
    if names is not None and table.shape[1] != len(names):
        raise _wrong_width(table.shape[1], len(names), path, 2)
    table.columns = pd.Index(_unique(names or _default_names(table)))
    return table


def _default_names(table: pd.DataFrame) -> list[str]:
    """Names for a table without a header, in which the recording's name may come before the time."""
    leading = ["time"] if _is_number(str(table.iloc[0, 0])) else ["name", "time"]
    return [*leading, *(f"f{i}" for i in range(table.shape[1] - len(leading)))]


def _unique(names: list[str]) -> list[str]:
    """Names in which a repeated one gets a number, and `_` replaces commas, which would end a cell when written."""
    repeats: Counter[str] = Counter()
    result: dict[str, None] = {}
    for name in (name.strip().replace(",", "_") for name in names):
        unique = name
        while unique in result:
            repeats[name] += 1
            unique = f"{name}_{repeats[name]}"
        result[unique] = None
    return list(result)


def _numbers(table: pd.DataFrame, path: Path, first: int) -> pd.DataFrame:
    """All cells as numbers, empty ones (in ARFF `?`) as NaN."""
    numbers = table.apply(pd.to_numeric, errors="coerce")
    words = (numbers.isna() & ~table.apply(lambda c: c.str.strip().str.lower()).isin([*EMPTY, "?"])).to_numpy()
    if words.any():
        row, column = (int(i) for i in np.argwhere(words)[0])
        raise _not_a_number(str(table.iloc[row, column]), table.columns[column], path, first + int(table.index[row]))
    return pd.DataFrame(numbers)


# What both have in common


def _is_number(cell: str, decimal_comma: bool = False) -> bool:
    try:
        number(cell, decimal_comma)
    except ValueError:
        return False
    return True


def _not_a_number(cell: str, column: str, path: Path, line: int) -> InputError:
    what = f"{cell[:40]!r} in column {brief(repr(column))} is not a number"
    return InputError(what, path, line, "write a number, or remove the column or the row")


def _wrong_width(cells: int, columns: int, path: Path, line: int) -> InputError:
    what = f"{cells} cells, but the header names {columns} columns"
    return InputError(what, path, line, "give every row one cell per column")


def _no_row(path: Path) -> InputError:
    return InputError("no row below the header", path, remedy="remove the file, or add rows")
