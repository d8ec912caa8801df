"""A run sends nothing anywhere, also on a machine on which nobody has switched anything off."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data

from iaca.media import write_movie
from project import ROOT, copy_project, environment
from tattle import tattling

ASKED_FOR_QUIET = ("DO_NOT_TRACK", "CI", "KEDRO_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "ORT_DISABLE_TELEMETRY")


def run(words: list[str], folder: Path, variables: dict[str, str]) -> None:
    inherited = {name: value for name, value in environment(folder).items() if name not in ASKED_FOR_QUIET}
    done = subprocess.run(words, cwd=folder, env={**inherited, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_inference_looks_up_and_connects_to_nothing(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    face = skimage.data.astronaut()[:240, 80:400]
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32)
    write_movie(tmp_path / "clip.mp4", ((i / 10, face) for i in range(10)), 10, tone, 16_000)
    variables, told = tattling(tmp_path, project / "src")
    given = f"inference.input={tmp_path / 'clip.mp4'},inference.output={tmp_path / 'out'}"
    run(["kedro", "run", "--pipelines", "inference", "--params", given], project, variables)
    assert len(pd.read_csv(tmp_path / "out/clip.csv")) == 10
    assert not told.exists(), told.read_text()
    assert (project / "pyproject.toml").read_bytes() == (ROOT / "pyproject.toml").read_bytes()  # no project id in it


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("socket.getaddrinfo('somewhere.invalid', 80)", "socket.getaddrinfo somewhere.invalid"),
        ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))", "socket.sendto 192.0.2.1"),
        ("socket.socket().connect_ex(('127.0.0.1', 9))", ""),
    ],
)
def test_a_process_that_did_so_would_be_found(tmp_path: Path, call: str, told: str) -> None:
    variables, tattle = tattling(tmp_path, ROOT / "src")
    child = f"import contextlib, socket\nwith contextlib.suppress(OSError):\n    {call}"
    run([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"],
        ROOT, variables)  # fmt: skip
    assert (tattle.read_text().strip() if tattle.exists() else "") == told
