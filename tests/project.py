"""A copy of the project in a folder of its own, and commands run in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = (
    "conf",
    "data",
    "notebooks",
    "src",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    ".telemetry",
    "dvc.yaml",
    "pyproject.toml",
    "README.md",
)

Command = Callable[..., subprocess.CompletedProcess[str]]


def copy_project(folder: Path) -> Path:
    """The project's own files, as a clone would have them; no data, no environment."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PARTS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def environment(project: Path) -> dict[str, str]:
    """The tools of this environment, on the code of that project, quiet."""
    tools = str(Path(sys.executable).parent)
    own = {"DO_NOT_TRACK": "1", "CI": "1", "NO_COLOR": "1"}
    paths = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(project / "src")}
    return {**os.environ, **own, **paths}


def runner(project: Path) -> Command:
    """`command("kedro", "run", ...)` in the project, or in `cwd`; fails the test with the output where it fails."""

    def command(
        *words: str, fails: bool = False, cwd: Path = project, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=cwd, env={**environment(project), **variables}, capture_output=True, text=True, timeout=600
        )
        assert (done.returncode != 0) == fails, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done

    return command


def commit(project: Path, subject: str) -> None:
    """Everything that git does not ignore, by an author of the tests' own."""
    command = runner(project)
    command("git", "config", "user.name", "test")
    command("git", "config", "user.email", "test@localhost")
    command("git", "add", "--all")
    command("git", "commit", "--quiet", "-m", subject)
