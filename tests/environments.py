"""The catalog of any environment in this process; ask for the fixture `default_pipelines` beside it."""

from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog

from iaca.datasets.files import NoClipFiles
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


def check_that_results_lie_apart(env: str, without: set[str], shared: dict[str, str] | None = None) -> None:
    """All that an environment makes lies in a folder of its name in each layer, as the same kind of dataset.

    Args:
        env: its name.
        without: datasets that it does without: nothing is there, nothing is written.
        shared: datasets that are another one's files.
    """
    usual, ours = catalog_of(None), catalog_of(env)
    made = {name for pipeline in pipelines.values() for name in pipeline.all_outputs()} | {"checkpoints"}
    assert {name for name in made if isinstance(ours[name], NoClipFiles)} == without
    for name in made - without - {"corpus", "inference_results", "inference_summary"}:  # those are of no environment
        theirs = location(usual, name)
        own = (*theirs.parts[:2], env, *theirs.parts[2:])
        if other := (shared or {}).get(name):
            assert location(ours, name) == location(ours, other)
            continue
        assert location(ours, name) == Path(*own), name
        assert type(ours[name]) is type(usual[name]), name
