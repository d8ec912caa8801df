"""What the driver of many items does and holds for each of them, counted, not timed: no step looks at all items for
each, and an item that is not under way is little more than its name and its digests."""

import gc
import sys
import threading
import time
import tracemalloc
from concurrent.futures import Executor, Future
from functools import lru_cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from iaca.engine import ExecutorConfig, OnDemand, Task, results, run_tasks
from iaca.engine.task import DIGESTS_IN_MEMORY, _file_digest

SERIAL = ExecutorConfig(kind="serial")
FEW, MANY = 25, 100
HELD = 1024
"""Bytes that the driver may hold for each item."""


def note(source: Path, target: Path) -> None:
    target.write_text(source.read_text())


def tasks(folder: Path, items: int) -> dict[str, Task]:
    folder.mkdir(parents=True)
    for item in range(items):
        (folder / f"{item:04d}").write_text(str(item))
    return {path.name: Task("note", note, (path,), {}) for path in sorted(folder.iterdir())}


def calls(work: Any) -> int:
    """Calls of Python and C functions, those to the file system among them, that this thread makes."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


def held(work: Any) -> int:
    """Bytes that this process holds at most while it works."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class OneByOne(Executor):
    """Everything is handed over at once, as to a cluster; a thread finishes one piece after the other."""

    def __init__(self) -> None:
        self._given: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._given.append((future, partial(fn, *args, **kwargs)))
        return future

    def finish(self, items: int) -> None:
        while len(self._given) < items:
            time.sleep(0.01)
        for future, work in self._given:
            future.set_result(work())


@pytest.mark.parametrize("stage", ["made", "kept", "listed"])
def test_an_item_costs_the_driver_the_same_among_few_and_among_many(tmp_path: Path, stage: str) -> None:
    counts = {}
    for items in (FEW, MANY):
        given, out = tasks(tmp_path / f"in{items}", items), tmp_path / f"out{items}"
        bring = partial(run_tasks, given, out, ".txt", SERIAL, bar=False)
        if stage != "made":
            bring()
        counts[items] = calls(bring if stage != "listed" else partial(results, out, ".txt"))
        assert len(results(out, ".txt")) == items
    assert counts[FEW] > FEW  # it was counted
    assert counts[MANY] / MANY <= 1.1 * counts[FEW] / FEW


@pytest.mark.parametrize("stage", ["made", "kept", "next"])
def test_an_item_costs_the_driver_no_more_than_its_name_and_its_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    # The cache of digests has a fixed size. Its table is rebuilt now and then, which would count as memory of items.
    assert _file_digest.cache_info().maxsize == DIGESTS_IN_MEMORY
    monkeypatch.setattr("iaca.engine.task._file_digest", lru_cache(maxsize=16)(_file_digest.__wrapped__))

    def peak(items: int, folder: Path) -> int:
        given, out = tasks(folder / "in", items), folder / "out"
        sources = OnDemand(lambda item: Task("note", note, (folder / "in" / item,)), list(given))
        bring = partial(run_tasks, sources, out, ".txt", SERIAL, bar=False)
        if stage != "made":
            bring()

        def go_on() -> None:
            made = results(out, ".txt")
            after = OnDemand(lambda item: Task("note", note, (made[item],)), made)
            run_tasks(after, out.with_suffix(".next"), ".txt", SERIAL, bar=False)

        found = held(go_on if stage == "next" else bring)
        assert len(results(out, ".txt")) == items
        return found

    # the least of three: a thread that an earlier test has left can only add to what the process holds
    peaks = {n: min(peak(n, tmp_path / f"{n}-{attempt}") for attempt in range(3)) for n in (FEW, 8 * MANY)}
    assert 0 < (peaks[8 * MANY] - peaks[FEW]) / (8 * MANY - FEW) < HELD, peaks


def test_all_at_once_on_a_cluster_costs_the_driver_no_more_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExecutorConfig, "in_flight", lambda config, waiting: waiting)
    counts = {}
    for items in (FEW, MANY):
        executor = OneByOne()
        monkeypatch.setattr(ExecutorConfig, "executor", lambda config, executor=executor: executor)
        given = tasks(tmp_path / f"in{items}", items)
        helper = threading.Thread(target=executor.finish, args=(items,))
        helper.start()
        counts[items] = calls(partial(run_tasks, given, tmp_path / f"out{items}", ".txt", SERIAL, bar=False))
        helper.join()
    assert counts[MANY] / MANY <= 1.1 * counts[FEW] / FEW
