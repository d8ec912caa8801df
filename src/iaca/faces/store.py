"""The faces of a clip as a table, and as a Parquet file that can be written and read piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iaca.errors import InputError

NUMBERS = ("score", "x0", "y0", "x1", "y1", *(f"lm{point}{axis}" for point in range(5) for axis in "xy"))
"""Columns of a face's float32 numbers: score (0..1), box (px), landmarks (px)."""
COLUMNS = ("frame", "time_s", "face_found", *NUMBERS, "track", "jpeg")
BATCH = 512
"""Rows written and read at a time."""

_SCHEMA = pa.schema(
    [
        ("frame", pa.int32()),
        ("time_s", pa.float64()),
        ("face_found", pa.bool_()),
        *((name, pa.float32()) for name in NUMBERS),
        ("track", pa.int32()),
        ("jpeg", pa.binary()),
    ]
)
_NOTHING = np.full(len(NUMBERS), np.nan, dtype=np.float32)


class FaceRow(NamedTuple):
    """One frame: its number and time (s); with a face, `NUMBERS`, track and JPEG."""

    frame: int
    time_s: float
    numbers: NDArray[np.float32] = _NOTHING
    track: int = -1
    jpeg: bytes = b""


def faces_frame(rows: Sequence[FaceRow]) -> pd.DataFrame:
    """The table of `extract_faces`, with its types, also for no rows."""
    numbers = np.stack([row.numbers for row in rows]) if rows else np.empty((0, len(NUMBERS)), np.float32)
    table: dict[str, Any] = {
        "frame": np.array([row.frame for row in rows], dtype=np.int32),
        "time_s": np.array([row.time_s for row in rows], dtype=np.float64),
        "face_found": np.array([row.track >= 0 for row in rows], dtype=bool),
        **dict(zip(NUMBERS, numbers.T, strict=True)),
        "track": np.array([row.track for row in rows], dtype=np.int32),
        "jpeg": pd.Series([row.jpeg for row in rows], dtype=object),
    }
    return pd.DataFrame(table)


def write_faces(path: str | Path, faces: pd.DataFrame) -> None:
    """Write a table of faces as Parquet."""
    with pq.ParquetWriter(str(path), _SCHEMA, compression="zstd") as writer:
        for start in range(0, max(len(faces), 1), BATCH):
            writer.write_table(_arrow(faces.iloc[start : start + BATCH]))


def write_batches(path: str | Path, rows: Iterable[FaceRow]) -> None:
    """Write rows as `write_faces` does, holding `BATCH` of them at a time."""
    iterator = iter(rows)
    with pq.ParquetWriter(str(path), _SCHEMA, compression="zstd") as writer:
        while batch := list(islice(iterator, BATCH)):
            writer.write_table(_arrow(faces_frame(batch)))


def _arrow(faces: pd.DataFrame) -> pa.Table:
    # NaN is a value here, not a missing one, so that what is read equals what was written
    columns = [pa.array(faces[name].to_numpy(), type=_SCHEMA.field(name).type, from_pandas=False) for name in COLUMNS]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def read_faces(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of faces, or some of its columns.

    Raises:
        InputError: no such file, or no table of faces.
    """
    parts = list(iter_faces(path, columns, BATCH))
    return pd.concat(parts, ignore_index=True)


def iter_faces(path: str | Path, columns: Sequence[str] | None = None, rows: int = BATCH) -> Iterator[pd.DataFrame]:
    """Read a table of faces in pieces of `rows` rows, so that memory does not grow with its length. At least one piece
    comes; errors as `read_faces`."""
    names = list(COLUMNS if columns is None else columns)
    try:
        with pq.ParquetFile(str(path)) as file:
            yield from _pieces(file, names, rows)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise not_faces(path) from error


def not_faces(path: str | Path) -> InputError:
    """The error of a file that is not what `write_faces` writes."""
    return InputError(
        "is no table of faces.", file=path, remedy="run the preprocessing pipeline again: it is made anew"
    )


def _pieces(file: pq.ParquetFile, names: list[str], rows: int) -> Iterator[pd.DataFrame]:
    empty = True
    for batch in file.iter_batches(batch_size=rows, columns=names):
        empty = False
        yield _frame(batch, names)
    if empty:
        yield _frame(file.schema_arrow.empty_table(), names)


def _frame(batch: Any, names: list[str]) -> pd.DataFrame:
    columns = {name: batch.column(batch.schema.names.index(name)) for name in names}
    bytes_column = {
        name: pd.Series(column.to_pylist(), dtype=object) for name, column in columns.items() if name == "jpeg"
    }
    return pd.DataFrame({n: bytes_column.get(n, c.to_numpy(zero_copy_only=False)) for n, c in columns.items()})
