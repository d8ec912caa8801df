"""A run that is killed leaves no worker, no half file and no lock behind; a second run beside it is refused."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import _ExecutorManagerThread
from pathlib import Path

import pytest
from driver import slow_tasks

from iaca.engine import ExecutorConfig, run_tasks
from iaca.engine.results import locked, still_ours
from iaca.engine.worker import work
from iaca.errors import InputError

SERIAL = ExecutorConfig(kind="serial")
DRIVER = "import signal, driver; signal.signal(signal.SIGINT, signal.default_int_handler); driver.main()"


def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """A hang, not a timing."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process is at work: not gone, and not dead and waiting for its parent to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Two words that are written at once, and two that take a minute."""
    folder = tmp_path / "words"
    folder.mkdir()
    for name, text in {"a": "ape 0", "b": "bee 0", "c": "cat 60", "d": "dog 60"}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def start(words: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a run on two workers in a process of its own, and hands it over when both long tasks are under way.

    By then the short ones are whole, and noted as such.
    """
    started: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", DRIVER, str(words), str(tmp_path / "out"), json.dumps({"workers": 2})]
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(command, env=environment, text=True, stderr=said, start_new_session=True)
        started.append(process)
        until(lambda: all(text(tmp_path / f"{name}.pid") for name in "cd"))
        until(lambda: text(tmp_path / "out/.manifest.jsonl").count("\n") == 2)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def whole(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_a_killed_run_takes_its_workers_along_and_the_next_one_resumes_to_the_same_bytes(
    words: Path, tmp_path: Path, start: Callable[[], subprocess.Popen[str]]
) -> None:
    process, out = start(), tmp_path / "out"
    workers = {int((tmp_path / f"{name}.pid").read_text()) for name in "cd"}
    assert len(workers) == 2
    assert all(alive(worker) for worker in workers)
    with pytest.raises(InputError, match=f"out: another run is at work here: process {process.pid} on"):
        run_tasks(slow_tasks(words), out, ".txt", SERIAL)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not any(alive(worker) for worker in workers))
    assert sorted(path.name for path in out.glob("*.txt")) == ["a.txt", "b.txt"]
    for name in "cd":
        (words / name).write_text((words / name).read_text().replace("60", "0"))
    report = run_tasks(slow_tasks(words), out, ".txt", SERIAL)
    assert (report.kept, report.made) == (["a", "b"], ["c", "d"])
    run_tasks(slow_tasks(words), tmp_path / "undisturbed", ".txt", SERIAL)
    assert whole(out) == whole(tmp_path / "undisturbed")


@pytest.mark.slow
def test_an_interrupt_ends_run_and_workers_at_once_and_leaves_only_what_is_whole(
    words: Path, tmp_path: Path, start: Callable[[], subprocess.Popen[str]]
) -> None:
    process, out = start(), tmp_path / "out"
    workers = {int((tmp_path / f"{name}.pid").read_text()) for name in "cd"}
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the run and its workers
    assert process.wait(30) != 0  # the tasks would take a minute
    until(lambda: not any(alive(worker) for worker in workers))
    said = (tmp_path / "said").read_text()
    assert said.endswith("KeyboardInterrupt\n")
    assert said.count("Traceback") == 1, said  # the driver's; a worker says nothing
    assert sorted(path.name for path in out.iterdir()) == [".manifest.jsonl", ".unfinished", "a.txt", "b.txt"]


EARLY = """
import multiprocessing.util, os, signal, sys, threading, time
def spawn(path, words, descriptors, usual=multiprocessing.util.spawnv_passfds):
    process = usual(path, words, descriptors)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)  # it has been received before the worker is sent what it starts from
    return process
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # receives what the main thread blocks
from iaca.engine import ExecutorConfig
pool = ExecutorConfig(workers=2).executor()  # what all workers share has been started
multiprocessing.util.spawnv_passfds = spawn
"""


@pytest.mark.slow
def test_an_interrupt_while_a_worker_starts_shows_nothing_of_the_worker(words: Path, tmp_path: Path) -> None:
    code = f"{EARLY}\n{DRIVER}"
    command = [sys.executable, "-c", code, str(words), str(tmp_path / "out"), json.dumps({"workers": 2})]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert done.stderr.count("Traceback") == 1, done.stderr  # the driver's


def test_an_interrupt_while_a_pool_starts_ends_the_run_and_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, start = ExecutorConfig(workers=3), _ExecutorManagerThread.start

    def interrupted(thread: _ExecutorManagerThread) -> None:
        signal.raise_signal(signal.SIGINT)
        start(thread)

    monkeypatch.setattr(_ExecutorManagerThread, "start", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            config.executor().submit(os.getpid)
    finally:
        signal.signal(signal.SIGINT, before)
    config.discard(ending=True)  # "cannot join thread before it is started", if it was not


@pytest.mark.slow
def test_a_folder_is_held_by_one_run_and_free_after_it(tmp_path: Path) -> None:
    with locked(tmp_path) as run:
        assert still_ours(tmp_path, run)
        with pytest.raises(InputError, match=f"process {os.getpid()} on"), locked(tmp_path):
            pass
    with locked(tmp_path) as later:
        assert not still_ours(tmp_path, run)
        assert still_ours(tmp_path, later)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_a_killed_run_left_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text('{"pid": 1, "host": "elsewhere", "run": "old"}')
    with locked(tmp_path) as run:
        assert still_ours(tmp_path, run)


def test_a_file_system_without_locks_is_worked_on_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with caplog.at_level(logging.WARNING), locked(tmp_path) as run:
        assert still_ours(tmp_path, run)
    assert f"{tmp_path}: this file system has no locks" in caplog.text


def test_what_a_worker_of_a_run_that_is_over_brings_is_thrown_away(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with locked(out) as old:
        pass
    with locked(out), pytest.raises(InputError, match="the run that started this task is over"):
        work(slow_tasks(words)["a"], out / "a.txt", old)
    assert list(out.iterdir()) == []


def test_one_clip_more_is_made_alone_and_one_less_goes_alone(words: Path, tmp_path: Path) -> None:
    for name in "cd":
        (words / name).write_text(f"{name} 0")
    pool = ExecutorConfig(workers=2)
    run_tasks(slow_tasks(words), tmp_path / "out", ".txt", pool)
    (words / "e").write_text("elk 0")
    assert run_tasks(slow_tasks(words), tmp_path / "out", ".txt", pool).made == ["e"]
    (words / "e").unlink()
    report = run_tasks(slow_tasks(words), tmp_path / "out", ".txt", pool)
    assert (report.made, report.pruned, len(report.kept)) == ([], ["e"], 4)
    assert len(run_tasks(slow_tasks(words, "?"), tmp_path / "out", ".txt", pool).made) == 4
