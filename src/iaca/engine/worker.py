"""What runs inside a worker process: its preparation, and one task at a time."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait
from pathlib import Path

from iaca.engine.digests import content
from iaca.engine.faults import plainly
from iaca.engine.lock import still_ours
from iaca.engine.task import Task
from iaca.errors import InputError
from iaca.files import replacing

# Set before a worker imports its numeric libraries: threads of one process would fight those of the next.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}


Written = dict[str, str]
"""Name -> SHA-256 of the files that a task has written."""


def prepare() -> None:
    """Initialise a worker process of a pool: one numeric thread, and an end as soon as its parent ends."""
    os.environ.update(ONE_THREAD)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process at once when its parent has ended, even if it was killed: nobody would take the result.

    The sentinel is the reading end of a pipe that the parent alone holds open, so that this thread sleeps until then.
    (A death signal of the kernel would also come when the parent's *thread* that started the pool ends.)
    """
    wait([sentinel])
    os._exit(1)


def work(task: Task, final: Path, run: str) -> Written:
    """Run a task into its file; the file appears whole or not at all. Gives the digests of what was written.

    Raises:
        InputError: whatever went wrong, as its owner should read it; also when the run that this task belongs to is
            over, and another one has taken the folder.
    """
    try:
        return _work(task, final, run)
    except InputError as error:
        told = plainly(task, error)
        if told is error:
            raise
        raise told from error
    except Exception as error:
        raise plainly(task, error) from error


def _work(task: Task, final: Path, run: str) -> Written:
    with replacing(final) as partial:
        task.run(partial)
        if not still_ours(final.parent, run):
            raise InputError("the run that asked for this is over", final, remedy="none is needed: a newer run is on")
        beside = () if task.beside is None else task.beside(partial)
        return {final.name: content(partial)} | {name: content(final.parent / name) for name in beside}
