"""Where tasks run: a pool of processes, one torch thread each, a cluster, or the calling process itself."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, Literal

from pydantic import Field, model_validator

from iaca.config import Parameters
from iaca.engine.cluster import ClusterExecutor
from iaca.engine.worker import prepare

_POOLS: dict[int, ProcessPoolExecutor] = {}  # by number of workers; the interpreter ends them when it exits


class ExecutorConfig(Parameters):
    """How per-video work is spread.

    Attributes:
        kind: `processes` for a process pool, `serial` for the calling process (debugging, one GPU), `dask` for the
            workers of a Dask cluster.
        workers: processes of the pool; None for one per core.
        address: where the Dask scheduler listens, such as `tcp://host:8786`; for `dask` alone, which it implies.
        tolerated_failures: share of items that may fail before the run as a whole is an error.
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
            raise ValueError(f"`address` names the scheduler of kind dask, and no other (kind is {self.kind})")
        return self

    def executor(self) -> Executor:
        """The executor of this configuration. A pool is kept for the next caller: starting one costs seconds."""
        if self.kind == "serial":
            return SerialExecutor()
        if self.address is not None:
            return ClusterExecutor(self.address)
        if self.count() not in _POOLS:
            # Spawned, not forked: a forked child inherits locks of threads that torch and OpenCV have started.
            context = multiprocessing.get_context("spawn")
            _POOLS[self.count()] = ProcessPoolExecutor(self.count(), mp_context=context, initializer=prepare)
        return _POOLS[self.count()]

    def discard(self) -> None:
        """Give the pool up, after one of its workers died; the next caller gets a fresh one."""
        if self.kind == "processes" and (pool := _POOLS.pop(self.count(), None)):
            pool.shutdown(wait=True, cancel_futures=True)

    def ahead(self, waiting: int) -> int:
        """Tasks to hand over at a time. A cluster gets all: it keeps the queue itself, and may grow by its length."""
        return waiting if self.kind == "dask" else 2 * self.count()

    def count(self) -> int:
        """Workers that a pool starts."""
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
