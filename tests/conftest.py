"""What tests share: one finished run of the whole workflow on a tiny corpus."""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from kedro.framework.startup import bootstrap_project

from iaca.files import PROJECT
from project import ROOT, Command, commit, copy_project, runner

# A busy machine is no failure; the same examples in every run, so that no run fails by chance.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

PROJECTS = ("finished", "clone")  # fixtures that make a project, the one with the longest tests first


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In `make test` a process per core takes whole groups: files, and the tests that share a project.

    They are taken in this order: first those that share a project, then those with slow tests, then the longest files.
    So no process has a long group left to do when the others are done.
    """
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        needed = getattr(item, "fixturenames", ())
        together = next((project for project in PROJECTS if project in needed), str(item.path))
        item.add_marker(pytest.mark.xdist_group(together))
        groups.setdefault(together, []).append(item)

    def turn(group: str) -> tuple[bool, int, int]:
        slow = sum(item.get_closest_marker("slow") is not None for item in groups[group])
        return group not in PROJECTS, PROJECTS.index(group) if group in PROJECTS else -slow, -len(groups[group])

    items[:] = [item for group in sorted(groups, key=turn) for item in groups[group]]


def pytest_configure(config: pytest.Config) -> None:
    """xdist would take the group with the most tests first: thousands of them take less time than a few commands."""
    config.option.loadscopereorder = False


@pytest.fixture(scope="module", autouse=True)
def fewer_objects() -> None:
    """Training collects garbage after each model. Among the million objects of a test process that takes 0.8 s, longer
    than a tiny model takes to train; objects that are there before a file of tests are left out."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are not those of a project whose parameters an earlier test has read."""
    monkeypatch.delenv(PROJECT, raising=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `kedro run --env test` has made everything from the demo corpus to the report."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    command = runner(project)
    command("git", "init", "--quiet")
    commit(project, "start")
    command("kedro", "run", "--env", "test")
    shutil.copytree(project / "data", project.with_name("as_made"))
    return project


@pytest.fixture(scope="session")
def as_made(finished: Path) -> Path:
    """The folder `data` of that project as the run left it, whatever later tests have made there."""
    return finished.with_name("as_made")


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
