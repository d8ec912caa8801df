"""DVC as a user types it: from a clean clone, again, and after a change."""

import re
from pathlib import Path

import pytest
import yaml

from project import ROOT, copy_project, runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git clone whose own parameters are the small ones of the test environment."""
    project = copy_project(tmp_path_factory.mktemp("dvc") / "project")
    for small in (ROOT / "conf/test").glob("parameters_*.yml"):
        base = project / "conf/base" / small.name
        merged = yaml.safe_load(base.read_text())
        for key, values in yaml.safe_load(small.read_text()).items():
            merged[key] = {**merged[key], **values} if isinstance(values, dict) else values
        base.write_text(yaml.safe_dump(merged))
    command = runner(project)
    command("git", "init", "--quiet")
    command("git", "config", "user.name", "test")
    command("git", "config", "user.email", "test@localhost")
    command("git", "add", "--all")
    command("git", "commit", "--quiet", "-m", "start")
    return project


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


def test_repro_makes_everything_once_and_then_only_what_changed(clone: Path) -> None:
    command = runner(clone)
    stages = list(yaml.safe_load((clone / "dvc.yaml").read_text())["stages"])
    assert sorted(ran(command("dvc", "repro").stdout)) == sorted(stages)
    assert (clone / "data/08_reporting/report.html").exists()
    assert command("git", "status", "--porcelain", "--untracked-files=no").stdout == ""

    again = command("dvc", "repro").stdout
    assert ran(again) == []
    assert "up to date" in again

    parameters = clone / "conf/base/parameters_training.yml"
    parameters.write_text(parameters.read_text().replace("epochs: 2", "epochs: 1"))
    changed = command("dvc", "repro").stdout
    # the benchmark trains with the same parameters: it would be stale otherwise
    assert sorted(ran(changed)) == ["benchmark", "evaluation", "training"]
    assert len(list((clone / "data/06_models/iaca.safetensors").iterdir())) == 2  # the older model is still there

    shown = command("dvc", "metrics", "show").stdout
    assert "validation_ccc_valence" in shown
