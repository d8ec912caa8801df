"""Tasks on an executor: each failure kept to its own item, also where it kills the process that works on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from iaca.engine.cluster import ClusterExecutor
from iaca.engine.executors import ExecutorConfig
from iaca.engine.task import Task
from iaca.engine.worker import work
from iaca.errors import InputError

Outcome = tuple[str, str | None]
WORKER_DIED = "its worker process died (killed, out of memory, or a crash in a native library)"
LOOK_S = 5.0
"""How often (s) a cluster on which nothing finishes is looked at."""


@dataclass(frozen=True)
class Pool:
    """Runs tasks into `folder/<item><suffix>` for one run, which `iaca.engine.lock` has named."""

    tasks: Mapping[str, Task]
    folder: Path
    suffix: str
    config: ExecutorConfig
    run: str

    def outcomes(self) -> Iterator[Outcome]:
        """Run every task; (item, None) or (item, reason of its failure), in order of completion."""
        waiting, suspects = deque(self.tasks), list[str]()
        executor = self.config.executor() if waiting else None
        if isinstance(executor, ClusterExecutor):
            executor.check(self.folder, self.run)
        while waiting:
            yield from self._drain(waiting, suspects, self.config.ahead(len(waiting)))
        # Whoever was under way when a worker died runs again by itself: the guilty one dies alone.
        for item in suspects:
            guilty: list[str] = []
            yield from self._drain(deque([item]), guilty, 1)
            if guilty:
                yield item, WORKER_DIED

    def _drain(self, waiting: deque[str], crashed: list[str], ahead: int) -> Iterator[Outcome]:
        """Work `waiting` off until it is empty or a worker dies; what was under way then goes to `crashed`.

        Only `ahead` items are handed over at a time, so that a dead worker casts suspicion on few.
        """
        executor, running, before = self.config.executor(), dict[Future[None], str](), len(crashed)
        done = SimpleQueue[Future[None]]()  # asking all that run which of them is done would take longer the more run
        try:
            while running or (waiting and len(crashed) == before):
                while waiting and len(running) < ahead and len(crashed) == before:
                    item = waiting.popleft()
                    try:
                        future = executor.submit(work, self.tasks[item], self._file(item), self.run)
                    except BrokenProcessPool:
                        crashed.append(item)
                        continue
                    running[future] = item
                    future.add_done_callback(done.put)
                if running:
                    future = _next(executor, done)
                    item, error = running.pop(future), _error(executor, future)
                    if _died(error):
                        crashed.append(item)
                    else:
                        yield item, None if error is None else _reason(error)
        finally:
            for future in running:  # nothing is left to run for a caller who went away
                future.cancel()
        if len(crashed) > before:
            self.config.discard()

    def _file(self, item: str) -> Path:
        return self.folder / f"{item}{self.suffix}"


def _next(executor: object, done: SimpleQueue[Future[None]]) -> Future[None]:
    """The next one that is done, in order of completion. A cluster is looked at while nothing happens."""
    while True:
        try:
            return done.get(timeout=LOOK_S if isinstance(executor, ClusterExecutor) else None)
        except Empty:
            if isinstance(executor, ClusterExecutor):
                executor.check_alive()


def _error(executor: object, future: Future[None]) -> BaseException | None:
    if isinstance(executor, ClusterExecutor) and future.cancelled():  # Dask's word for a scheduler that went away
        raise executor.lost()
    return future.exception()


def _died(error: BaseException | None) -> bool:
    """Whether the worker ended instead of the task; by name, since Dask is not always installed."""
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
