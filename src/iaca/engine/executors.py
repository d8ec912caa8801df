"""Where tasks run (a process pool, the calling process, a Dask cluster), and how failures stay with their own item."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from queue import Empty, SimpleQueue
from resource import RUSAGE_CHILDREN
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from iaca.engine.task import Task
from iaca.engine.worker import (
    Digests,
    OutOfMemoryError,
    as_input_error,
    code_digest,
    describe_worker,
    input_size,
    memory_facts,
    prepare,
    work,
    work_remotely,
    worker_died,
)
from iaca.errors import InputError, StorageError, gib
from iaca.parameters import Parameters

CONNECT_S = 10.0
"""How long (s) to wait for a Dask scheduler to answer."""
IDLE_S = 60.0
"""How long (s) a cluster may be without any worker before the run ends."""
POLL_S = 5.0
"""How often (s) to check a cluster on which nothing finishes."""
_START = "start it with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1` (docs/guide/cluster.md)"
_POOLS: dict[int, ProcessPoolExecutor] = {}  # by number of workers; the interpreter ends them when it exits


class ExecutorConfig(Parameters):
    """How per-video work is distributed.

    Attributes:
        kind: `processes` for a process pool, `serial` for the calling process (debugging, one GPU), `dask` for the
            workers of a Dask cluster.
        workers: processes of the pool; None for one per core.
        address: of the Dask scheduler, such as `tcp://host:8786`; only for `dask`, which it implies.
        tolerated_failures: share of items that may fail before the whole run is an error.
    """

    kind: Literal["processes", "serial", "dask"] = "processes"
    workers: int | None = Field(None, ge=1, le=1024)
    address: str | None = None
    tolerated_failures: float = Field(0.5, ge=0.0, le=1.0)

    @model_validator(mode="before")
    @classmethod
    def _address_implies_a_cluster(cls, given: Any) -> Any:
        return {"kind": "dask", **given} if isinstance(given, dict) and given.get("address") else given

    @model_validator(mode="after")
    def _address_of_the_cluster(self) -> ExecutorConfig:
        if (self.kind == "dask") != (self.address is not None):
            raise ValueError(f"`address` is the scheduler's, for kind dask only, which needs it (kind is {self.kind})")
        return self

    def executor(self) -> Executor:
        """The executor of this configuration. A pool is kept for the next caller: starting one costs seconds."""
        if self.kind == "serial":
            return SerialExecutor()
        if self.address is not None:
            return ClusterExecutor(self.address)
        if self.count() not in _POOLS:
            context = PoolContext()
            started = (context.Value("i", 0), self.count())
            _POOLS[self.count()] = Pool(self.count(), context, prepare, started)
        return _POOLS[self.count()]

    def discard(self, ending: bool = False) -> None:
        """Drop a pool of which a worker has died; the next caller gets a new one.

        Args:
            ending: end its workers first, whatever they are doing: the user has interrupted the run.
        """
        if ending:
            for worker in multiprocessing.active_children():
                if isinstance(worker, PoolWorker):
                    worker.terminate()
        if self.kind == "processes" and (pool := _POOLS.pop(self.count(), None)):
            pool.shutdown(wait=True, cancel_futures=True)

    def in_flight(self, waiting: int) -> int:
        """Tasks to submit at a time. A cluster gets all: it has its own queue, and may scale with its length."""
        return waiting if self.kind == "dask" else 2 * self.count()

    def count(self) -> int:
        """Number of workers in the pool."""
        return 1 if self.kind == "serial" else self.workers or usable_cores()


def usable_cores() -> int:
    """Cores that this process may use; those of the machine where the system has no such limit, as macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PoolWorker(SpawnProcess):
    """A worker process without interrupts: on Ctrl-C the terminal sends one to each process, but only the run that
    started the worker answers, and ends it. Blocked from the start, since a worker takes seconds to import."""

    def start(self) -> None:
        with _interrupts_wait():
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the child inherits the mask
            try:
                super().start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Delay an interrupt until the block ends: a worker that gets only half of what it starts from shows a traceback.

    Blocking the signal is not enough: another thread receives it, and Python still raises it in this one.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None:  # set by other than Python
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


class Pool(ProcessPoolExecutor):
    """A pool whose start an interrupt does not cut in two: it could then neither be used nor shut down."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As in the base class; an interrupt is raised when the task has been queued."""
        with _interrupts_wait():
            return super().submit(fn, *args, **kwargs)


class PoolContext(SpawnContext):
    """Spawned, not forked: a forked child inherits locks of threads that torch and OpenCV have started."""

    Process = PoolWorker


class Outcome(NamedTuple):
    """The result of an item: digests of its files by name, or the error."""

    item: str
    files: Digests | None
    error: InputError | None = None


@dataclass(frozen=True)
class Execution:
    """Runs the tasks of `items` into `folder/<item><suffix>`, for the run that holds the folder's lock."""

    tasks: Mapping[str, Task]
    items: Sequence[str]
    folder: Path
    suffix: str
    config: ExecutorConfig
    run: str

    def outcomes(self) -> Iterator[Outcome]:
        """Run every task, yielding outcomes in order of completion.

        A full or read-only disk stops the run: tasks that are running finish, the others have no outcome.
        """
        waiting, suspects, halted = deque(self.items), dict[str, InputError | None](), False
        executor = self.config.executor() if waiting else None
        if isinstance(executor, ClusterExecutor):
            executor.check_workers(self.folder, self.run)
        while waiting and not halted:
            halted = yield from self._run_waiting(waiting, suspects, self.config.in_flight(len(waiting)))
        # Tasks that were running when a worker died, or that ran out of memory, are retried one at a time,
        # so only the culprit fails.
        for item in suspects:
            culprits = dict[str, InputError | None]()
            halted = halted or (yield from self._run_waiting(deque([item]), culprits, 1))
            for error in culprits.values():
                yield Outcome(item, None, error or worker_died(self.tasks[item], self._memory(item)))

    def _run_waiting(
        self, waiting: deque[str], suspects: dict[str, InputError | None], in_flight: int
    ) -> Generator[Outcome, None, bool]:
        """Run items of `waiting` until none is left, a worker dies, or the disk is full (then it returns True).

        Items that were running when a worker died go to `suspects` with None, those that lacked memory with the error.
        At most `in_flight` are submitted at a time, so that a dead worker makes few suspects.
        """
        executor, running, died, halted = self.config.executor(), dict[Future[Digests], str](), False, False
        done = SimpleQueue[Future[Digests]]()  # `concurrent.futures.wait` would look at all running tasks each time
        try:
            while running or (waiting and not died and not halted):
                while waiting and len(running) < in_flight and not died and not halted:
                    item = waiting.popleft()
                    try:
                        future = executor.submit(work, self.tasks[item], self._file(item), self.run)
                    except BrokenProcessPool:
                        died, suspects[item] = True, None
                        continue
                    running[future] = item
                    future.add_done_callback(done.put)
                if not running or (future := _next_done(executor, done)) not in running:  # it was cancelled
                    continue
                item, error = running.pop(future), _error(executor, future)
                if _worker_died(error):
                    died, suspects[item] = True, None
                elif isinstance(error, OutOfMemoryError):
                    suspects[item] = error
                else:
                    halted = halted or isinstance(error, StorageError)
                    yield (
                        Outcome(item, future.result()) if error is None else Outcome(item, None, as_input_error(error))
                    )
                if halted:
                    running = {future: item for future, item in running.items() if not future.cancel()}
        except KeyboardInterrupt:
            self.config.discard(ending=True)
            raise
        finally:
            for future in running:  # the caller stopped iterating
                future.cancel()
        if died:
            self.config.discard()
        return halted

    def _memory(self, item: str) -> str:
        """What is known about the memory of a worker that died, for its error."""
        if self.config.kind == "processes":
            return memory_facts(self.tasks[item], RUSAGE_CHILDREN)
        executor = self.config.executor()
        return executor.memory_facts(self.tasks[item]) if isinstance(executor, ClusterExecutor) else ""

    def _file(self, item: str) -> Path:
        return self.folder / f"{item}{self.suffix}"


def _next_done(executor: Executor, done: SimpleQueue[Future[Digests]]) -> Future[Digests]:
    """Wait for the next finished task. A cluster is checked meanwhile."""
    while True:
        try:
            return done.get(timeout=POLL_S if isinstance(executor, ClusterExecutor) else None)
        except Empty:
            if isinstance(executor, ClusterExecutor):
                executor.check_alive()


def _error(executor: Executor, future: Future[Digests]) -> BaseException | None:
    if isinstance(executor, ClusterExecutor) and future.cancelled():  # what Dask does when its scheduler goes away
        raise executor.lost()
    return future.exception()


def _worker_died(error: BaseException | None) -> bool:
    """Whether the worker ended instead of the task. Dask's error is compared by name: it may not be installed."""
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"


class SerialExecutor(Executor):
    """An executor that runs each call immediately in the calling thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the call and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  a future carries whatever its call raised
            future.set_exception(error)
        return future


class ClusterExecutor(Executor):
    """An executor on a Dask cluster, on any number of machines with a shared file system.

    Dask reruns the task of a lost worker on another one, and gives up with `KilledWorker` after the third time.

    Args:
        address: of the scheduler, such as `tcp://host:8786`.

    Raises:
        InputError: `distributed` is not installed, or no scheduler answers within `CONNECT_S`.
    """

    def __init__(self, address: str):
        self._address, self._client = address, _connect(address)
        self._futures = self._client.get_executor(pure=False)
        self._last_seen = time.monotonic()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call of `iaca.engine.worker.work`, with absolute paths; the worker is checked first."""
        task, final, run = args
        future: Future[Any] = self._futures.submit(
            work_remotely, fn, with_absolute_paths(task), final.absolute(), run, code_digest(), **kwargs
        )
        return future

    def check_workers(self, folder: Path, run: str) -> None:
        """Check every worker before anything is submitted.

        Raises:
            InputError: a worker has several threads, runs different code, or does not see the folder.
        """
        threads: dict[str, int] = self._client.nthreads()
        found = self._client.run(describe_worker, str(folder.absolute()), run, on_error="return")
        for worker in sorted(found):
            if problem := _worker_problem(found[worker], threads.get(worker, 1)):
                what, remedy = problem
                raise InputError(f"the worker {worker} {what}", folder, remedy=remedy)

    def check_alive(self) -> None:
        """Called while nothing finishes.

        Raises:
            InputError: the scheduler is gone, or there has been no worker for `IDLE_S`.
        """
        if self._client.status != "running":
            raise self.lost()
        if self._client.nthreads():
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > IDLE_S:
            raise InputError(f"the cluster at {self._address} has no worker", remedy=f"start one: {_START}")

    def memory_facts(self, task: Task) -> str:
        """What a task needed at least, and what the workers have: `: its input has 8.2 GiB; the limit of a worker is
        4.0 GiB`."""
        workers = self._client.scheduler_info()["workers"].values()
        limits = [worker["memory_limit"] for worker in workers if worker.get("memory_limit")]
        limit = f"the limit of a worker is {gib(min(limits))} GiB" if limits else "Dask limits no worker, its job may"
        return f": its input has {gib(input_size(task))} GiB; {limit}"

    def lost(self) -> InputError:
        """Close the client of a scheduler that went away; returns the error to raise."""
        _connect.cache_clear()
        self._client.close(timeout=1)
        remedy = "start the scheduler again and repeat the command: finished results are kept"
        return InputError(f"the connection to the Dask scheduler at {self._address} was lost", remedy=remedy)


@cache
def _connect(address: str) -> Any:
    """One client per scheduler and process; the interpreter closes it when it exits."""
    try:
        from distributed import Client
    except ImportError as error:
        remedy = 'install the extra: pip install "iaca[cluster]"'
        raise InputError("`distributed` is not installed", remedy=remedy) from error
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        problem = f"no Dask scheduler answers at {address} within {CONNECT_S:.0f} s ({type(error).__name__})"
        raise InputError(problem, remedy=f"check address and network, or {_START}") from error


def with_absolute_paths(task: Task) -> Task:
    """The task with absolute paths: a worker has another working directory."""

    def absolute(values: Any) -> dict[str, Any]:
        return {name: value.absolute() if isinstance(value, Path) else value for name, value in values.items()}

    inputs = tuple(path.absolute() for path in task.inputs)
    return replace(task, inputs=inputs, parameters=absolute(task.parameters), settings=absolute(task.settings))


def _worker_problem(found: Any, threads: int) -> tuple[str, str] | None:
    """What is wrong with a worker, and the remedy, from what `describe_worker` returned or raised there."""
    if isinstance(found, ImportError):
        return f"can't import this package ({found})", "install the same version of iaca there"
    if isinstance(found, BaseException):
        return f"could not be checked ({type(found).__name__}: {found})", "see that worker's own log"
    if found["code"] != code_digest():
        what = f"on {found['host']} runs different code: its iaca is version {found['version']}"
        return what, "install the same version of iaca there, and restart the worker"
    if not found["sees"]:
        what = f"on {found['host']} does not see this folder"
        return what, "put the project on a file system that all machines mount at the same path"
    if threads != 1:
        return f"on {found['host']} has {threads} threads", "start workers with --nthreads 1, one per core"
    return None
