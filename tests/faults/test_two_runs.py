"""Two runs at once: what one of them writes and reads again is its own until it ends; the rest is free."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from iaca.datasets.files import JSONDataset
from iaca.errors import InputError
from iaca.hooks import OneRunAtATime
from project import ROOT

PIPELINE = Pipeline(
    [
        Node(lambda: 1, None, "model", name="train"),
        Node(lambda model: model, "model", "report", name="tell"),
    ]
)
TELLING = PIPELINE.only_nodes("tell")


def run_in(project: Path) -> OneRunAtATime:
    hook = OneRunAtATime()
    hook.after_context_created(SimpleNamespace(project_path=project))
    return hook


def catalog(folder: Path) -> DataCatalog:
    return DataCatalog({name: JSONDataset(filepath=str(folder / f"{name}.json")) for name in ("model", "report")})


def test_a_second_run_that_would_mix_its_files_with_the_first_is_refused_until_that_ends(tmp_path: Path) -> None:
    first, second = run_in(tmp_path), run_in(tmp_path)
    first.before_pipeline_run(PIPELINE, catalog(tmp_path))
    refused = rf"{tmp_path / 'model.json'}: another run is at work here: process {os.getpid()} on .* Remedy: wait until"
    with pytest.raises(InputError, match=refused):
        second.before_pipeline_run(PIPELINE, catalog(tmp_path))
    second.before_pipeline_run(PIPELINE, catalog(tmp_path / "of another environment"))
    second.after_pipeline_run()
    second.before_pipeline_run(TELLING, catalog(tmp_path))  # it reads what is whole, and what it writes is its last
    second.on_pipeline_error()
    first.after_pipeline_run()
    second.before_pipeline_run(PIPELINE, catalog(tmp_path))
    second.before_pipeline_run(PIPELINE, catalog(tmp_path))  # in a notebook, after an interruption
    second.after_pipeline_run()
    assert list((tmp_path / "data/.runs").iterdir()) == []


@pytest.mark.usefixtures("default_pipelines")
def test_kedro_run_keeps_to_it() -> None:
    (hook,) = (hook for hook in settings.HOOKS if isinstance(hook, OneRunAtATime))
    with KedroSession.create(ROOT) as session:
        found = session.load_context().catalog
        other = run_in(ROOT)
        other.before_pipeline_run(pipelines["ingestion"], found)
        try:
            with pytest.raises(InputError, match=r"data/02_intermediate/\S+: another run is at work here"):
                session.run(pipeline_names=["ingestion"])
        finally:
            other.after_pipeline_run()
    assert hook._locks == ROOT / "data/.runs"
