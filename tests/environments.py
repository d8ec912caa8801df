"""The catalog of any environment in this process; ask for the fixture `default_pipelines` beside it."""

from pathlib import Path
from typing import Any

from kedro.framework.session import KedroSession
from kedro.io import DataCatalog

from project import ROOT


def catalog_of(env: str | None, **ingestion: str) -> DataCatalog:
    """The catalog of an environment; `ingestion` as from the command line."""
    with KedroSession.create(ROOT, env=env, runtime_params={"ingestion": ingestion} if ingestion else None) as session:
        return session.load_context().catalog


def location(catalog: DataCatalog, name: str) -> Path:
    """Where a dataset lies, relative to the project where it is inside."""
    dataset: Any = catalog[name]
    path = Path(str(getattr(dataset, "_filepath", None) or dataset._path))
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
