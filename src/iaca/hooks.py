"""Additions to Kedro: versions in order despite a wrong clock, checks of `--params`, short errors, run locks."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any

from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, CatalogProtocol, DataCatalog, DatasetError
from kedro.io.core import generate_timestamp
from kedro.pipeline import Pipeline
from kedro.validation import ParameterValidationError
from pydantic import BaseModel, ValidationError

from iaca.corpora.importers import IMPORTERS
from iaca.engine import ExecutorConfig
from iaca.engine.lock import locked
from iaca.errors import InputError, printable
from iaca.files import make_folder, newest_version, version_after
from iaca.inference.config import NAMED
from iaca.parameters import faults

log = logging.getLogger(__name__)


MODEL, BASELINES = "model", "baseline_models"
"""Datasets that one training run saves together."""


class ProjectContext(KedroContext):
    """A catalog that saves under the newest version. Kedro documents `_get_catalog` as the place to change that."""

    def _get_catalog(
        self,
        catalog_class: type = DataCatalog,
        save_version: str | None = None,
        load_versions: dict[str, str] | None = None,
    ) -> CatalogProtocol[str, AbstractDataset[Any, Any]]:
        """The catalog, whose save version is newer than every existing one, even if the clock is wrong.

        Kedro proposes the time at which the session started; all versioned datasets share one version. A version of the
        model that is asked for is that of its baselines, too, unless another one is asked for.
        """
        if load_versions and MODEL in load_versions:
            load_versions = {BASELINES: load_versions[MODEL], **load_versions}
        proposed = save_version or generate_timestamp()
        entries = [entry for entry in self.config_loader["catalog"].values() if isinstance(entry, Mapping)]
        files = [self.project_path / entry["filepath"] for entry in entries if entry.get("versioned")]
        version = version_after(proposed, files)
        for newest in filter(None, map(newest_version, files)):
            if newest.parent.name >= proposed:
                log.warning(
                    "%s is a version from the future: this machine's clock says %s. Versions saved now are named %s, "
                    "so that they are the newest. Check the clock",
                    newest.parent, proposed, version,
                )  # fmt: skip
        return super()._get_catalog(catalog_class, version, load_versions)


INGESTION, IMPORTER = "ingestion", "importer"


class RunParameters:
    """Before anything runs, makes path parameters absolute and rejects parameters that no pipeline reads."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Make the paths of `--params` absolute, and check its groups.

        Raises:
            InputError: a group is unknown, a value of `executor` or `ingestion` is invalid, or `ingestion` names
                another importer than the environment.
        """
        loader = context.config_loader
        given: dict[str, Any] = loader.runtime_params or {}
        if not given and Path.cwd() == context.project_path:
            return
        loader.runtime_params = {}
        usual = loader["parameters"]
        loader.runtime_params = with_absolute_paths(given, usual, context.project_path)
        _check_groups(given, {*usual, "executor"})
        if "executor" in given:
            _check("executor", ExecutorConfig, given["executor"])
        if INGESTION in given:
            importer = usual[INGESTION][IMPORTER]
            _check_importer(given[INGESTION], importer)
            _check(INGESTION, IMPORTERS[importer], loader["parameters"][INGESTION])


PATHS = (("inference", "input"), ("inference", "output"), ("inference", "model"), (INGESTION, "root"))
"""Parameters that are paths, or patterns or lists of paths."""


def with_absolute_paths(given: Mapping[str, Any], usual: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """The given parameters, with every path absolute, so that nodes, datasets and workers agree on it.

    A relative path on the command line is relative to the current folder, one in the configuration to the project.
    """
    located = {group: dict(values) if isinstance(values, Mapping) else values for group, values in given.items()}
    for group, name in PATHS:
        own, default = located.get(group, {}), usual.get(group, {})
        if isinstance(own, dict) and name in own:
            own[name] = _absolute(own[name], Path.cwd())
        elif isinstance(own, dict) and default.get(name):
            located[group] = own | {name: _absolute(default[name], project)}
    return located


def _absolute(value: Any, base: Path) -> Any:
    """A path, pattern or list of these, absolute; names of models that come with the project are unchanged."""
    if isinstance(value, list | tuple):
        return [_absolute(one, base) for one in value]
    if not isinstance(value, str) or not value or (value in NAMED and not (base / value).exists()):
        return value
    if glob.has_magic(value) and not os.path.lexists(base / value):  # the base folder is not a pattern
        return str(Path(glob.escape(str(base))) / value)
    return str(base / value)


def _check_groups(given: Mapping[str, Any], known: set[str]) -> None:
    for group in given:
        if group not in known:
            near = get_close_matches(group, known, n=1)
            raise InputError(
                f"no pipeline takes a parameter {group!r}",
                remedy=f"{f'did you mean {near[0]}? ' if near else ''}choose one of {', '.join(sorted(known))}",
            )


def _check_importer(given: object, usual: str) -> None:
    """Reject an importer other than the environment's, because results of both would be mixed."""
    if isinstance(given, Mapping) and given.get(IMPORTER, usual) != usual:
        raise InputError(
            f"ingestion.importer is {given[IMPORTER]!r}, but this environment reads with {usual!r}",
            remedy="choose the environment of the importer, such as --env folder, and leave the parameter out",
        )


def _check(group: str, model: type[BaseModel], values: object) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"invalid parameter: {faults(error, f'{group}.')}",
            remedy="correct the value, or leave the parameter out",
        ) from error


STACK = "IACA_TRACEBACK"
"""Environment variable: if set, every error is shown with its traceback."""
FAILED = "Failed while "  # how Kedro's message begins for any error of a dataset
NO_PIPELINE = "Failed to find the pipeline"  # how the message of Kedro's ValueError begins


def show(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    """A `sys.excepthook` that shows an error a user can fix as its message alone."""
    message = message_of(error)
    if message is None or os.environ.get(STACK):
        sys.__excepthook__(kind, error, stack)
    else:
        sys.stderr.write(f"Error: {printable(message)}\n")


def message_of(error: BaseException) -> str | None:
    """The message for the user; None for an error that only its traceback explains."""
    chain = list(_chain(error))
    mine = [one for one in chain if isinstance(one, InputError)]
    if mine:
        wrapped = FAILED in str(error)  # Kedro's wrapper only adds the dataset's name; other wrappers add more
        return str(mine[-1] if wrapped else error)
    of_kedro = isinstance(error, MissingConfigException | ParameterValidationError) or (
        all(isinstance(one, DatasetError) for one in chain) or str(error).startswith(NO_PIPELINE)
    )
    return str(error) if of_kedro else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


LOCKS = Path("data/.runs")


class OneRunAtATime:
    """Locks every dataset on disk that a run both writes and reads, so that a second run of these fails at its start.

    Datasets that a run only writes (a report, a picture) are not locked: writes are atomic, and the last one wins. The
    kernel releases all locks when the run ends, however it ends. The engine also locks folders of per-clip files.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        self._locks = LOCKS

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember the project's folder."""
        self._locks = Path(context.project_path) / LOCKS

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Take all locks, sorted by path.

        Raises:
            InputError: another run holds one of them; the message names its process and host.
        """
        between = (pipeline.all_outputs() & pipeline.all_inputs()) & set(catalog.keys())
        paths = {path.absolute() for name in between if (path := _path(catalog[name])) is not None}
        make_folder(self._locks)
        self._held.close()  # locks of an interrupted run in the same notebook
        try:
            for path in sorted(paths):
                name = f"{path.stem}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
                self._held.enter_context(locked(self._locks, name, path))
        except Exception:
            self._held.close()
            raise

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Release the locks."""
        self._held.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Release the locks."""
        self._held.close()


def _path(dataset: Any) -> Path | None:
    """The path of a dataset; None for one in memory."""
    place = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    return None if place is None else Path(str(place))
