"""CSV files of numbers, parsed fast, and read again row by row to say what is wrong with them.

Tables over time in three formats: CSV, Parquet and safetensors; every fault is named by file and row.

Tables as corpora of the field publish them: `;` or `,`, names in single quotes, with or without a header, ARFF.
"""

from __future__ import annotations

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

from iaca.errors import InputError, brief
from iaca.files import require_file, require_modest
from iaca.text import LONGEST_LINE, csv_rows, number, open_text, read_text, require_few

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


BLOCK = "features"  # the tensor of a safetensors file that holds all columns but the time
SUFFIXES = (".csv", ".parquet", ".safetensors")
Array = NDArray[np.generic]
UNREADABLE = (pa.ArrowException, SafetensorError, OSError, TypeError)  # numpy lacks some types of safetensors


@dataclass(frozen=True)
class Table:
    """Rows at rising times.

    Attributes:
        file: where they stand.
        times: (t,) float64, s.
        names: of the k columns.
        values: (t, k) float32.
    """

    file: Path
    times: NDArray[np.float64]
    names: tuple[str, ...]
    values: NDArray[np.float32]

    def line(self, index: int) -> int:
        """1-based line of row `index` in a CSV file; in other formats the 1-based row."""
        if self.file.suffix != ".csv":
            return index + 1
        return line_of(self.file, index)


def columns_of(path: Path) -> tuple[str, ...]:
    """The columns of a table but for the time, read from the head of its file.

    Raises:
        InputError: there is no time column, a column is there twice, or the head can't be read.
    """
    try:
        require_file(path, "write a table in its place, or remove it")
        names = _head(path)
    except UNREADABLE as error:
        raise _torn(path, error) from error
    if TIME not in names:
        raise InputError(
            f"no column `{TIME}`, but {brief(', '.join(names[:5])) or 'nothing'}", path, 1,
            f"write a header with commas between the names, and the time in seconds as `{TIME}`",
        )  # fmt: skip
    if doubled := sorted(name for name, times in Counter(names).items() if times > 1):
        raise InputError(
            f"column {brief(repr(doubled[0]))} is there twice", path, 1, "give every column a name of its own"
        )
    if len(names) == 1:
        raise InputError(f"no column beside `{TIME}`", path, 1, "add the columns, or remove the file")
    return tuple(name for name in names if name != TIME)


def read_table(path: Path) -> Table:
    """Read a table; its times rise strictly, its values are numbers, of which some may be NaN or infinite.

    Raises:
        InputError: a column is missing or no number, there is no row, or times do not rise; named with its row.
    """
    names = columns_of(path)
    try:
        times, values = _tensors(path) if path.suffix == ".safetensors" else _columns(path, names)
    except UNREADABLE as error:
        raise _torn(path, error) from error
    table = Table(path, times.astype(np.float64), names, values.astype(np.float32, copy=False))
    _check_times(table)
    return table


def write_table(path: Path, times: NDArray[np.float64], names: tuple[str, ...], values: NDArray[np.float32]) -> None:
    """Write a table in the format of its suffix; reading it gives the same bits. The caller renames."""
    if path.suffix == ".safetensors":
        save_file({TIME: times, BLOCK: np.ascontiguousarray(values)}, path)
        return
    table = pa.table({TIME: times, **{name: values[:, i] for i, name in enumerate(names)}})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, use_dictionary=False, use_byte_stream_split=True, compression="zstd")
        return
    with path.open("wb") as file:
        file.write((",".join([TIME, *names]) + "\n").encode())
        arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(include_header=False))


def _head(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return list(parquet.read_schema(path).names)
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            width = file.get_slice(BLOCK).get_shape()[-1] if BLOCK in names else 0
            return [*(name for name in names if name != BLOCK), *map(str, range(width))]
    return csv_header(path)


def _tensors(path: Path) -> tuple[Array, Array]:
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if not all(np.issubdtype(tensor.dtype, np.number) for tensor in tensors.values()):
        raise InputError("its tensors hold no real numbers", path, remedy="store float32 or float64")
    if set(shapes) != {TIME, BLOCK} or len(shapes[BLOCK]) != 2 or shapes[TIME] != shapes[BLOCK][:1]:
        remedy = f"store two tensors, `{TIME}` (t,) and `{BLOCK}` (t, k)"
        raise InputError(f"the shapes of its tensors are {shapes}", path, remedy=remedy)
    return tensors[TIME], tensors[BLOCK]


def _columns(path: Path, names: tuple[str, ...]) -> tuple[Array, Array]:
    table = _parquet(path) if path.suffix == ".parquet" else parse_csv(path)
    for field in table.schema:
        _check_type(field, path)
    values = [table[name].to_numpy() for name in names] or [np.empty(0)]
    return table[TIME].to_numpy(), np.stack(values, axis=1)


def _parquet(path: Path) -> pa.Table:
    with parquet.ParquetFile(path) as file:
        require_modest(path, 8 * file.metadata.num_rows * file.metadata.num_columns)
        for field in file.schema_arrow:  # before anything is unpacked: words may be of any length
            _check_type(field, path)
        return file.read()


def _check_type(field: pa.Field, path: Path) -> None:
    if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
        what = f"column {brief(repr(field.name))} holds {brief(field.type)}, not numbers"
        raise InputError(what, path, remedy="convert or remove the column")


def _check_times(table: Table) -> None:
    if not len(table.times):
        raise InputError("no row below the header", table.file, remedy="remove the file, or fill it")
    if len(unusable := np.flatnonzero(~np.isfinite(table.times))):
        raise InputError("no time in this row", table.file, table.line(int(unusable[0])), "give every row its time (s)")
    if len(back := np.flatnonzero(np.diff(table.times) <= 0)):
        row = int(back[0]) + 1
        before, here = table.times[row - 1], table.times[row]
        what = f"time {here} s comes after {before} s" if here < before else f"time {here} s is there twice"
        raise InputError(what, table.file, table.line(row), "sort the rows by time, one row per time")


def _torn(path: Path, error: Exception) -> InputError:
    return InputError(f"can't be read ({brief(error)})", path, remedy="write the file again, or remove it")


SEGMENT = "segment_id"
LATEST_S = 1e7  # nearly four months: a larger number is no time of a recording


@dataclass(frozen=True)
class Rows:
    """Rows at rising times.

    Attributes:
        times: (n,) s.
        names: of the k columns.
        values: (n, k) float32; NaN where a cell is empty.
        notes: what was passed over, in words.
    """

    times: NDArray[np.float64]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()


def read_rows(path: Path, unit_s: float = 1.0) -> Rows:
    """Read a table: perhaps the recording's name, then the time, then numbers; a column `segment_id` is passed over.

    Rows are sorted by time; of several at one time the first counts. Without a header columns are called f0, f1, ...

    Args:
        path: CSV or ARFF.
        unit_s: of the times (s).

    Raises:
        InputError: the file is empty or torn, there is no time, or a cell is no number; named with its line.
    """
    text = read_text(path)
    table, first = _arff(text, path) if path.suffix.lower() == ".arff" else _delimited(text, path)
    notes = []
    if table.shape[1] and not _is_a_number(str(table.iloc[0, 0])):
        others = set(table.iloc[:, 0].str.strip("\"' ").str.lower()) - {path.stem.lower(), "unknown"}
        notes += [f"the rows are of {sorted(others)[0]!r}, by their first column"] if others else []
        table = table.iloc[:, 1:]
    if table.shape[1] < 2:
        raise InputError("no column beside the time", path, 1, "give a table with the time and at least one value")
    numbers = _numbers(table, path, first)
    named = [name for name in table.columns[1:] if name != SEGMENT]
    times = numbers[table.columns[0]].to_numpy(np.float64) * unit_s
    if len(unusable := np.flatnonzero(~(np.abs(times) <= LATEST_S))):
        row = first + int(table.index[int(unusable[0])])
        raise InputError("no time in this row", path, row, f"give every row its time, no more than {LATEST_S:.0e} s")
    times, kept = np.unique(np.round(times, 9), return_index=True)
    if len(kept) < len(table) or (np.diff(kept) < 0).any():
        notes.append(f"times do not rise throughout; sorted, and {len(table) - len(kept)} doubled rows passed over")
    return Rows(times, tuple(named), numbers[named].to_numpy(np.float32)[kept], tuple(notes))


def _delimited(text: str, path: Path) -> tuple[pd.DataFrame, int]:
    """All cells as text, and the line of the first row."""
    lines = text.split("\n", 1)
    separator = ";" if lines[0].count(";") > lines[0].count(",") else ","
    require_few(lines[0].count(separator) + 1, path, 1)
    head = [cell.strip("\"' \r") for cell in lines[0].split(separator)]
    if len(head) < 2:
        what = "the file is empty" if not text.strip() else "the first line has a single column"
        raise InputError(what, path, 1, "give a table with `;` or `,` between the cells")
    headed = not _is_a_number(head[1])
    body = lines[1] if headed and len(lines) > 1 else "" if headed else text
    names = head if headed else None
    return _cells(body, separator, names, path), 2 if headed else 1


def _arff(text: str, path: Path) -> tuple[pd.DataFrame, int]:
    parts = re.split(r"(?im)^@data[^\n]*\n", text, maxsplit=1)
    names = re.findall(r"(?im)^@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", parts[0])
    if len(parts) < 2 or len(names) < 2:
        raise InputError("no @attribute lines above @data", path, 1, "give an ARFF file, or a CSV")
    return _cells(parts[1], ",", [name.strip("\"'") for name in names], path), parts[0].count("\n") + 2


def _cells(body: str, separator: str, names: list[str] | None, path: Path) -> pd.DataFrame:
    """Cells as text, indexed by their line of the body; empty lines are passed over."""
    require_few(body[:LONGEST_LINE].split("\n", 1)[0].count(separator) + 1, path, 1)
    try:
        table = pd.read_csv(io.StringIO(body), sep=separator, header=None, dtype=str, quotechar="'",
                            skip_blank_lines=False, keep_default_na=False, skipinitialspace=True)  # fmt: skip
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except pd.errors.ParserError as error:
        raise InputError(f"can't be read ({brief(error)})", path, remedy="give every row one cell per column") from None
    table = table.fillna("")
    table = table[~(table == "").all(axis=1)]
    if table.empty:
        raise InputError("no row of numbers", path, remedy="remove the file, or fill it")
    if names is not None and table.shape[1] != len(names):
        what = f"{table.shape[1]} cells, but the header names {len(names)} columns"
        raise InputError(what, path, 2, "give every row one cell per column")
    table.columns = pd.Index(_unique(names or _invented(table)))
    return table


def _invented(table: pd.DataFrame) -> list[str]:
    """Names for a table without a header: the time follows the recording's name, where there is one."""
    leading = 1 if _is_a_number(str(table.iloc[0, 0])) else 2
    return [*("name", "time")[2 - leading :], *(f"f{i}" for i in range(table.shape[1] - leading))]


def _unique(names: list[str]) -> list[str]:
    """A name that is there twice gets a number; commas would end a cell in the layout that is written."""
    seen: dict[str, int] = {}
    result: dict[str, None] = {}
    for name in (name.strip().replace(",", "_") for name in names):
        unique = name
        while unique in result:
            seen[name] = seen.get(name, 0) + 1
            unique = f"{name}_{seen[name]}"
        result[unique] = None
    return list(result)


def _numbers(table: pd.DataFrame, path: Path, first: int) -> pd.DataFrame:
    numbers = table.apply(pd.to_numeric, errors="coerce")
    words = numbers.isna() & ~table.apply(lambda c: c.str.strip().str.lower()).isin(["", "nan", "na", "?", "null"])
    if words.to_numpy().any():
        row, column = (int(i) for i in np.argwhere(words.to_numpy())[0])
        what = f"{str(table.iloc[row, column])[:40]!r} in column {table.columns[column]!r} is no number"
        raise InputError(what, path, first + int(table.index[row]), "write a number, or leave the cell empty")
    return pd.DataFrame(numbers)


def _is_a_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
