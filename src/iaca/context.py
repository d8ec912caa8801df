"""The project's Kedro context: the importer that an environment declares decides which pipelines there are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines
from kedro.io import AbstractDataset, CatalogProtocol, DataCatalog
from kedro.io.core import generate_timestamp
from pydantic import ValidationError

from iaca.config import Parameters, faults
from iaca.engine import ExecutorConfig
from iaca.errors import InputError
from iaca.files import newest_version, version_after
from iaca.pipeline_registry import IMPORTER, ImporterConfig, register_pipelines

PARAMETER = "params:"
log = logging.getLogger(__name__)


class ProjectContext(KedroContext):
    """Registers the pipelines for `ingestion.importer` of the environment's parameters.

    Kedro asks for pipelines without saying for which environment; the context is the first to know it, and is made
    before any pipeline is looked up: by `kedro run`, by kedro-viz and in notebooks.

    Raises:
        InputError: `--params` names a group of parameters that no pipeline of the environment takes, or sets one that
            no node takes to what it can't be.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        ingestion = self.config_loader["parameters"].get("ingestion") or {}
        importer = ingestion.get("importer", IMPORTER) if isinstance(ingestion, Mapping) else IMPORTER
        pipelines.clear()
        pipelines.update(register_pipelines(importer))
        check_given(self.config_loader.runtime_params or {}, ingestion, importer)

    def _get_catalog(
        self,
        catalog_class: type = DataCatalog,
        save_version: str | None = None,
        load_versions: dict[str, str] | None = None,
    ) -> CatalogProtocol[str, AbstractDataset[Any, Any]]:
        """The catalog. What it saves is newer than every version that exists, whatever the clock says.

        Kedro proposes the time at which the session started; all versioned datasets share one version.
        """
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


def check_given(given: Mapping[str, Any], ingestion: object, importer: str) -> None:
    """Check of the parameters given for one run what Kedro does not: it only knows those that a node takes.

    Args:
        given: group -> values, of the command line.
        ingestion: the whole group of that name, those of the environment among them.
        importer: the one that the pipelines are registered for.

    Raises:
        InputError: naming the parameter.
    """
    taken = {name.removeprefix(PARAMETER).split(".")[0] for pipeline in pipelines.values() for name in pipeline.inputs()
             if name.startswith(PARAMETER)}  # fmt: skip
    beside: dict[str, type[Parameters]] = {"executor": ExecutorConfig}
    if importer != IMPORTER:
        beside["ingestion"] = ImporterConfig
    known = sorted(taken | set(beside))
    for group in given:
        if group not in known:
            near = get_close_matches(group, known, n=1)
            raise InputError(
                f"no pipeline of this environment takes a parameter {group!r}",
                remedy=f"{f'did you mean {near[0]}? ' if near else ''}choose of {', '.join(known)}",
            )
    for group, model in beside.items():
        if group not in taken and group in given:
            _check(group, model, ingestion if group == "ingestion" else given[group])


def _check(group: str, model: type[Parameters], values: object) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"the parameter does not fit: {faults(error, f'{group}.')}",
            remedy="give it a value that fits, or leave it out",
        ) from error
