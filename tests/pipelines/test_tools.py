"""kedro-viz, the notebooks and Jupyter, as a user starts them."""

import json
from pathlib import Path

import pytest
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project

from project import Command
from servers import free_port, serving

pytestmark = pytest.mark.slow
LAYERS = ["raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting"]
PICTURES = {"comparison_figure", "learning_curve_figure", "affect_plane_figure", "traces_figure", "gates_figure"}
TABLES = {"clips", "corpus_summary", "events", "training_index", "predictions", "comparison", "per_video", "embeddings"}


def test_kedro_viz_shows_every_pipeline_layer_and_preview(finished: Path, tmp_path: Path) -> None:
    bootstrap_project(finished)
    port = free_port()
    words = ("kedro", "viz", "run", "--no-browser", "--env", "test", "--port", str(port))
    with serving(finished, tmp_path / "viz.log", *words) as fetch:
        graph = fetch(f"http://127.0.0.1:{port}/api/main")
        assert {p["id"] for p in graph["pipelines"]} == set(pipelines)
        assert graph["layers"] == LAYERS
        nodes = {node["name"]: node["id"] for node in graph["nodes"]}
        for name in PICTURES | {"faces"}:
            details = fetch(f"http://127.0.0.1:{port}/api/nodes/{nodes[name]}")
            assert details["preview_type"] == "ImagePreview", name
            assert details["preview"], name
        for name in TABLES:
            details = fetch(f"http://127.0.0.1:{port}/api/nodes/{nodes[name]}")
            assert details["preview"]["data"], name
        for name in ("metrics", "headline", "model"):
            assert fetch(f"http://127.0.0.1:{port}/api/nodes/{nodes[name]}")["preview"], name


def test_kedro_viz_builds_a_static_page(finished: Path, kedro: Command) -> None:
    kedro("kedro", "viz", "build", "--include-previews")
    assert (finished / "build/index.html").exists()
    assert (finished / "build/api/main").exists()


@pytest.mark.parametrize("notebook", sorted(p.name for p in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb")))
def test_a_notebook_runs_through_and_is_committed_without_outputs(
    finished: Path, kedro: Command, tmp_path: Path, notebook: str
) -> None:
    source = json.loads((finished / "notebooks" / notebook).read_text())
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in source["cells"])
    kedro(
        "jupyter",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        f"notebooks/{notebook}",
        "--output-dir",
        str(tmp_path),
    )


def test_kedro_jupyter_notebook_serves_the_notebooks(finished: Path, tmp_path: Path) -> None:
    port = free_port()
    options = (
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",
    )
    with serving(finished, tmp_path / "jupyter.log", "kedro", "jupyter", "notebook", *options) as fetch:
        listed = fetch(f"http://127.0.0.1:{port}/api/contents/notebooks")
        assert "results.ipynb" in {entry["name"] for entry in listed["content"]}
        kernels = fetch(f"http://127.0.0.1:{port}/api/kernelspecs")["kernelspecs"]
        assert any(name.startswith("kedro_") for name in kernels)
