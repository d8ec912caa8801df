"""Folders: a corpus as its owner laid it out, and a place for work in progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError

from iaca.corpora.card import FILE
from iaca.engine.results import MANIFEST
from iaca.files import LEFTOVER, write_text


class CorpusFolder(AbstractDataset[dict[str, str], Path]):
    """A corpus on disk. `load` gives its root; `save` writes the text files of a corpus made here, by relative name."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None):
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> Path:
        """The root of the corpus."""
        if not self._path.is_dir():
            raise DatasetError(
                f"There is no corpus at {self._path}. Run the `demo_corpus` pipeline for the embedded one, or give "
                "the root of your own: --params ingestion.root=FOLDER"
            )
        return self._path

    def save(self, data: dict[str, str]) -> None:
        """Write relative name -> text, each file atomically, the card first: it marks the folder as this corpus's. An
        empty mapping writes nothing.

        Raises:
            DatasetError: the folder holds something else; another's corpus is never written into.
        """
        if not data:
            return
        if foreign := self._foreign(data[FILE]):
            raise DatasetError(
                f"{self._path} holds something else than the corpus to be written: {', '.join(foreign[:3])}. "
                "To work on it, leave the `demo_corpus` pipeline out: kedro run --pipelines ingestion,preprocessing,..."
            )
        for name, text in data.items():
            target = self._path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_text(target, text)

    def _foreign(self, card: str) -> list[str]:
        """Entries that are neither this corpus's own nor a folder of per-clip files."""
        own = self._path / FILE
        if not self._path.is_dir() or (own.is_file() and own.read_text() == card):
            return []
        ours = (LEFTOVER, ".gitkeep")  # a run that was killed while it wrote the card has left no more than that
        return sorted(
            p.name for p in self._path.iterdir() if not (p / MANIFEST).exists() and not p.name.startswith(ours)
        )

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class WorkFolder(AbstractDataset[NoReturn, Path]):
    """A folder for work in progress, such as checkpoints: made when asked for, never a result."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None):
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> Path:
        """The folder, made if it is missing."""
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def save(self, data: NoReturn) -> None:
        """Refused: nodes write into the folder themselves."""
        raise DatasetError("a work folder is not an output")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
