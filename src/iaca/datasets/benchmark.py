"""What an earlier run of the benchmark left, for whoever shows it beside other results."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError

from iaca.evaluation.benchmark.found import BenchmarkFound, find_benchmark


class BenchmarkOutput(AbstractDataset[NoReturn, BenchmarkFound]):
    """The folder with `benchmark_summary.{csv,md,png}`. A benchmark is optional: without one, `load` finds nothing."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None):
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> BenchmarkFound:
        """What is there; its corpus is "" where there is nothing whole."""
        return find_benchmark(self._path)

    def save(self, data: NoReturn) -> None:
        """The pipeline `benchmark` writes it."""
        raise DatasetError(f"{self._path} is written by the pipeline `benchmark`")

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
