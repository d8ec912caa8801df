"""A project under git and DVC, made stage by stage, once for all tests of this folder."""

from pathlib import Path

import pytest
from dvc_runs import ran, shrink

from project import commit, copy_project, runner


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository that holds the project and no data."""
    project = copy_project(tmp_path_factory.mktemp("dvc") / "project")
    shrink(project)
    command = runner(project)
    command("git", "init", "--quiet")
    commit(project, "start")
    return project


@pytest.fixture(scope="session")
def embedded(clone: Path) -> list[str]:
    """What `dvc repro embedding` runs in a clean clone."""
    return ran(runner(clone)("dvc", "repro", "embedding").stdout)


@pytest.fixture(scope="session")
def reported(clone: Path, embedded: list[str]) -> list[str]:
    """What `dvc repro evaluation` runs after that."""
    return ran(runner(clone)("dvc", "repro", "evaluation").stdout)


@pytest.fixture(scope="session")
def finished_by_dvc(clone: Path, reported: list[str]) -> list[str]:
    """What `dvc repro` runs after that."""
    return ran(runner(clone)("dvc", "repro").stdout)


@pytest.fixture(scope="session")
def committed(clone: Path, finished_by_dvc: list[str]) -> Path:
    """The clone in which everything is made, with `dvc.lock` under git."""
    commit(clone, "results")
    return clone
