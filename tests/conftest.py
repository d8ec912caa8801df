"""What tests share: one finished run of the whole workflow on a tiny corpus."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from kedro.framework.startup import bootstrap_project

from project import ROOT, Command, commit, copy_project, runner

# A busy machine is no failure; the same examples in every run, so that no run fails by chance.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In `make test` a process per core takes whole files, and one of them all that share a project."""
    for item in items:
        needed = getattr(item, "fixturenames", ())
        together = next((project for project in ("finished", "clone") if project in needed), str(item.path))
        item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `kedro run --env test` has made everything from the demo corpus to the report."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    command = runner(project)
    command("git", "init", "--quiet")
    commit(project, "start")
    command("kedro", "run", "--env", "test")
    return project


@pytest.fixture
def kedro(finished: Path) -> Command:
    """Runs commands in the finished project."""
    return runner(finished)


@pytest.fixture
def default_pipelines() -> Iterator[None]:
    """Kedro's pipelines are those of the default environment again, whatever a test has loaded."""
    bootstrap_project(ROOT)
    yield
    bootstrap_project(ROOT)
