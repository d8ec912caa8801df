"""A run reports what it has just made, whatever the clock says and whatever else lies among the versions."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroSession

from iaca.inference.config import find_models
from iaca.training.model_file import load_model
from project import copy_project, runner

FILES = {
    "model": "06_models/iaca.safetensors",
    "predictions": "07_model_output/predictions.parquet",
    "metrics": "08_reporting/metrics.json",
}
FUTURE = "2099-01-01T12.00.00.000Z"


@pytest.mark.usefixtures("default_pipelines")
@pytest.mark.parametrize("of", FILES)
@pytest.mark.parametrize(
    ("existing", "save"),
    [
        ("2026-01-31T11.59.59.999Z", "2026-01-31T12.00.00.000Z"),
        ("2026-01-31T12.00.00.000Z", "2026-01-31T12.00.00.001Z"),
        ("2026-01-31T12.05.00.000Z", "2026-01-31T12.05.00.001Z"),
        (FUTURE, "2099-01-01T12.00.00.001Z"),
        ("backup", "2026-01-31T12.00.00.000Z"),
    ],
)
def test_all_datasets_of_a_run_save_one_version_that_is_newer_than_any(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, of: str, existing: str, save: str
) -> None:
    project = copy_project(tmp_path / "project")
    file = project / "data" / FILES[of]
    (file / existing).mkdir(parents=True)
    (file / existing / file.name).touch()
    with KedroSession.create(project) as session:
        catalog = session.load_context()._get_catalog(
            save_version="2026-01-31T12.00.00.000Z", load_versions={"model": "2020-01-01T12.00.00.000Z"}
        )
    saved = {name: catalog[name].resolve_save_version() for name in FILES}
    assert saved == dict.fromkeys(FILES, save)
    assert catalog["model"].resolve_load_version() == "2020-01-01T12.00.00.000Z"
    assert catalog["baseline_models"].resolve_load_version() == "2020-01-01T12.00.00.000Z"  # they belong together
    warned = [record.getMessage() for record in caplog.records if "from the future" in record.getMessage()]
    assert len(warned) == (save != "2026-01-31T12.00.00.000Z")
    assert all(str(file / existing) in message and save in message for message in warned)


def stored(project: Path, name: str, version: str) -> Path:
    file = project / "data" / FILES[name]
    return file / version / file.name


@pytest.mark.slow
def test_versions_from_the_future_are_neither_reported_nor_in_the_way(finished: Path, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    for part in ("01_raw", "02_intermediate", "03_primary", "04_feature"):
        shutil.copytree(finished / "data" / part, project / "data" / part, dirs_exist_ok=True)
    for name in FILES:
        stored(project, name, FUTURE).parent.mkdir(parents=True)
        first = min(path.name for path in (finished / "data" / FILES[name]).iterdir())
        shutil.copy(stored(finished, name, first), stored(project, name, FUTURE))
        (project / "data" / FILES[name] / "zzz").mkdir()
        (stored(project, name, "zzz")).write_text("nothing that a run could read")
    command = runner(project)

    def made(*words: str) -> str:
        """The one version that a run adds to all three."""
        before = set((project / "data").glob("*/*/*Z"))
        command("kedro", "run", "--env", "test", "--params", "training.seed=1", *words)
        (version,) = {path.name for path in set((project / "data").glob("*/*/*Z")) - before}
        return version

    def predicted(version: str) -> pd.DataFrame:
        return pd.read_parquet(stored(project, "predictions", version))

    both = made("--pipelines", "training,evaluation")
    assert load_model(stored(project, "model", both)).metadata["seed"] == "1"
    assert not predicted(both).equals(predicted(FUTURE))
    metrics = json.loads(stored(project, "metrics", both).read_text())
    assert metrics != json.loads(stored(project, "metrics", FUTURE).read_text())
    assert "| seed | 1 |" in (project / "data/08_reporting/model_card.md").read_text()
    assert find_models(project / "data" / FILES["model"]) == [stored(project, "model", both)]

    alone = made("--pipelines", "evaluation")
    pd.testing.assert_frame_equal(predicted(alone), predicted(both))
    assert json.loads(stored(project, "metrics", alone).read_text()) == metrics

    asked = made("--pipelines", "evaluation", "--load-versions", f"model:{FUTURE}")
    pd.testing.assert_frame_equal(predicted(asked), predicted(FUTURE))
    assert FUTURE < both < alone < asked
