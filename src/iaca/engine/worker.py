"""What runs inside a worker process, local or of a cluster: preparation, one task at a time, and readable errors."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import iaca
from iaca.engine.results import LOCK, still_ours
from iaca.engine.task import Task, read_digest
from iaca.errors import InputError, free_memory, gib, out_of_memory, unreadable
from iaca.files import replacing

# Set before a worker imports its numeric libraries: threads of several processes would compete for the cores.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}
VISIBLE, NVIDIA = "CUDA_VISIBLE_DEVICES", Path("/proc/driver/nvidia/gpus")
Digests = dict[str, str]
"""Name -> SHA-256 of the files that a task has written."""


class OutOfMemoryError(InputError):
    """A task needed more memory than was free while other tasks were running."""


def prepare(started: Any = None, workers: int = 1) -> None:
    """Initialise a worker process of a pool: one numeric thread, its own GPUs, and exit when the parent does.

    Args:
        started: a shared counter (`multiprocessing.Value`) of the workers of the pool that have started.
        workers: of the pool.
    """
    os.environ.update(ONE_THREAD)
    if started is not None:
        with started.get_lock():
            number, started.value = started.value, started.value + 1
        show_own_gpus(number, workers)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


def show_own_gpus(number: int, workers: int) -> None:
    """Divide the GPUs of this machine among its workers, before CUDA starts: otherwise all would take the first one.

    With more workers than GPUs, several share one. A single worker sees all.

    Args:
        number: of this worker, from 0.
        workers: on this machine.
    """
    gpus = visible_gpus()
    if workers > 1 and len(gpus) > 1:
        share = max(len(gpus) // workers, 1)
        first = number * share % len(gpus)
        os.environ[VISIBLE] = ",".join(gpus[first : first + share])


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (given := os.environ.get(VISIBLE)) is not None:
        return [gpu.strip() for gpu in given.split(",") if gpu.strip()]
    return [str(number) for number, _ in enumerate(NVIDIA.glob("*"))]


def _exit_with(sentinel: int) -> None:
    """Exit as soon as the parent has ended, even if it was killed, because its result would be lost.

    The sentinel is the reading end of a pipe that only the parent holds open, so this thread sleeps until then. (A
    parent death signal would also come when only the *thread* that started the pool ends.)
    """
    wait([sentinel])
    os._exit(1)


def work(task: Task, final: Path, run: str) -> Digests:
    """Run a task and move its file into place once complete. Returns the digests of what was written.

    Raises:
        InputError: whatever went wrong, readable for a user; also if the run that the task belongs to is over and
            another one has locked the folder.
    """
    try:
        return _work(task, final, run)
    except InputError as error:
        readable = readable_error(task, error)
        if readable is error:
            raise
        raise readable from error
    except Exception as error:
        raise readable_error(task, error) from error


def _work(task: Task, final: Path, run: str) -> Digests:
    with replacing(final) as partial:
        task.run(partial)
        if not still_ours(final.parent, run):
            remedy = "none is needed: a newer run has taken over"
            raise InputError("the run that started this task is over", final, remedy=remedy)
        extra = () if task.extra_files is None else task.extra_files(partial)
        return {final.name: read_digest(partial)} | {name: read_digest(final.parent / name) for name in extra}


def readable_error(task: Task, error: Exception) -> InputError:
    """The error of a task as a user should read it; an `InputError` stays as it is.

    A missing input is named, whatever its reader raised, and so is a file that may not be read. Errors of libraries
    keep their type name and message, but not their class: some can't be pickled.
    """
    if isinstance(error, PermissionError) and error.filename:
        return unreadable(error)  # before `exists` raises it again
    missing = next((path for path in task.inputs if not path.exists()), None)
    if missing is not None:
        remedy = "restore the file, or remove its clip from the corpus, and run again"
        return InputError("disappeared during the run", missing, remedy=remedy)
    if not isinstance(error, InputError) and out_of_memory(error):
        first = task.inputs[0] if task.inputs else None
        what = f"there was not enough memory ({error or type(error).__name__})"
        return OutOfMemoryError(f"{what}{memory_facts(task, RUSAGE_SELF)}", first, remedy=task.low_memory)
    return as_input_error(error)


def as_input_error(error: BaseException) -> InputError:
    """Any error as an `InputError`, with its type name and message unless a file may not be read."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, PermissionError) and error.filename:
        return unreadable(error)
    remedy = "check that the clip's files are intact; if they are, report this message"
    return InputError(f"unexpected error in this step, {type(error).__name__}: {error}", remedy=remedy)


def worker_died(task: Task, facts: str = "") -> InputError:
    """The error of an item whose worker process dies even when nothing else is running.

    Args:
        task: of the item.
        facts: about memory: of `memory_facts` for a child of this process, of the cluster for its workers.
    """
    return InputError(
        f"its worker process died (killed, out of memory, or a crash in a native library){facts}",
        remedy=f"{task.low_memory}; if it fails then too, leave it out",
    )


def memory_facts(task: Task, whose: int) -> str:
    """`: it had taken 3.4 GiB, mapped files included, for 8.2 GiB of input; 0.2 of 4.0 GiB are free`.

    Args:
        task: that lacked memory.
        whose: `RUSAGE_SELF` for this process, `RUSAGE_CHILDREN` for the largest of its processes that have ended.
    """
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    taken, (free, total) = getrusage(whose).ru_maxrss * unit, free_memory()
    given = gib(input_size(task))
    return (
        f": it had taken {gib(taken)} GiB, mapped files included, for {given} GiB of input; {gib(free)} of "
        f"{gib(total)} GiB are free"
    )


def input_size(task: Task) -> int:
    """Bytes of the input files of a task."""
    return sum(path.stat().st_size for path in task.inputs if path.is_file())


def describe_worker(folder: str, run: str) -> dict[str, Any]:
    """Sent to each worker of a cluster: its host and code, and whether it sees the lock file of this run."""
    lock = Path(folder) / LOCK
    return {
        "host": socket.gethostname(),
        "version": iaca.__version__,
        "code": code_digest(),
        "sees": lock.is_file() and lock.read_text() == run,
    }


def work_remotely(function: Callable[..., Digests], task: Task, final: Path, run: str, code: str) -> Digests:
    """Call `work` on a cluster as a local worker would: on one numeric thread, with the same bytes as result.

    Raises:
        InputError: this worker joined after the run began, and has other code or does not see the folder.
    """
    if code != code_digest():
        remedy = "install the same version of iaca there, restart the worker, and repeat the command"
        raise InputError(f"a worker on {socket.gethostname()} runs different code of iaca", final, remedy=remedy)
    if not final.parent.is_dir():
        mount = "mount the project's file system there at the same path, and repeat the command"
        raise InputError(f"a worker on {socket.gethostname()} does not see this folder", final.parent, remedy=mount)
    _use_one_thread()
    _show_gpus_of_step()
    return function(task, final, run)


@cache
def code_digest() -> str:
    """SHA-256 over this package's source, which also differs between states of one version."""
    root, found = Path(iaca.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _use_one_thread() -> None:
    """One thread for libraries imported later, and for those that Dask or an earlier task has imported already."""
    os.environ.update(ONE_THREAD)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    _limit_loaded_libraries(len(sys.modules))


@cache
def _show_gpus_of_step() -> None:
    """Workers that a step of SLURM has started on one machine divide its GPUs, if SLURM has not done so."""
    if "SLURM_LOCALID" in os.environ and "SLURM_STEP_ID" in os.environ:
        counts = re.findall(r"(\d+)(?:\(x(\d+)\))?", os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1"))
        per_node = [int(tasks) for tasks, times in counts for _ in range(int(times or 1))]  # "4(x2),3" is 4, 4, 3
        node = int(os.environ.get("SLURM_NODEID", "0"))
        show_own_gpus(int(os.environ["SLURM_LOCALID"]), per_node[min(node, len(per_node) - 1)])


@cache
def _limit_loaded_libraries(loaded: int) -> None:
    """Limit linear algebra libraries, once per set of loaded modules: finding the libraries takes milliseconds."""
    del loaded
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)
