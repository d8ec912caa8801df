"""Datasets of figures (PNG) and of benchmark results. Imports matplotlib and, through the benchmark, torch."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure

from iaca.datasets.files import named
from iaca.evaluation.benchmark_page import BenchmarkFound, find_benchmark
from iaca.evaluation.style import png
from iaca.files import replacing

SIGNATURE, END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class FigureDataset(AbstractDataset[Figure, bytes]):
    """`save` takes a matplotlib Figure, `load` returns the bytes of its PNG; equal figures give equal bytes."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> bytes:
        """The PNG.

        Raises:
            InputError: the file is missing, or is not a complete PNG.
        """
        with named(self._filepath):
            picture = self._filepath.read_bytes()
            if not (picture.startswith(SIGNATURE) and picture.endswith(END)):
                raise ValueError("not a complete PNG")
        return picture

    def save(self, data: Figure) -> None:
        """Draw the figure and write it atomically."""
        with replacing(self._filepath) as partial:
            partial.write_bytes(png(data))

    def preview(self) -> ImagePreview:
        """Preview for kedro-viz."""
        return ImagePreview(base64.b64encode(self.load()).decode())

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class BenchmarkOutput(AbstractDataset[NoReturn, BenchmarkFound]):
    """The folder with `benchmark_summary.{csv,md,png}`. A benchmark is optional: without one, `load` finds nothing."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None):
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> BenchmarkFound:
        """The results; their corpus is "" if the folder has no complete benchmark."""
        return find_benchmark(self._path)

    def save(self, data: NoReturn) -> None:
        """Always fails: the pipeline `benchmark` writes it."""
        raise DatasetError(f"{self._path} is written by the pipeline `benchmark`")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
