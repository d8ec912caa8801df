"""Kedro hooks: one run at a time for what a run writes and reads again."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from iaca.engine.lock import locked
from iaca.files import make_folder

LOCKS = Path("data/.runs")


class OneRunAtATime:
    """Holds every dataset on disk that a run both writes and reads: a second run that would write it too is refused
    before it begins, and does not mix its models and tables with those of the first.

    What a run writes and never reads (a report, a picture) is not held: each file is whole, and the last one stays. The
    kernel lets go of all of them when the run ends, however it ends. Folders of per-clip files are also held by the
    engine, whoever uses it.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        self._locks = LOCKS

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Learn where the project lies."""
        self._locks = Path(context.project_path) / LOCKS

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Take every lock, in the order of names.

        Raises:
            InputError: another run holds one of them; it is named by process and host.
        """
        between = (pipeline.all_outputs() & pipeline.all_inputs()) & set(catalog.keys())
        paths = {path.absolute() for name in between if (path := _path(catalog[name])) is not None}
        make_folder(self._locks)
        self._held.close()  # of a run in this notebook that was interrupted
        try:
            for path in sorted(paths):
                name = f"{path.stem}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
                self._held.enter_context(locked(self._locks, name, path))
        except Exception:
            self._held.close()
            raise

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let go."""
        self._held.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let go."""
        self._held.close()


def _path(dataset: Any) -> Path | None:
    """Where a dataset lies; None for one in memory."""
    place = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    return None if place is None else Path(str(place))
