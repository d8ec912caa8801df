"""What runs inside a worker of a cluster: is it fit for the work, and one task at a time."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import iaca
from iaca.engine.lock import NAME
from iaca.engine.task import Task
from iaca.engine.worker import ONE_THREAD, Written
from iaca.errors import InputError


def look_around(folder: str, run: str) -> dict[str, Any]:
    """What the driver wants to know of a worker: its host and code, and whether it sees the run's own lock file."""
    lock = Path(folder) / NAME
    return {
        "host": socket.gethostname(),
        "version": iaca.__version__,
        "code": code_digest(),
        "sees": lock.is_file() and lock.read_text() == run,
    }


def work_remotely(work: Callable[[Task, Path, str], Written], task: Task, final: Path, run: str, code: str) -> Written:
    """Run a task as a worker process of the local pool would: on one numeric thread, to the same bytes.

    Raises:
        InputError: this worker joined after the run began, and has other code or does not see the folder.
    """
    if code != code_digest():
        remedy = "install the same state of iaca there, start the worker again, and repeat the command"
        raise InputError(f"a worker on {socket.gethostname()} has other code of iaca", final, remedy=remedy)
    if not final.parent.is_dir():
        remedy = "mount the project's file system there at the same path, and repeat the command"
        raise InputError(f"a worker on {socket.gethostname()} does not see this folder", final.parent, remedy=remedy)
    _one_thread()
    return work(task, final, run)


@cache
def code_digest() -> str:
    """SHA-256 over this package's source: tells states of one version apart."""
    root, digest = Path(iaca.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _one_thread() -> None:
    """One thread for what is imported from now on, and for what Dask or an earlier task has imported already."""
    os.environ.update(ONE_THREAD)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    _limit_loaded_libraries(len(sys.modules))


@cache
def _limit_loaded_libraries(loaded: int) -> None:
    """Linear algebra libraries, once for each state of what is loaded: looking for them takes milliseconds."""
    del loaded
    from threadpoolctl import threadpool_limits  # scikit-learn brings it

    threadpool_limits(limits=1)
