"""Where tasks run: a pool of processes, one torch thread each, or the calling process itself."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, Literal

from iaca.config import Parameters

# Set before a worker imports its numeric libraries: threads of one process would fight those of the next.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}
_POOLS: dict[int, ProcessPoolExecutor] = {}  # by number of workers; the interpreter ends them when it exits


class ExecutorConfig(Parameters):
    """How per-video work is spread.

    Attributes:
        kind: `processes` for a process pool, `serial` for the calling process (debugging, one GPU).
        workers: processes; None for one per core.
        tolerated_failures: share of items that may fail before the run as a whole is an error.
    """

    kind: Literal["processes", "serial"] = "processes"
    workers: int | None = None
    tolerated_failures: float = 0.5

    def executor(self) -> Executor:
        """The executor of this configuration. A pool is kept for the next caller: starting one costs seconds."""
        if self.kind == "serial":
            return SerialExecutor()
        if self.count() not in _POOLS:
            # Spawned, not forked: a forked child inherits locks of threads that torch and OpenCV have started.
            context = multiprocessing.get_context("spawn")
            _POOLS[self.count()] = ProcessPoolExecutor(self.count(), mp_context=context, initializer=_one_thread)
        return _POOLS[self.count()]

    def discard(self) -> None:
        """Give the pool up, after one of its workers died; the next caller gets a fresh one."""
        if self.kind == "processes" and (pool := _POOLS.pop(self.count(), None)):
            pool.shutdown(wait=True, cancel_futures=True)

    def count(self) -> int:
        """Workers that `open` starts."""
        return 1 if self.kind == "serial" else self.workers or len(os.sched_getaffinity(0))


class SerialExecutor(Executor):
    """An executor that runs each call at once, where it stands."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the call and hand back its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  a future carries whatever its call raised
            future.set_exception(error)
        return future


def _one_thread() -> None:
    os.environ.update(ONE_THREAD)
