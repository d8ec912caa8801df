"""One command of the project that can be killed at a chosen moment, and what it leaves in `data/`.

Used by `chaos.py`, `same_answer.py` and `tests/pipelines/test_killed_runs.py`.
"""

from __future__ import annotations

import hashlib
import importlib
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
from typing import Literal, TextIO

from watchfiles import Change, watch

VERSION = re.compile(r"\d{4}-\d\d-\d\dT[\d.]+Z")
RANDOM = re.compile(r"\.tmp-(?:[0-9a-f]+-)+")
LEFTOVERS = (".tmp-", ".lock", ".unfinished")
IGNORED = (".gitkeep",)
EXIT_LIMIT_S = 20.0
"""Time (s) within which workers must exit after their parent."""
HEAVY = (
    "kedro.framework.cli.cli", "kedro.framework.session", "kedro_datasets.pandas", "matplotlib.pyplot", "pandas",
    "torch", "lightning", "iaca.training.train", "iaca.inference.write", "iaca.faces.extract", "iaca.corpora.demo",
    "iaca.encoders.embed", "iaca.evaluation.figures", "iaca.evaluation.report", "iaca.evaluation.benchmark_scores",
    "iaca.evaluation.metrics",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """A file that a run was observed to write: its name without random parts, and how often it has appeared by then.

    `count` distinguishes the second `clips.csv` of a run from the first.
    """

    name: str
    count: int


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, to the process group or only to the parent.

    Attributes:
        whom: who receives it.
        event: at this file,
        nth: or when this many files have appeared; if both are None, at a time.
        after_s: delay (s) after that file, or after the start.
    """

    whom: Literal["group", "parent"]
    event: Event | None = None
    nth: int | None = None
    after_s: float = 0.0

    @property
    def at_file(self) -> bool:
        """Whether it waits for a file."""
        return self.event is not None or self.nth is not None


@dataclass(frozen=True)
class Run:
    """A finished or killed run: exit status, output, duration (s) and the files that it was observed to write."""

    status: int
    output: str
    seconds: float
    events: tuple[Event, ...]


def run(project: Path, words: list[str], kill: Kill | None = None, warm: bool = False, **variables: str) -> Run:
    """Run a command in the project, to its end or until `kill`.

    Args:
        project: where it runs.
        words: the command.
        kill: when to kill it, and which processes.
        warm: fork it from this process, after `warm_up`.
        variables: of its environment, if it is not warm.

    Raises:
        RuntimeError: processes of its group were still running `EXIT_LIMIT_S` after their parent.
    """
    log = project / "chaos.log"
    started, seen = time.monotonic(), Counter[str]()
    events: list[Event] = []
    with log.open("w") as out:
        process = Forked(words, project, out) if warm else _started(words, project, out, variables)
        for name in _new_files(project / "data", process, None if kill is None or kill.at_file else kill.after_s):
            seen[name] += 1
            events.append(Event(name, seen[name]))
            if kill and (kill.event == events[-1] or kill.nth == len(events)):
                time.sleep(kill.after_s)
                break
        if kill and process.poll() is None:
            (os.killpg if kill.whom == "group" else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
    seconds = time.monotonic() - started
    _require_exit(process.pid)
    return Run(process.returncode, log.read_text(), seconds, tuple(events))


def environment(project: Path) -> dict[str, str]:
    """Environment of a run: this Python's tools on the project's own code, no telemetry, one numeric thread."""
    tools = Path(sys.executable).parent
    fixed = {"DO_NOT_TRACK": "1", "CI": "1", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    paths = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(project / "src")}
    # Bytecode is cached: most of a round's time is the start of processes.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **fixed, **paths}


def _started(words: list[str], project: Path, out: TextIO, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words, cwd=project, env={**environment(project), **variables}, stdout=out, stderr=out, start_new_session=True
    )


def _new_files(data: Path, process: subprocess.Popen[bytes] | Forked, seconds: float | None) -> Iterator[str]:
    """Files as they appear below `data`, until the process ends or the time (s) is over."""
    end = None if seconds is None else time.monotonic() + seconds
    for changes in watch(data, watch_filter=None, debounce=1, step=1, rust_timeout=5, yield_on_timeout=True):
        for change, path in sorted(changes, key=lambda change: change[1]):
            if change == Change.added:
                yield plain_name(Path(path), data)
        if process.poll() is not None or (end is not None and time.monotonic() >= end):
            return


def _require_exit(group: int) -> None:
    end = time.monotonic() + EXIT_LIMIT_S
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise RuntimeError(f"processes of group {group} still run {EXIT_LIMIT_S:.0f} s after their parent")


# A warm run: a fork of a process that has imported everything, since imports take most of a short run


def warm_up(project: Path, variables: dict[str, str]) -> None:
    """Import what runs need from the project's own code, in the environment of a run."""
    os.environ.update(variables)
    sys.path.insert(0, str(project / "src"))
    for name in HEAVY:
        importlib.import_module(name)
    imported = Path(str(sys.modules["iaca"].__file__))
    assert imported.is_relative_to(project), f"{imported} is not the project's own code"


class Forked:
    """A child of this process that runs a Kedro command as leader of a process group; has the methods of a `Popen`."""

    def __init__(self, words: list[str], project: Path, out: TextIO):
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _run_kedro(words, project, out)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(ended[1])
        return self.returncode

    def wait(self) -> int:
        """Wait for the exit status."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def _run_kedro(words: list[str], project: Path, out: TextIO) -> None:
    status = 1
    try:
        os.setsid()
        os.chdir(project)
        for descriptor in (1, 2):
            os.dup2(out.fileno(), descriptor)
        from kedro.framework.cli.cli import main  # after `warm_up`, from the project's own environment

        sys.argv = words
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:  # `_exit`: no exit handler of the parent may run here
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


# What a run left in `data/`


def differences(data: Path, reference: Path) -> list[str]:
    """How `data` differs from `reference`: files that are missing, unexpected, or have other bytes.

    Of versioned files, the newest version must equal the newest of the reference. Killed runs may have left more
    versions, each of which must equal one of the reference.
    """
    found, wanted = file_hashes(data), file_hashes(reference)
    lines = [f"missing: {name}" for name in wanted if name not in found]
    lines += [f"unexpected: {name}" for name in found if name not in wanted]
    lines += [f"other bytes: {name}" for name in found if name in wanted and not found[name] <= wanted[name]]
    latest = _newest_hashes(reference)
    lines += [f"newest differs: {n}" for n, digest in _newest_hashes(data).items() if latest.get(n, digest) != digest]
    return sorted(lines)


def leftovers(data: Path) -> list[str]:
    """Temporary files, locks and markers, and version folders without a file."""
    found = [plain_name(path, data) for path in data.rglob("*") if path.name.startswith(LEFTOVERS)]
    empty = [p for p in data.rglob("*") if p.is_dir() and VERSION.fullmatch(p.name) and not any(p.iterdir())]
    return sorted(found + [plain_name(path, data) + "/" for path in empty])


def file_hashes(data: Path) -> dict[str, set[str]]:
    """Name -> SHA-256 of the files of that name: one, or one for each version that Kedro keeps."""
    hashes: dict[str, set[str]] = {}
    for path in _results(data):
        hashes.setdefault(plain_name(path, data), set()).add(_sha256(path))
    return hashes


def _newest_hashes(data: Path) -> dict[str, str]:
    """Name -> SHA-256 of the newest version of each file that Kedro versions."""
    return {plain_name(path, data): _sha256(path) for path in _results(data) if VERSION.search(str(path))}


def _results(data: Path) -> list[Path]:
    files = (path for path in sorted(data.rglob("*")) if path.is_file())
    return [path for path in files if path.name not in IGNORED and not path.name.startswith(LEFTOVERS)]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain_name(path: Path, data: Path) -> str:
    """A file's name below `data`, without versions and without the random part of temporary names."""
    return RANDOM.sub(".tmp-", VERSION.sub("VERSION", path.relative_to(data).as_posix()))
