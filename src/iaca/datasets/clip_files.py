"""A folder with one file per clip, filled by the engine."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io.core import AbstractDataset, DatasetError
from kedro_datasets._typing import ImagePreview, TablePreview

from iaca.engine import ClipPaths, ExecutorConfig, Task, results, run_tasks
from iaca.engine.results import MANIFEST


class ClipFiles(AbstractDataset[Mapping[str, Task], ClipPaths]):
    """`save` runs a mapping of clip -> task, skipping what is up to date; `load` returns clip -> path of its file.

    Args:
        path: the folder.
        suffix: of the files, such as `.parquet`.
        executor: where tasks run, an `ExecutorConfig` as a mapping; by default one process per core.
        tolerated_failures: share of the clips that may fail before the run fails; by default that of the executor, so
            `executor.tolerated_failures` applies unless the catalog overrides it.
        prune: remove files of clips that left the mapping; False for a user's folder, which collects results.
        bar: show a progress bar; False if the tasks show their own.
        metadata: for kedro-viz.
    """

    def __init__(
        self,
        *,
        path: str,
        suffix: str,
        executor: dict[str, Any] | None = None,
        tolerated_failures: float | None = None,
        prune: bool = True,
        bar: bool = True,
        metadata: dict[str, Any] | None = None,
    ):
        self._path, self._suffix, self._prune, self._bar = Path(path), suffix, prune, bar
        own = {} if tolerated_failures is None else {"tolerated_failures": tolerated_failures}
        self._executor = ExecutorConfig(**{**(executor or {}), **own})
        self.metadata = metadata

    def load(self) -> ClipPaths:
        """Clip -> file of every finished clip, sorted by name; and the failures."""
        if not self._exists():
            raise DatasetError(f"{self._path} has not been made yet: run the pipeline that writes it first")
        return results(self._path, self._suffix)

    def save(self, data: Mapping[str, Task]) -> None:
        """Run the tasks that are not up to date."""
        run_tasks(data, self._path, self._suffix, self._executor, self._prune, self._bar)

    def preview(self, nrows: int = 20) -> TablePreview:
        """Preview for kedro-viz: number and size of the files, all failures, then the first files."""
        paths = self.load()
        sizes = {item: path.stat().st_size for item, path in paths.items() if path.is_file()}
        whole = [(item, f"{size / 1024:.0f} KiB", "") for item, size in sizes.items()]
        failed = [(item, "failed", reason) for item, reason in paths.failures.items()]
        counts = f"clip ({len(whole)} whole, {len(failed)} failed)"
        columns = [counts, f"size ({sum(sizes.values()) / 2**20:.1f} MiB in all)", "reason"]
        return TablePreview(pd.DataFrame((failed + whole)[:nrows], columns=columns).to_dict(orient="split"))

    def _exists(self) -> bool:
        return (self._path / MANIFEST).exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "suffix": self._suffix}


class FaceFiles(ClipFiles):
    """A folder of aligned faces, shown by kedro-viz as a contact sheet."""

    def preview(self, nrows: int = 12) -> ImagePreview:  # type: ignore[override]
        """One row per clip, faces in order of time."""
        from iaca.faces.store import contact_sheet  # imports OpenCV

        paths = [path for path in self.load().values() if path.is_file()]
        return ImagePreview(base64.b64encode(contact_sheet(paths[:nrows])).decode())


class SharedClipFiles(ClipFiles):
    """Files that another dataset of the same environment writes, read under a second name."""

    def save(self, data: Mapping[str, Task]) -> None:
        """Take no task.

        Raises:
            DatasetError: there is one.
        """
        _refuse(data, self._path)


class NoClipFiles(AbstractDataset[Mapping[str, Task], ClipPaths]):
    """An empty stand-in for the files of a step that an environment skips.

    It accepts the settings of the dataset that it replaces and ignores them.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None, **_: Any):
        self.metadata = metadata

    def load(self) -> ClipPaths:
        """No files."""
        return ClipPaths({}, {})

    def save(self, data: Mapping[str, Task]) -> None:
        """Take no task.

        Raises:
            DatasetError: there is one.
        """
        _refuse(data, "a dataset that this environment skips")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}


def _refuse(tasks: Mapping[str, Task], what: object) -> None:
    if tasks:
        raise DatasetError(f"{what} is never written here, but {len(tasks)} tasks were given for it")
