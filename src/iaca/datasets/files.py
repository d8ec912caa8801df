"""Kedro's file datasets with atomic writes and clear errors, and datasets of folders.

They write a complete file or none, never write through a link into a DVC cache, and name the file and the remedy if
they cannot read it. `CorpusFolder` is a corpus, `WorkFolder` a place for checkpoints.
"""

from __future__ import annotations

import base64
import inspect
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd
import pyarrow as pa
from kedro.io.core import AbstractDataset, DatasetError, Version, VersionNotFoundError
from kedro_datasets._typing import ImagePreview, TablePreview
from kedro_datasets.json import JSONDataset as StockJSON
from kedro_datasets.pandas import CSVDataset as StockCSV
from kedro_datasets.pandas import ParquetDataset as StockParquet
from kedro_datasets.partitions import PartitionedDataset
from kedro_datasets.text import TextDataset as StockText

from iaca.corpora.index import CARD_FILE
from iaca.engine import ClipPaths, ExecutorConfig, Task, results, run_tasks
from iaca.engine.results import MANIFEST
from iaca.errors import InputError, unreadable
from iaca.files import ARCHIVES, LEFTOVER, is_version, replacing, version_after, versions, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iaca.evaluation.benchmark_page import BenchmarkFound


MAKE_IT = "run the pipeline that writes it"


def version_root(dataset: Any) -> Path | None:
    """Where a versioned dataset writes until its file is complete: next to its versions, which are all complete.

    A half-written version of a killed run would otherwise stay, because no later run writes into its folder.
    """
    return Path(dataset._filepath) if dataset._version else None


class NotMadeError(InputError, VersionNotFoundError):
    """A result that no run has written yet, or that is gone. Its dataset does not know which pipeline writes it.

    Kedro passes it on as it is, and takes it for the absence of a version.
    """


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turn any library's error about an unreadable file into one that names the file and the remedy.

    Raises:
        NotMadeError: there is no such file.
        InputError: its content is not what was written.
    """
    try:
        yield
    except (DatasetError, InputError):
        raise
    except FileNotFoundError as error:
        raise NotMadeError("has not been made yet, or is gone", path, remedy=MAKE_IT) from error
    except Exception as error:
        problem = f"is not what was written there ({type(error).__name__}: {error})"
        raise InputError(problem, path, remedy="run the pipeline that writes it again to rebuild it") from error


class Versioned:
    """Mixin for a versioned dataset: a run loads the version that it saved, and refuses to save a version that later
    runs would not load.

    Kedro alone takes the last folder by name, whatever it is, for the newest version.
    """

    _filepath: PurePosixPath
    _version: Version | None

    def _get_versions(self) -> list[str]:
        """Paths of the versions, newest first."""
        return [str(self._filepath / name / self._filepath.name) for name in reversed(versions(self._filepath))]

    def resolve_load_version(self) -> str | None:
        """The version that the user asked for, else the one that this run saved, else the newest.

        Raises:
            NotMadeError: there is none.
        """
        if self._version and not self._version.load:
            own: str = self.resolve_save_version()  # type: ignore[attr-defined]
            if Path(self._filepath / own / self._filepath.name).exists():
                return own
        try:
            return super().resolve_load_version()  # type: ignore[misc, no-any-return]
        except VersionNotFoundError as error:
            raise NotMadeError("no version of it has been made yet", Path(self._filepath), remedy=MAKE_IT) from error

    def _get_save_path(self) -> PurePosixPath:
        """Where to save.

        Raises:
            DatasetError: the version exists, or later runs would load another one.
        """
        path: PurePosixPath = super()._get_save_path()  # type: ignore[misc]
        own = path.parent.name
        if self._version and not is_version(own):
            raise DatasetError(
                f"Version {own} of {self._filepath} would not be loaded later: its name is not a timestamp"
            )
        if self._version and version_after(own, [self._filepath]) != own:
            raise DatasetError(
                f"Version {own} of {self._filepath} would not be loaded later: version "
                f"{versions(self._filepath)[-1]} was saved meanwhile. Remedy: run again"
            )
        return path


class Atomic(Versioned):
    """Mixin for a versioned file dataset: it writes to a temporary file, then renames it. Local paths only."""

    _redirect: PurePosixPath | None = None

    def _get_save_path(self) -> PurePosixPath:
        return self._redirect or super()._get_save_path()  # type: ignore[misc]

    def load(self) -> Any:
        """Load through the stock class.

        Raises:
            InputError: there is no such file, or its content is not what was written.
            DatasetError: there is no such version.
        """
        stock_load = inspect.unwrap(super().load.__func__)  # type: ignore[misc]
        with named(Path(super()._get_load_path())):  # type: ignore[misc]
            return stock_load(self)

    def save(self, data: Any) -> None:
        """Save through the stock class to a temporary name, then rename it into place."""
        final = Path(super()._get_save_path())  # type: ignore[misc]
        # Kedro wraps every class's `save` in a check that the new version exists. Ours runs after the rename; the
        # stock class's own would run before it.
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

    def load(self) -> pd.DataFrame:
        """As `Atomic`. Arrow would keep the memory of its reader, for millions of rows as much as the table takes."""
        table: pd.DataFrame = super().load()
        pa.default_memory_pool().release_unused()
        return table


class JSONDataset(Atomic, StockJSON):  # type: ignore[misc]
    """json.JSONDataset, written atomically."""


class TextDataset(Atomic, StockText):  # type: ignore[misc]
    """text.TextDataset, written atomically."""


class FileFolder(PartitionedDataset):  # type: ignore[misc]
    """partitions.PartitionedDataset, but a folder without a file is not an error: there may be nothing to save."""

    def load(self) -> dict[str, Callable[[], Any]]:
        """Name -> function that loads the file."""
        empty = Path(self._path).is_dir() and not self._exists()
        return {} if empty else inspect.unwrap(super().load.__func__)(self)  # type: ignore[no-any-return]

    def save(self, data: dict[str, Any]) -> None:
        """Write every file; the folder is there afterwards even if there is none."""
        inspect.unwrap(super().save.__func__)(self, data)
        Path(self._path).mkdir(parents=True, exist_ok=True)


class CorpusFolder(AbstractDataset[dict[str, str], Path]):
    """A corpus on disk. `load` returns its root; `save` writes the text files of the demo corpus, by relative name.

    Args:
        path: its root.
        expects: the folder that a user gives, in words; None for the demo corpus, which a pipeline makes.
        metadata: for kedro-viz.
    """

    def __init__(self, *, path: str, expects: str | None = None, metadata: dict[str, Any] | None = None):
        self._path, self._expects = Path(path), expects
        self.metadata = metadata

    @property
    def option(self) -> str:
        """What names this corpus in a command; empty for the demo corpus."""
        root = shlex.quote(f"ingestion.root={self._path}") if self._exists() else "ingestion.root=FOLDER"
        return f"--params {root}" if self._expects else ""

    def load(self) -> Path:
        """The root of the corpus.

        Raises:
            DatasetError: it is missing.
            InputError: it is not a folder, or may not be listed.
        """
        try:
            with os.scandir(self._path):
                return self._path
        except FileNotFoundError:
            what = f"There is no corpus at {self._path}. "
            own = "for one of your own add --env folder, --env affwild2, --env bah or --env features"
            demo = f"Make the demo corpus: kedro run --pipelines demo_corpus; {own}"
            raise DatasetError(what + (f"Give {self._expects}: {self.option}" if self._expects else demo)) from None
        except NotADirectoryError as error:
            what, remedy = "a file is no corpus", "give the folder that contains it"
            if self._path.suffix.lower() in ARCHIVES:
                what, remedy = "an archive is no corpus", "unpack it, and give the folder that it contains"
            raise InputError(what, self._path, remedy=remedy) from error
        except OSError as error:
            raise unreadable(error, self._path) from error

    def save(self, data: dict[str, str]) -> None:
        """Write relative name -> text, each file atomically; the card first, because it identifies the corpus. An empty
        mapping writes nothing.

        Raises:
            DatasetError: the folder contains something else. Nothing is ever written into a user's corpus.
        """
        if not data:
            return
        if foreign := self._foreign(data[CARD_FILE]):
            raise DatasetError(
                f"{self._path} contains something other than the corpus to be written: {', '.join(foreign[:3])}. "
                "To work on it, leave the `demo_corpus` pipeline out: kedro run --pipelines ingestion,preprocessing,..."
            )
        for name, text in data.items():
            target = self._path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_text(target, text)

    def _foreign(self, card: str) -> list[str]:
        """Entries that are neither this corpus's own nor a folder of per-clip files."""
        own = self._path / CARD_FILE
        if not self._path.is_dir() or (own.is_file() and own.read_text() == card):
            return []
        ours = (LEFTOVER, ".gitkeep")  # a run that was killed while writing the card leaves only these
        return sorted(
            p.name for p in self._path.iterdir() if not (p / MANIFEST).exists() and not p.name.startswith(ours)
        )

    def _exists(self) -> bool:
        return os.path.isdir(self._path)  # noqa: PTH112  Path.is_dir raises an error below a folder that is not ours

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class WorkFolder(AbstractDataset[NoReturn, Path]):
    """A folder for work in progress, such as checkpoints; created when it is loaded, not a result."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None):
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> Path:
        """The folder, created if it is missing."""
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def save(self, data: NoReturn) -> None:
        """Always fails: nodes write into the folder themselves."""
        raise DatasetError("a work folder is not an output")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


# --- one file per clip, filled by the engine ---


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
        """Clip -> file of every finished clip, sorted by name; and the failures.

        Raises:
            NotMadeError: the folder is missing, or holds no results.
            InputError: it is unfinished or damaged.
        """
        if not self._exists():
            raise NotMadeError("has not been made yet", self._path, remedy=MAKE_IT)
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
        from iaca.faces.extract import contact_sheet  # imports OpenCV

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


# --- figures and benchmark results ---

SIGNATURE, END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class FigureDataset(AbstractDataset["Figure", bytes]):
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
        from iaca.evaluation.style import png  # imports matplotlib, which most pipelines don't need

        with replacing(self._filepath) as partial:
            partial.write_bytes(png(data))

    def preview(self) -> ImagePreview:
        """Preview for kedro-viz."""
        return ImagePreview(base64.b64encode(self.load()).decode())

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class BenchmarkOutput(AbstractDataset[NoReturn, "BenchmarkFound"]):
    """The folder with `benchmark_summary.{csv,md,png}`. A benchmark is optional: without one, `load` finds nothing."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None):
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> BenchmarkFound:
        """The results; their corpus is "" if the folder has no complete benchmark."""
        from iaca.evaluation.benchmark_page import find_benchmark  # imports torch

        return find_benchmark(self._path)

    def save(self, data: NoReturn) -> None:
        """Always fails: the pipeline `benchmark` writes it."""
        raise DatasetError(f"{self._path} is written by the pipeline `benchmark`")

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
