"""dvc.yaml says the same as the pipelines and the catalog: stages, dependencies, outputs, parameters."""

import re
from typing import Any

import pytest
import yaml
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from environments import catalog_of, location
from project import ROOT

STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
UNTRACKED = {"checkpoints", "sweep_store", "benchmark_found"}  # work in progress; shown where it is, never made for it
APART = {"encoder_training": "tuned_encoders", "sweep": "sweep_trials"}  # made only for who asks for it: no stage
PAGE = "report"  # a stage of the pipeline `evaluation`: its page, which shows the benchmark too
TAGGED = (
    "benchmark",
    "adaptation",
    "evaluation",
    PAGE,
)  # their stages run nodes by a tag of the name
EXAMPLE = ' --params "inference.input=data/01_raw/demo/videos/video2?.mp4"'


def pipeline_of(stage: str) -> str:
    """The pipeline that a stage runs, or a part of it."""
    return "evaluation" if stage == PAGE else stage


def nodes_of(stage: str) -> Pipeline:
    """What a stage runs."""
    pipeline = pipelines[pipeline_of(stage)]
    return pipeline.only_nodes_with_tags(stage) if stage in TAGGED else pipeline


@pytest.fixture(scope="module")
def catalog() -> DataCatalog:
    bootstrap_project(ROOT)
    return catalog_of(None)


def listed(stage: dict[str, Any], *keys: str) -> set[str]:
    entries = [entry for key in keys for entry in stage.get(key, [])]
    return {name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)}


def within(path: str, folders: set[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def stage_parameters(stage: dict[str, Any]) -> set[str]:
    return {name for entry in stage.get("params", []) for names in entry.values() for name in names}


def test_there_is_one_stage_per_pipeline_and_it_runs_that_pipeline() -> None:
    bootstrap_project(ROOT)
    assert set(STAGES) - {PAGE} == set(pipelines) - {"__default__", *APART}
    for name, stage in STAGES.items():
        own = f" --tags {name}" if name in TAGGED else EXAMPLE if name == "inference" else ""
        assert stage["cmd"] == f"kedro run --pipelines {pipeline_of(name)}{own}"


def test_evaluation_and_its_page_are_the_whole_pipeline_and_the_page_follows_the_benchmark() -> None:
    parts = [{node.name for node in nodes_of(name).nodes} for name in ("evaluation", PAGE)]
    assert parts[0] | parts[1] == {node.name for node in pipelines["evaluation"].nodes}
    assert parts[1] == {"write_report"}
    shown = {f"data/08_reporting/benchmark_summary.{ending}" for ending in ("csv", "md", "png")}
    assert shown <= listed(STAGES[PAGE], "deps") & listed(STAGES["benchmark"], "outs", "plots")


@pytest.mark.parametrize("name", STAGES)
def test_every_input_of_the_pipeline_is_a_dependency(name: str, catalog: DataCatalog) -> None:
    inputs = {i for i in nodes_of(name).inputs() if not i.startswith("params:")} - UNTRACKED
    missing = {i for i in inputs if not within(str(location(catalog, i)), listed(STAGES[name], "deps"))}
    assert not missing


@pytest.mark.parametrize("name", STAGES)
def test_outputs_of_pipeline_and_stage_are_the_same(name: str, catalog: DataCatalog) -> None:
    tracked = listed(STAGES[name], "outs", "metrics", "plots")
    written = {str(location(catalog, output)) for output in nodes_of(name).all_outputs()}
    assert {path for path in written if not within(path, tracked)} == set()
    assert {path for path in tracked if path not in written} == set()


@pytest.mark.parametrize("name", STAGES)
def test_parameters_of_pipeline_and_stage_are_the_same(name: str) -> None:
    used = {i.removeprefix("params:") for i in nodes_of(name).inputs() if i.startswith("params:")}
    assert used == stage_parameters(STAGES[name])


def test_tracked_parameters_stand_literally_in_their_files() -> None:
    """DVC reads the YAML as it is: an interpolation would be invisible to it."""
    for stage in STAGES.values():
        for entry in stage.get("params", []):
            for file, names in entry.items():
                text = (ROOT / file).read_text()
                assert "${" not in text, file
                assert set(names) <= set(yaml.safe_load(text)), file


def test_what_is_versioned_or_incremental_survives_a_rerun(catalog: DataCatalog) -> None:
    kept = {
        path
        for stage in STAGES.values()
        for entry in stage.get("outs", [])
        if isinstance(entry, dict)
        for path, options in entry.items()
        if options["persist"]
    }
    for name in catalog:
        dataset = catalog[name]
        incremental = hasattr(dataset, "_executor") or getattr(dataset, "_version", None)
        if incremental and not re.match(r"params:|parameters", name) and name not in APART.values():
            assert within(str(location(catalog, name)), kept), name
