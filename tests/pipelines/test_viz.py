"""kedro-viz as a user opens it: every pipeline, layer and preview, asked of its server and seen in a browser."""

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project

from browser import needs_chromium, tab
from project import Command
from servers import free_port, serving

pytestmark = pytest.mark.slow
LAYERS = ["raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting"]
FIGURES = ("comparison", "learning_curve", "affect_plane", "best_traces", "worst_traces", "gates",
           "gate_distribution", "calibration", "regions", "quadrants", "event_response")  # fmt: skip
PICTURES = {f"{name}_figure" for name in FIGURES} | {"faces"}  # the last one is a contact sheet
TABLES = {"clip_index", "clips", "corpus_summary", "events", "training_index", "labels", "history", "predictions"}
TABLES |= {"comparison", "per_video", "gate_scores", "embeddings", "regions", "failures_found", "postprocessing"}
VALUES = {"metrics", "headline", "model"}
SEEN = {
    "clips": "table.preview-table",
    "gates_figure": "img.pipeline-metadata__plot-image",
    "faces": "img.pipeline-metadata__plot-image",
    "headline": ".pipeline-metadata__preview-json",
}
PATIENCE_MS = 120_000  # a hang, not a timing


class Viz:
    """The running server: `fetch` gives the JSON of one of its addresses."""

    def __init__(self, port: int, fetch: Callable[[str], Any]):
        self.address = f"http://127.0.0.1:{port}"
        self._fetch = fetch

    def fetch(self, path: str) -> Any:
        return self._fetch(f"{self.address}/api/{path}")


@pytest.fixture(scope="module")
def viz(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viz]:
    bootstrap_project(finished)
    port, log = free_port(), tmp_path_factory.mktemp("viz") / "viz.log"
    with serving(finished, log, "kedro", "viz", "run", "--no-browser", "--env", "test", "--port", str(port)) as fetch:
        served = Viz(port, fetch)
        served.fetch("main")  # waits for it
        yield served


def test_runs_leave_no_notes_whose_errors_it_would_show_as_html(finished: Path) -> None:
    assert not list((finished / ".viz").glob("*.json"))


def test_it_serves_every_pipeline_layer_and_preview(viz: Viz) -> None:
    graph = viz.fetch("main")
    assert {p["id"] for p in graph["pipelines"]} == set(pipelines)
    assert graph["layers"] == LAYERS
    nodes = {node["name"]: node["id"] for node in graph["nodes"]}
    for name in sorted(PICTURES | TABLES | VALUES):
        details = viz.fetch(f"nodes/{nodes[name]}")
        assert details["preview"], name
        assert (details["preview_type"] == "ImagePreview") == (name in PICTURES), name
        assert name not in TABLES or details["preview"]["data"], name


@needs_chromium
def test_a_browser_shows_every_pipeline_with_its_layers_and_opens_previews(viz: Viz) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    with tab(strangers="block") as page:  # it asks for a font of the web, and does without
        page.set_default_timeout(PATIENCE_MS)
        page.goto(viz.address)
        page.wait_for_selector(".pipeline-node")
        for name in sorted(pipelines, key="__default__".__eq__):  # the last one stays, and is there when it is clicked
            choose(page, name)
            graph = viz.fetch("main" if name == "__default__" else f"pipelines/{name}")
            drawn = [node for node in graph["nodes"] if node["type"] != "parameters"]  # those are hidden at first
            layers = {node["layer"] for node in drawn if node.get("layer")}
            expect(page.locator(".pipeline-node")).to_have_count(len(drawn))
            expect(page.locator(".pipeline-layer-name")).to_have_count(len(layers))
            assert set(page.locator(".pipeline-layer-name").all_inner_texts()) == layers
        for name, preview in SEEN.items():
            opened(page, name, f".pipeline-metadata:has-text('{name}') {preview}")


def opened(page: Any, name: str, preview: str) -> None:
    """Click a dataset in the list until its preview is there: a layout that arrives late closes what was opened."""
    from playwright.sync_api import TimeoutError as NotYet

    for patience in [10_000] * 8 + [PATIENCE_MS]:
        page.locator("[class*=row-text]", has_text=re.compile(f"^{name}$")).first.click()
        try:
            page.wait_for_selector(preview, timeout=patience)
        except NotYet:
            if patience == PATIENCE_MS:
                raise
        else:
            return


def choose(page: Any, pipeline: str) -> None:
    page.click(".pipeline-list .dropdown__label")
    page.locator(".pipeline-list .menu-option", has_text=re.compile(f"^{pipeline}$")).click()
    page.wait_for_function(f"new URLSearchParams(location.search).get('pid') == '{pipeline}'")


@needs_chromium
def test_the_static_page_that_it_builds_opens_without_its_server(finished: Path, kedro: Command) -> None:
    kedro("kedro", "viz", "build", "--include-previews")
    assert (finished / "build/api/main").exists()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(finished / "build")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tab(strangers="block") as page:
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for_selector(".pipeline-node")
            assert page.locator(".pipeline-layer-name").all_inner_texts() == LAYERS
    finally:
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *words: object) -> None: ...
