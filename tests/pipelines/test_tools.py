"""kedro-viz, the notebooks and Jupyter, as a user starts them."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project

from project import Command, environment

pytestmark = pytest.mark.slow
LAYERS = ["raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting"]
PICTURES = {"comparison_figure", "learning_curve_figure", "affect_plane_figure", "traces_figure", "gates_figure"}
TABLES = {"clips", "corpus_summary", "events", "training_index", "predictions", "comparison", "per_video", "embeddings"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(finished: Path, *words: str) -> Iterator[None]:
    """A server of its own process group, ended with all its children."""
    process = subprocess.Popen(
        words, cwd=finished, env=environment(finished), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def fetch(url: str, seconds: float = 120) -> Any:
    """The JSON at an address, once the server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_kedro_viz_shows_every_pipeline_layer_and_preview(finished: Path) -> None:
    bootstrap_project(finished)
    port = free_port()
    with serving(finished, "kedro", "viz", "run", "--no-browser", "--env", "test", "--port", str(port)):
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


def test_kedro_jupyter_notebook_serves_the_notebooks(finished: Path) -> None:
    port = free_port()
    options = (
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",
    )
    with serving(finished, "kedro", "jupyter", "notebook", *options):
        listed = fetch(f"http://127.0.0.1:{port}/api/contents/notebooks")
        assert "results.ipynb" in {entry["name"] for entry in listed["content"]}
        kernels = fetch(f"http://127.0.0.1:{port}/api/kernelspecs")["kernelspecs"]
        assert any(name.startswith("kedro_") for name in kernels)
