"""Where per-video work runs is said in one place, for every folder of per-clip files, and may change for one run."""

from typing import Any

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from iaca.datasets.files import ClipFiles
from iaca.engine import ExecutorConfig
from project import ROOT


def executors(env: str | None, **given: Any) -> dict[str, ExecutorConfig]:
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env=env, runtime_params={"executor": given} if given else None) as session:
        catalog = session.load_context().catalog
        files = {name: catalog[name] for name in catalog}
    return {name: dataset._executor for name, dataset in files.items() if isinstance(dataset, ClipFiles)}


@pytest.mark.parametrize(
    ("env", "given", "kind", "address"),
    [
        (None, {}, "processes", None),
        (None, {"kind": "serial"}, "serial", None),
        ("cluster", {}, "dask", "tcp://127.0.0.1:8786"),
        ("cluster", {"address": "tcp://head:9000"}, "dask", "tcp://head:9000"),
        ("features", {"address": "tcp://head:9000"}, "dask", "tcp://head:9000"),
    ],
)
def test_every_folder_of_clips_has_the_executor_of_its_environment_or_run(
    env: str | None, given: dict[str, str], kind: str, address: str | None
) -> None:
    found = executors(env, **given)
    assert found.pop("tuned_encoders").kind == "serial"  # one training takes the whole machine, wherever the rest runs
    without = {"demo_videos", "faces"} if env == "features" else set()
    assert {"demo_videos", "faces", "embeddings", "training_runs", "inference_results"} - without <= set(found)
    assert {(config.kind, config.address) for config in found.values()} == {(kind, address)}
    assert found["training_runs"].tolerated_failures == 0.0
    assert {found[name].tolerated_failures for name in {"faces", "embeddings"} - without} == {0.5}
