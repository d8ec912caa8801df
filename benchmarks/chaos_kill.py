"""A command of the project in a process group of its own: watched while it writes, killed, and seen to be gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from chaos_plan import Event, Kill
from chaos_warm import Forked
from watchfiles import Change, watch

VERSION = re.compile(r"\d{4}-\d\d-\d\dT[\d.]+Z")
RANDOM = re.compile(r"\.tmp-(?:[0-9a-f]+-)+")
GONE_S = 20.0
"""How long (s) workers may outlive their parent."""


@dataclass(frozen=True)
class Run:
    """How a run ended: its exit status, what it said, how long it took (s), and what it was seen to write."""

    status: int
    said: str
    seconds: float
    events: tuple[Event, ...]


def environment(project: Path) -> dict[str, str]:
    """The tools of this environment on the project's own code, quiet, one numeric thread."""
    tools = Path(sys.executable).parent
    quiet = {"DO_NOT_TRACK": "1", "CI": "1", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    paths = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(project / "src")}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **quiet, **paths}  # compiled once: a round consists of little more than starts


def run(project: Path, words: list[str], kill: Kill | None = None, warm: bool = False, **variables: str) -> Run:
    """Run a command in the project, to its end or until `kill`.

    Args:
        project: where it runs.
        words: the command.
        kill: when it is killed, and who of it.
        warm: fork it off this process, after `chaos_warm.warm_up`.
        variables: of its environment, if it is not warm.

    Raises:
        RuntimeError: processes of the group were still there `GONE_S` after their parent.
    """
    log = project / "chaos.log"
    started, seen = time.monotonic(), Counter[str]()
    events: list[Event] = []
    with log.open("w") as out:
        process = Forked(words, project, out) if warm else _started(words, project, out, variables)
        for name in _written(project / "data", process, None if kill is None or kill.at_file else kill.after_s):
            seen[name] += 1
            events.append(Event(name, seen[name]))
            if kill and (kill.event == events[-1] or kill.nth == len(events)):
                time.sleep(kill.after_s)
                break
        if kill and process.poll() is None:
            (os.killpg if kill.whom == "group" else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
    seconds = time.monotonic() - started
    _require_gone(process.pid)
    return Run(process.returncode, log.read_text(), seconds, tuple(events))


def _started(words: list[str], project: Path, out: TextIO, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words, cwd=project, env={**environment(project), **variables}, stdout=out, stderr=out, start_new_session=True
    )


def plain(path: Path, data: Path) -> str:
    """A file's name below `data`, without versions and without the random part of a temporary name."""
    return RANDOM.sub(".tmp-", VERSION.sub("VERSION", path.relative_to(data).as_posix()))


def _written(data: Path, process: subprocess.Popen[bytes] | Forked, seconds: float | None) -> Iterator[str]:
    """Files as they appear below `data`, until the process ends or the time (s) is over."""
    end = None if seconds is None else time.monotonic() + seconds
    for changes in watch(data, watch_filter=None, debounce=1, step=1, rust_timeout=5, yield_on_timeout=True):
        for change, path in sorted(changes, key=lambda one: one[1]):
            if change == Change.added:
                yield plain(Path(path), data)
        if process.poll() is not None or (end is not None and time.monotonic() >= end):
            return


def _require_gone(group: int) -> None:
    end = time.monotonic() + GONE_S
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise RuntimeError(f"processes of the group {group} outlive their parent by {GONE_S:.0f} s")
