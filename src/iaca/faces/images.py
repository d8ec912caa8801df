"""The images of a clip's faces on disk, read as they are needed."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iaca.faces.store import not_faces

HELD = 3
"""Row groups in memory: two threads that go forward side by side, and one group that both look back at."""


class FaceImages:
    """The JPEGs of a file of faces by row, of which a few row groups of `iaca.faces.store.BATCH` rows are in memory.

    Several threads may read from it. It is a context manager, and holds the file open until it ends.

    Args:
        path: Parquet, as `write_faces` wrote it. It stays known as an attribute, for those who name it.

    Raises:
        InputError: no such file, or no table of faces; also from `[row]`, where the file is torn further on.
    """

    def __init__(self, path: str | Path):
        self.path, self._lock = path, Lock()
        self._held: OrderedDict[int, Any] = OrderedDict()
        try:
            self._file = pq.ParquetFile(str(path))
        except (OSError, pa.ArrowException) as error:
            raise not_faces(path) from error
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
        """The JPEG of a row; empty where no face was found."""
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
            raise not_faces(self.path) from error
        return self._held[group]
