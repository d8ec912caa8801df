"""The engine on a Dask cluster: the bytes of a local run, also when a worker is lost, and errors with their remedy."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import slow_tasks

from iaca.engine import ExecutorConfig, Task, executors, run_tasks
from iaca.engine.executors import ClusterExecutor
from iaca.engine.worker import code_digest, describe_worker, work, work_remotely
from iaca.errors import InputError

SERIAL = ExecutorConfig(kind="serial")
SRC = Path(__file__).parents[2] / "src"


def die_or_copy(source: Path, target: Path) -> None:
    """Copy a file; one that says `die` ends whoever reads it."""
    if source.read_text() == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    target.write_bytes(source.read_bytes())


def tell_threads(target: Path) -> None:
    import torch

    target.write_text(str(torch.get_num_threads()))


def until(true: object, seconds: float = 120.0) -> None:
    """A hang, not a timing."""
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


class Cluster:
    """A scheduler and a nanny with two worker processes, which it starts again when they die."""

    def __init__(self, folder: Path):
        self.folder, self.processes = folder, list[subprocess.Popen[bytes]]()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self.launch("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")
        self.config = ExecutorConfig(kind="dask", address=self.address)

    def launch(self, role: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a part of the cluster, in a folder of its own: workers share no working directory with the run."""
        place = self.folder / f"{role}-{len(self.processes)}"
        place.mkdir()
        settings = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            "OMP_NUM_THREADS": "2",
        }
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *options]
        with (place / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=place, env={**os.environ, **settings, **environment}, stderr=log)
        self.processes.append(process)
        return process

    def workers(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """More workers."""
        return self.launch("worker", self.address, "--no-dashboard", *options, **environment)

    def count(self) -> int:
        """Workers that the scheduler knows now."""
        return len(ClusterExecutor(self.address)._client.nthreads())

    def stop(self) -> None:
        """Workers before their scheduler, as far as that is still there."""
        if self.processes[0].poll() is None and executors._connect.cache_info().currsize:
            executors._connect(self.address).close()
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster."""
    pytest.importorskip("distributed", reason="needs the extra `cluster`")
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.workers("--nworkers", "2", "--nthreads", "1")
        until(lambda: made.count() == 2)
        yield made
    finally:  # also where a busy machine did not start it in time
        made.stop()


@pytest.fixture
def words(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    folder.mkdir()
    for name in "abcdef":
        (folder / name).write_text(f"{name} 0.3")
    return folder


def whole(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_a_cluster_makes_the_bytes_of_a_local_run_though_a_worker_is_killed(
    two_workers: Cluster, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (words / "a").write_text("ape 2")
    monkeypatch.chdir(tmp_path)  # paths of a corpus may be relative to where the run was started

    def kill() -> None:
        until(lambda: (tmp_path / "a.pid").exists() and (tmp_path / "a.pid").read_text())
        os.kill(int((tmp_path / "a.pid").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    report = run_tasks(slow_tasks(Path("words")), Path("out"), ".txt", two_workers.config)
    killer.join()
    assert (sorted(report.made), report.failed) == (list("abcdef"), {})
    run_tasks(slow_tasks(words), tmp_path / "local", ".txt", SERIAL)
    assert whole(tmp_path / "out") == whole(tmp_path / "local")
    assert run_tasks(slow_tasks(words), tmp_path / "out", ".txt", two_workers.config).made == []


@pytest.mark.slow
def test_a_task_that_kills_every_worker_fails_by_itself(two_workers: Cluster, words: Path, tmp_path: Path) -> None:
    (words / "c").write_text("die")
    tasks = {path.name: Task("die_or_copy", die_or_copy, (path,)) for path in sorted(words.iterdir())}
    report = run_tasks(tasks, tmp_path / "out", ".txt", two_workers.config)
    assert sorted(report.made) == list("abdef")
    assert list(report.failed) == ["c"]
    assert "worker process died" in report.failed["c"]


@pytest.mark.slow
def test_a_task_has_one_thread_whatever_the_worker_was_started_with(two_workers: Cluster, tmp_path: Path) -> None:
    run_tasks({"t": Task("tell_threads", tell_threads)}, tmp_path / "out", ".txt", two_workers.config)
    assert (tmp_path / "out/t.txt").read_text() == "1"


@pytest.mark.slow
def test_a_worker_with_other_code_or_several_threads_is_named_before_anything_runs(
    two_workers: Cluster, words: Path, tmp_path: Path
) -> None:
    shutil.copytree(SRC / "iaca/engine", tmp_path / "old/iaca/engine")
    for name in ("__init__.py", "parameters.py", "errors.py", "files.py", "text.py"):
        shutil.copy(SRC / "iaca" / name, tmp_path / "old/iaca")
    (tmp_path / "old/iaca/__init__.py").write_text('__version__ = "0.0.1"\n')
    other = os.pathsep.join([str(tmp_path / "old"), str(Path(__file__).parent)])
    for environment, options, message in (
        (
            {"PYTHONPATH": other},
            ("--nthreads", "1"),
            r"runs different code: its iaca is version 0\.0\.1.* Remedy",
        ),
        ({}, ("--nthreads", "3"), "has 3 threads.* --nthreads 1"),
    ):
        known = two_workers.count()
        stranger = two_workers.workers("--no-nanny", *options, **environment)
        until(lambda known=known: two_workers.count() == known + 1)
        with pytest.raises(InputError, match=message):
            run_tasks(slow_tasks(words), tmp_path / "out", ".txt", two_workers.config)
        assert not list((tmp_path / "out").glob("*.txt"))
        stranger.terminate()
        stranger.wait()
        until(lambda known=known: two_workers.count() == known)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_and_what_is_finished_is_kept(
    two_workers: Cluster, words: Path, tmp_path: Path
) -> None:
    (words / "f").write_text("fox 60")

    def kill() -> None:
        journal = tmp_path / "out/.manifest.jsonl"
        until(lambda: (tmp_path / "f.pid").exists() and journal.exists() and '"a"' in journal.read_text())
        two_workers.processes[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(InputError, match=r"connection to the Dask scheduler at tcp:.* was lost.* Remedy"):
        run_tasks(slow_tasks(words), tmp_path / "out", ".txt", two_workers.config)
    killer.join()
    (words / "f").write_text("fox 0")
    assert "a" in run_tasks(slow_tasks(words), tmp_path / "out", ".txt", SERIAL).kept


def test_a_worker_without_the_folder_is_told_apart(tmp_path: Path) -> None:
    found = describe_worker(str(tmp_path / "nowhere"), "run")
    problem, remedy = executors._worker_problem(found, 1) or ("", "")
    assert problem == f"on {socket.gethostname()} does not see this folder"
    assert "same path" in remedy
    (tmp_path / ".lock").write_text("run")
    assert executors._worker_problem(describe_worker(str(tmp_path), "run"), 1) is None


def test_a_worker_that_joins_late_checks_itself(words: Path, tmp_path: Path) -> None:
    task = slow_tasks(words)["a"]
    with pytest.raises(InputError, match=r"different code of iaca.* Remedy"):
        work_remotely(work, task, tmp_path / "a.txt", "", "another digest")
    with pytest.raises(InputError, match=r"does not see this folder.* Remedy: mount"):
        work_remotely(work, task, tmp_path / "nowhere/a.txt", "", code_digest())


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named_in_bounded_time(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="needs the extra `cluster`")
    monkeypatch.setattr(executors, "CONNECT_S", 0.5)
    nobody = ExecutorConfig(kind="dask", address="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*dask scheduler"):
        run_tasks(slow_tasks(words), tmp_path / "out", ".txt", nobody)


def test_without_the_extra_its_name_is_said(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r'pip install "iaca\[cluster\]"'):
        run_tasks(slow_tasks(words), tmp_path / "out", ".txt", ExecutorConfig(kind="dask", address="tcp://nowhere:1"))


@pytest.mark.slow
def test_an_address_belongs_to_a_cluster_and_to_nothing_else() -> None:
    for wrong in ({"kind": "dask"}, {"kind": "serial", "address": "tcp://127.0.0.1:8786"}):
        with pytest.raises(ValueError, match="address"):
            ExecutorConfig(**wrong)  # type: ignore[arg-type]
