"""Tables over time in three formats: CSV, Parquet and safetensors; every fault is named by file and row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from iaca.corpora.features.csv_files import TIME, csv_header, line_of, parse_csv
from iaca.errors import InputError, brief
from iaca.files import require_file, require_modest

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
