"""Tasks on an executor: each result renamed into place, each failure kept to its own item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from iaca.engine.executors import ExecutorConfig
from iaca.engine.task import Task
from iaca.errors import InputError
from iaca.files import replacing

Outcome = tuple[str, str | None]
WORKER_DIED = "its worker process died (killed, out of memory, or a crash in a native library)"


def outcomes(tasks: Mapping[str, Task], folder: Path, suffix: str, config: ExecutorConfig) -> Iterator[Outcome]:
    """Run every task; (item, None) or (item, reason of its failure), in order of completion."""
    waiting, suspects = list(tasks), list[str]()
    while waiting:
        yield from _drain(config, tasks, waiting, suspects, folder, suffix, 2 * config.count())
    # Whoever was under way when a worker died runs again by itself: the guilty one dies alone.
    for item in suspects:
        guilty: list[str] = []
        yield from _drain(config, tasks, [item], guilty, folder, suffix, 1)
        if guilty:
            yield item, WORKER_DIED


def _drain(
    config: ExecutorConfig,
    tasks: Mapping[str, Task],
    waiting: list[str],
    crashed: list[str],
    folder: Path,
    suffix: str,
    ahead: int,
) -> Iterator[Outcome]:
    """Work `waiting` off until it is empty or a worker dies; what was under way then goes to `crashed`.

    Only `ahead` items are handed over at a time, so that a dead worker casts suspicion on few.
    """
    executor, running, before = config.executor(), dict[Future[None], str](), len(crashed)
    while running or (waiting and len(crashed) == before):
        while waiting and len(running) < ahead and len(crashed) == before:
            item = waiting.pop(0)
            try:
                running[executor.submit(_work, tasks[item], folder / f"{item}{suffix}")] = item
            except BrokenProcessPool:
                crashed.append(item)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            item, error = running.pop(future), future.exception()
            if isinstance(error, BrokenProcessPool):
                crashed.append(item)
            else:
                yield item, None if error is None else _reason(error)
    if len(crashed) > before:
        config.discard()


def _work(task: Task, final: Path) -> None:
    with replacing(final) as partial:
        task.run(partial)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
