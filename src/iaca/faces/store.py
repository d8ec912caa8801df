"""Faces on disk: the table of a clip's faces, its Parquet file, the JPEGs in it, and a contact sheet of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iaca.errors import InputError

NUMBERS = ("score", "x0", "y0", "x1", "y1", *(f"lm{point}{axis}" for point in range(5) for axis in "xy"))
"""Columns of the float32 numbers of a face: score (0..1), box (px), landmarks (px)."""
COLUMNS = ("frame", "time_s", "face_found", *NUMBERS, "track", "jpeg")
BATCH = 512
"""Rows written and read at a time: a row group."""
HELD = 3
"""Row groups that `FaceImages` keeps: two for two threads that read side by side, and one that both look back at."""
CELL, CELLS_PER_ROW, BACKGROUND = 72, 10, 236
"""Side of a cell (px), cells in a row, and grey level of the contact sheet."""

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
    """One frame: its number and time (s); if it has a face, `NUMBERS`, track and JPEG."""

    frame: int
    time_s: float
    numbers: NDArray[np.float32] = _NOTHING
    track: int = -1
    jpeg: bytes = b""


def faces_frame(rows: Sequence[FaceRow]) -> pd.DataFrame:
    """The table of `extract_faces`, with the right types even for no rows."""
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
    """Write a faces table as Parquet."""
    with pq.ParquetWriter(str(path), _SCHEMA, compression="zstd") as writer:
        for start in range(0, max(len(faces), 1), BATCH):
            writer.write_table(_arrow(faces.iloc[start : start + BATCH]))


def write_batches(path: str | Path, rows: Iterable[FaceRow]) -> None:
    """Write rows as `write_faces` does, with `BATCH` of them in memory at a time."""
    iterator = iter(rows)
    with pq.ParquetWriter(str(path), _SCHEMA, compression="zstd") as writer:
        while batch := list(islice(iterator, BATCH)):
            writer.write_table(_arrow(faces_frame(batch)))


def _arrow(faces: pd.DataFrame) -> pa.Table:
    # NaN is a value here, not a missing one, so that a table reads back as it was written
    columns = [pa.array(faces[name].to_numpy(), type=_SCHEMA.field(name).type, from_pandas=False) for name in COLUMNS]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def read_faces(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a faces table, or some of its columns.

    Raises:
        InputError: the file is missing or is not a faces table.
    """
    parts = list(iter_faces(path, columns, BATCH))
    return pd.concat(parts, ignore_index=True)


def iter_faces(path: str | Path, columns: Sequence[str] | None = None, rows: int = BATCH) -> Iterator[pd.DataFrame]:
    """Read a faces table in pieces of `rows` rows, in constant memory. Yields at least one piece.

    Raises:
        InputError: the file is missing or is not a faces table.
    """
    names = list(COLUMNS if columns is None else columns)
    try:
        with pq.ParquetFile(str(path)) as file:
            yield from _pieces(file, names, rows)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _not_faces(path) from error


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


def _not_faces(path: str | Path) -> InputError:
    return InputError("not a faces table", file=path, remedy="run the preprocessing pipeline again to rebuild it")


class Jpegs(Protocol):
    """The JPEG of each frame, in memory or on disk: a list, or `FaceImages`."""

    def __getitem__(self, frame: int, /) -> bytes: ...


class FaceImages:
    """The JPEGs of a faces file by row; only `HELD` row groups of `BATCH` rows are in memory.

    Several threads may read from it. It is a context manager and keeps the file open until it exits.

    Args:
        path: Parquet, as `write_faces` wrote it. Kept as an attribute, for messages that name the file.

    Raises:
        InputError: the file is missing or is not a faces table; also from `[row]` if it is damaged further on.
    """

    def __init__(self, path: str | Path):
        self.path, self._lock = path, Lock()
        self._held: OrderedDict[int, Any] = OrderedDict()
        try:
            self._file = pq.ParquetFile(str(path))
        except (OSError, pa.ArrowException) as error:
            raise _not_faces(path) from error
        groups = (self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups))
        self._starts = np.cumsum([0, *groups])

    def __enter__(self) -> FaceImages:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.clear()
        self._file.close()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> bytes:
        """The JPEG of a row; empty if the frame has no face."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        group = int(np.searchsorted(self._starts, row, "right")) - 1
        with self._lock:
            jpegs = self._held[group] if group in self._held else self._read(group)
            self._held.move_to_end(group)
        jpeg: bytes = jpegs[int(row - self._starts[group])].as_py()
        return jpeg

    def _read(self, group: int) -> Any:
        while len(self._held) >= HELD:
            self._held.popitem(last=False)
        try:
            self._held[group] = self._file.read_row_group(group, columns=["jpeg"], use_threads=False).column("jpeg")
        except (OSError, pa.ArrowException, KeyError) as error:
            raise _not_faces(self.path) from error
        return self._held[group]


def encode_face(face: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG of an RGB face (size, size, 3)."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV can't encode an image of shape {face.shape}")
    return bytes(data)


def decode_face(jpeg: bytes) -> NDArray[np.uint8]:
    """RGB face (size, size, 3) uint8 of a row's JPEG.

    Raises:
        ValueError: the bytes are empty (a frame without a face) or not an image.
    """
    image: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        raise ValueError("this row has no face" if not jpeg else "the stored face is not an image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def contact_sheet(paths: Sequence[Path]) -> bytes:
    """PNG with a row per faces file: faces evenly spaced over the clip, an empty cell for a frame without a face."""
    sheet = np.full((max(len(paths), 1) * CELL, CELLS_PER_ROW * CELL, 3), BACKGROUND, np.uint8)
    for row, path in enumerate(paths):
        faces = read_faces(path, columns=["jpeg"])
        jpegs = faces["jpeg"].to_list()
        for column, i in enumerate(np.linspace(0, len(jpegs) - 1, CELLS_PER_ROW).astype(int)):
            if jpegs[i]:
                cell = np.s_[row * CELL : (row + 1) * CELL - 2, column * CELL : (column + 1) * CELL - 2]
                sheet[cell] = cv2.resize(decode_face(jpegs[i]), (CELL - 2, CELL - 2), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("OpenCV can't encode the contact sheet as PNG")
    return encoded.tobytes()
