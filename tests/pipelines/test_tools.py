"""The notebooks and Jupyter, as a user starts them."""

import json
from pathlib import Path

import pytest

from project import Command
from servers import free_port, serving

pytestmark = pytest.mark.slow


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
