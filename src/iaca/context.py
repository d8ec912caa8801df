"""The project's Kedro context: the importer that an environment declares decides which pipelines there are."""

from __future__ import annotations

from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines


class ProjectContext(KedroContext):
    """Registers the pipelines for `ingestion.importer` of the environment's parameters.

    Kedro asks for pipelines without saying for which environment; the context is the first to know it, and is made
    before any pipeline is looked up: by `kedro run`, by kedro-viz and in notebooks.
    """

    def __init__(self, **kwargs: Any):
        from iaca.pipeline_registry import IMPORTER, register_pipelines

        super().__init__(**kwargs)
        ingestion = self.config_loader["parameters"].get("ingestion") or {}
        pipelines.clear()
        pipelines.update(register_pipelines(ingestion.get("importer", IMPORTER)))
