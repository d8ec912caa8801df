"""Stock datasets that never leave a half-written file, and never write through a link into a DVC cache."""

from __future__ import annotations

import inspect
from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets.json import JSONDataset as StockJSON
from kedro_datasets.pandas import CSVDataset as StockCSV
from kedro_datasets.pandas import ParquetDataset as StockParquet
from kedro_datasets.text import TextDataset as StockText

from iaca.files import replacing


def version_root(dataset: Any) -> Path | None:
    """Where a versioned dataset writes before its file is whole: beside its versions, so that each of them is whole.

    A version that a killed run left half-written would otherwise stay for ever: no later run writes into its folder.
    """
    return Path(dataset._filepath) if dataset._version else None


class Atomic:
    """Mixin before a versioned file dataset: it writes beside its target, then renames. Local paths only."""

    _redirect: PurePosixPath | None = None

    def _get_save_path(self) -> PurePosixPath:
        return self._redirect or super()._get_save_path()  # type: ignore[misc]

    def save(self, data: Any) -> None:
        """Save through the stock class to a temporary name, then rename it into place."""
        final = Path(super()._get_save_path())  # type: ignore[misc]
        # Kedro wraps every class's `save` with a check that the new version exists: the outer one has to see the
        # renamed file, the stock class's own would look too early.
        stock_save = inspect.unwrap(super().save.__func__)  # type: ignore[misc]
        try:
            with replacing(final, version_root(self)) as partial:
                self._redirect = PurePosixPath(partial.as_posix())
                stock_save(self, data)
        finally:
            self._redirect = None


class CSVDataset(Atomic, StockCSV):  # type: ignore[misc]
    """pandas.CSVDataset, written atomically."""


class ParquetDataset(Atomic, StockParquet):  # type: ignore[misc]
    """pandas.ParquetDataset, written atomically."""


class JSONDataset(Atomic, StockJSON):  # type: ignore[misc]
    """json.JSONDataset, written atomically."""


class TextDataset(Atomic, StockText):  # type: ignore[misc]
    """text.TextDataset, written atomically."""
