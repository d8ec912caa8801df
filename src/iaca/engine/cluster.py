"""Tasks on the workers of a Dask cluster, on however many machines, that see one file system."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from iaca.engine.remote import code_digest, look_around, work_remotely
from iaca.engine.task import Task
from iaca.errors import InputError

CONNECT_S = 10.0
"""How long (s) a scheduler may take to answer."""
IDLE_S = 60.0
"""How long (s) a cluster may be without any worker before waiting for one is given up."""
_START = "start it with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1` (docs/cluster.md)"


class ClusterExecutor(Executor):
    """An executor on the cluster whose scheduler has an address such as `tcp://host:8786`.

    Dask itself runs what was under way on a lost worker again on another one, and after the third time gives a task up
    with `KilledWorker`.

    Raises:
        InputError: `distributed` is not installed, or no scheduler answers there within `CONNECT_S`.
    """

    def __init__(self, address: str):
        self._address, self._client = address, _connect(address)
        self._futures = self._client.get_executor(pure=False)
        self._last_seen = time.monotonic()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a call of `iaca.engine.worker.work` over: its paths are made absolute, its worker is checked."""
        task, final, run = args
        future: Future[Any] = self._futures.submit(
            work_remotely, fn, anywhere(task), final.absolute(), run, code_digest(), **kwargs
        )
        return future

    def check(self, folder: Path, run: str) -> None:
        """Look at every worker there is now, before anything is handed over.

        Raises:
            InputError: a worker has several threads, other code of this package, or does not see the folder.
        """
        threads: dict[str, int] = self._client.nthreads()
        seen = self._client.run(look_around, str(folder.absolute()), run, on_error="return")
        for worker in sorted(seen):
            if problem := _problem(seen[worker], threads.get(worker, 1)):
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

    def lost(self) -> InputError:
        """The error for a scheduler that went away in mid-run; its client is given up."""
        _connect.cache_clear()
        self._client.close(timeout=1)
        remedy = "start the scheduler again and repeat the command: what is finished is kept"
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


def anywhere(task: Task) -> Task:
    """The task with absolute paths: a worker has another working directory."""

    def absolute(values: Any) -> dict[str, Any]:
        return {name: value.absolute() if isinstance(value, Path) else value for name, value in values.items()}

    inputs = tuple(path.absolute() for path in task.inputs)
    return replace(task, inputs=inputs, parameters=absolute(task.parameters), settings=absolute(task.settings))


def _problem(found: Any, threads: int) -> tuple[str, str] | None:
    """What is wrong with a worker, and what mends it, from what `look_around` told or raised there."""
    if isinstance(found, ImportError):
        return f"can't import this package ({found})", "install the same version of iaca there"
    if isinstance(found, BaseException):
        return f"could not be checked ({type(found).__name__}: {found})", "see that worker's own log"
    if found["code"] != code_digest():
        what = f"on {found['host']} has other code: its iaca calls itself {found['version']}"
        return what, "install the same state of iaca there, and start the worker again"
    if not found["sees"]:
        what = f"on {found['host']} does not see this folder"
        return what, "put the project on a file system that all machines mount at the same path"
    if threads != 1:
        return f"on {found['host']} has {threads} threads", "start workers with --nthreads 1, one for each core"
    return None
