"""Tasks on an executor: each failure kept to its own item, also where it kills the process that works on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from iaca.engine.cluster import ClusterExecutor
from iaca.engine.executors import ExecutorConfig
from iaca.engine.faults import OutOfMemoryError, told, worker_died
from iaca.engine.task import Task
from iaca.engine.worker import Written, work
from iaca.errors import InputError, StorageError

Suspects = dict[str, InputError]
LOOK_S = 5.0
"""How often (s) a cluster on which nothing finishes is looked at."""


class Outcome(NamedTuple):
    """How an item ended: its files by name with their digests, or the error."""

    item: str
    files: Written | None
    error: InputError | None = None


@dataclass(frozen=True)
class Pool:
    """Runs the tasks of `items` into `folder/<item><suffix>` for one run, which `iaca.engine.lock` has named."""

    tasks: Mapping[str, Task]
    items: Sequence[str]
    folder: Path
    suffix: str
    config: ExecutorConfig
    run: str

    def outcomes(self) -> Iterator[Outcome]:
        """Run every task, in order of completion.

        A disk that takes nothing more ends the work: what is under way is brought to its end, and the items that were
        not begun have no outcome.
        """
        waiting, suspects, halted = deque(self.items), Suspects(), False
        executor = self.config.executor() if waiting else None
        if isinstance(executor, ClusterExecutor):
            executor.check(self.folder, self.run)
        while waiting and not halted:
            halted = yield from self._drain(waiting, suspects, self.config.ahead(len(waiting)))
        # Whoever was under way when a worker died, or lacked memory beside others, runs again by itself: the guilty
        # one fails alone.
        for item in suspects:
            guilty = Suspects()
            halted = halted or (yield from self._drain(deque([item]), guilty, 1))
            for error in guilty.values():
                yield Outcome(item, None, error)

    def _drain(
        self, waiting: deque[str], suspects: dict[str, InputError], ahead: int
    ) -> Generator[Outcome, None, bool]:
        """Work `waiting` off until it is empty, a worker dies, or the disk takes nothing more, which it returns.

        What was under way when a worker died, or was short of memory, goes to `suspects`. Only `ahead` items are handed
        over at a time, so that a dead worker casts suspicion on few.
        """
        executor, running, died, halted = self.config.executor(), dict[Future[Written], str](), False, False
        done = SimpleQueue[Future[Written]]()  # asking all that run which is done would take longer the more run
        try:
            while running or (waiting and not died and not halted):
                while waiting and len(running) < ahead and not died and not halted:
                    item = waiting.popleft()
                    try:
                        future = executor.submit(work, self.tasks[item], self._file(item), self.run)
                    except BrokenProcessPool:
                        died, suspects[item] = True, worker_died()
                        continue
                    running[future] = item
                    future.add_done_callback(done.put)
                if not running or (future := _next(executor, done)) not in running:  # it was withdrawn
                    continue
                item, error = running.pop(future), _error(executor, future)
                if _died(error):
                    died, suspects[item] = True, worker_died()
                elif isinstance(error, OutOfMemoryError):
                    suspects[item] = error
                else:
                    halted = halted or isinstance(error, StorageError)
                    yield Outcome(item, future.result()) if error is None else Outcome(item, None, told(error))
                if halted:
                    running = {future: item for future, item in running.items() if not future.cancel()}
        finally:
            for future in running:  # nothing is left to run for a caller who went away
                future.cancel()
        if died:
            self.config.discard()
        return halted

    def _file(self, item: str) -> Path:
        return self.folder / f"{item}{self.suffix}"


def _next(executor: object, done: SimpleQueue[Future[Written]]) -> Future[Written]:
    """The next one that is done, in order of completion. A cluster is looked at while nothing happens."""
    while True:
        try:
            return done.get(timeout=LOOK_S if isinstance(executor, ClusterExecutor) else None)
        except Empty:
            if isinstance(executor, ClusterExecutor):
                executor.check_alive()


def _error(executor: object, future: Future[Written]) -> BaseException | None:
    if isinstance(executor, ClusterExecutor) and future.cancelled():  # Dask's word for a scheduler that went away
        raise executor.lost()
    return future.exception()


def _died(error: BaseException | None) -> bool:
    """Whether the worker ended instead of the task; by name, since Dask is not always installed."""
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"
