"""The environment `mlflow`: runs of Kedro in a local store; the plugin does nothing in any other environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from iaca.errors import InputError
from iaca.hooks import MlflowRuns
from project import ROOT, copy_project, environment
from tattle import tattling

STORE = "data/06_models/tracking/mlflow/mlflow.db"


class Context:
    """What the hook looks at."""

    env = "mlflow"
    project_path = ROOT


def test_without_the_plugin_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kedro_mlflow", None)
    hook = MlflowRuns()
    hook.after_context_created(Context())
    with pytest.raises(InputError, match=r"needs the package kedro-mlflow.*\[kedro-mlflow\]"):
        hook.before_pipeline_run()


def test_another_environment_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kedro_mlflow", None)
    context = Context()
    hook = MlflowRuns()
    hook.after_context_created(context)  # of a session before this one, in the same notebook
    context.env = "features"
    hook.after_context_created(context)
    hook.before_pipeline_run()


def test_the_environment_logs_epochs_and_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap_project(ROOT)
    monkeypatch.setattr(MlflowRuns, "after_context_created", lambda self, context: None)
    with KedroSession.create(ROOT) as session:
        usual = session.load_context().config_loader["parameters"]
    with KedroSession.create(ROOT, env="mlflow") as session:
        loader = session.load_context().config_loader
        assert loader["parameters"]["training"] == {**usual["training"], "logger": "mlflow"}
        assert {k: v for k, v in loader["parameters"].items() if k != "training"} == {
            k: v for k, v in usual.items() if k != "training"
        }


@pytest.mark.slow
def test_a_run_is_in_the_local_store_with_its_parameters_and_nothing_is_sent(tmp_path: Path) -> None:
    pytest.importorskip("kedro_mlflow", reason="kedro-mlflow is of an extra of its name")
    import mlflow

    project = copy_project(tmp_path / "project")
    shutil.copy(project / "conf/test/parameters_demo_corpus.yml", project / "conf/mlflow")
    variables, told = tattling(tmp_path, project / "src")
    inherited = {k: v for k, v in environment(project).items() if k not in ("DO_NOT_TRACK", "CI", "PYTHONPATH")}
    for env, runs in (("test", 0), ("mlflow", 1)):
        words = [sys.executable, "-m", "kedro", "run", "--env", env, "--pipelines", "demo_corpus"]
        done = subprocess.run(words, cwd=project, env=inherited | variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (project / STORE).exists() == bool(runs)
        assert not (project / "mlruns").exists()
    assert not told.exists(), told.read_text()
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{project / STORE}")
    (found,) = client.search_runs([client.get_experiment_by_name("iaca").experiment_id])
    assert found.info.status == "FINISHED"
    assert "identities=6" in found.data.params["demo_corpus"]


def _scores() -> dict[str, float]:
    return {}


def test_the_headline_of_a_run_that_scores_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[dict[str, float]] = []
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(log_metrics=logged.append))
    catalog = DataCatalog({"headline": MemoryDataset({"test_ccc_mean": 0.5})})
    scoring = Pipeline([Node(_scores, None, "headline", name="score")])
    hook = MlflowRuns()
    hook.after_pipeline_run(scoring, catalog)
    assert logged == []
    hook._tracks = True
    hook.after_pipeline_run(Pipeline([]), catalog)
    hook.after_pipeline_run(scoring, catalog)
    assert logged == [{"test_ccc_mean": 0.5}]
