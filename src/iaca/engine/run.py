"""Run a mapping of item -> task into a folder: only what is not up to date, and no partial files."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from iaca.engine.executors import Execution, ExecutorConfig, Outcome
from iaca.engine.results import FAILURES, UNFINISHED, Entry, Manifest, check_result, locked, write_failures
from iaca.engine.task import Snapshot, Task, digest
from iaca.errors import InputError, StorageError, printable, unreadable
from iaca.files import fits, make_folder, remove, remove_leftovers, write_text

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class Report:
    """What a run did: items made, kept, pruned, and failed with their reason; the disk error that stopped it early."""

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    halted: StorageError | None = None


def run_tasks(
    tasks: Mapping[str, Task],
    folder: Path,
    suffix: str,
    config: ExecutorConfig,
    prune: bool = True,
    bar: bool = True,
) -> Report:
    """Bring `folder/<item><suffix>` up to date for every task.

    An item is kept if the manifest has its fingerprint, and its files have the content recorded there. The others run
    on the executor, each writing to a temporary file that is renamed when complete. A task that raises fails only its
    own item; so does one whose worker process dies, that runs out of memory, or whose inputs change while it reads
    them.

    Args:
        tasks: by item.
        folder: of the results.
        suffix: of the result files.
        config: where the tasks run.
        prune: remove the files of items that are no longer in `tasks`; only files that the manifest names.
        bar: show progress. False for tasks that show their own.

    Raises:
        StorageError: the disk is full or read-only. No item is blamed for that, and finished results are kept.
        InputError: more than `config.tolerated_failures` of the items failed, or all of them; or another run is at
            work in the folder.
    """
    make_folder(folder)
    with locked(folder) as run:
        report = _bring_up_to_date(tasks, folder, suffix, config, prune, bar, run)
    _check_report(report, folder, len(tasks), config.tolerated_failures)
    return report


def _bring_up_to_date(
    tasks: Mapping[str, Task],
    folder: Path,
    suffix: str,
    config: ExecutorConfig,
    prune: bool,
    bar: bool,
    run: str,
) -> Report:
    started = time.monotonic()
    manifest, report = Manifest(folder), Report()
    waiting = _snapshots(tasks, folder, suffix, report)
    write_text(folder / UNFINISHED, "")
    _clean_up(folder, manifest, tasks, suffix, prune, report)
    report.kept += [item for item, inputs in waiting.items() if _up_to_date(item, inputs, manifest, folder, suffix)]
    for item in report.kept:
        del waiting[item]
    manifest.compact()
    outcomes = Execution(tasks, tuple(waiting), folder, suffix, config, run).outcomes()
    try:
        for outcome in progress(outcomes, folder.name, len(waiting)) if bar else outcomes:
            _record(outcome, waiting.pop(outcome.item), tasks[outcome.item], folder, manifest, report)
    except KeyboardInterrupt:
        remove_leftovers(folder)
        raise
    if report.halted is None:
        for item in report.failed:  # remove an older result: its inputs no longer exist
            older = manifest.items.pop(item, None)
            for name in {f"{item}{suffix}", *(older.names() if older else ())}:
                if fits(folder, name):
                    remove(folder / name)
        manifest.compact()
        write_failures(folder, report.failed)
        (folder / UNFINISHED).unlink(missing_ok=True)
    report.seconds = time.monotonic() - started
    return report


def _snapshots(tasks: Mapping[str, Task], folder: Path, suffix: str, report: Report) -> dict[str, Snapshot]:
    """The inputs of every task as they are now; a missing or damaged input fails only its own item."""
    taken = {}
    for item, task in tasks.items():  # each task may be built at this access: only its snapshot stays in memory
        try:
            if not fits(folder, f"{item}{suffix}"):
                what = "the name of its result is too long for this folder, or leads out of it"
                raise InputError(what, folder, remedy="give it a shorter name, without `/`")
            _check_inputs(task)
            taken[item] = Snapshot.take(task)
        except InputError as error:
            _fail(item, error, folder, report)
    return taken


def _check_inputs(task: Task) -> None:
    """Compare inputs that are results of earlier tasks with their recorded digests.

    Raises:
        InputError: one of them is missing, unreadable, or has another content.
    """
    try:
        for path in task.inputs:
            check_result(path)
    except OSError as error:
        raise unreadable(error) from error


def _clean_up(
    folder: Path, manifest: Manifest, tasks: Mapping[str, Task], suffix: str, prune: bool, report: Report
) -> None:
    """Remove partial files of a killed run and, with `prune`, files of items that are no longer in `tasks`."""
    remove_leftovers(folder)
    for item in [item for item in manifest.items if prune and item not in tasks]:
        for name in manifest.items.pop(item).names() or [f"{item}{suffix}"]:
            if fits(folder, name):
                remove(folder / name)
        report.pruned.append(item)


def _up_to_date(item: str, inputs: Snapshot, manifest: Manifest, folder: Path, suffix: str) -> bool:
    """Whether the manifest has this fingerprint for the item, and its files are as they were written.

    An entry with the fingerprint under the task's former name gets the present one. An entry without digests is
    accepted if its file is not empty, and gets its digest: hours of work are not discarded for a new field.
    """
    entry, result = manifest.items.get(item), folder / f"{item}{suffix}"
    if entry is None or entry.fingerprint not in (inputs.fingerprint, inputs.former):
        return False
    if entry.files is None:
        accepted = result.is_file() and result.stat().st_size > 0
        if accepted:
            manifest.items[item] = Entry.of(inputs.fingerprint, {result.name: digest(result)})
        return accepted
    damage = entry.damage(folder)
    if damage is not None:
        log.warning("%s: %s: rebuilt", folder.name, printable(damage))
    if damage is not None or result.name not in entry.names():
        return False
    manifest.items[item] = replace(entry, fingerprint=inputs.fingerprint)
    return True


def _record(outcome: Outcome, inputs: Snapshot, task: Task, folder: Path, manifest: Manifest, report: Report) -> None:
    """Add an outcome to the manifest or to the failures; a disk error stops the run and fails no item."""
    if isinstance(outcome.error, StorageError):
        report.halted = outcome.error
        return
    if (error := inputs.change(task) or outcome.error) is not None:
        _fail(outcome.item, error, folder, report)
        return
    try:
        manifest.record(outcome.item, Entry.of(inputs.fingerprint, outcome.files))
    except StorageError as error:  # the next tasks will meet it too, and stop the run
        report.halted = error
    else:
        report.made.append(outcome.item)


def _fail(item: str, error: InputError, folder: Path, report: Report) -> None:
    report.failed[item] = str(error)
    log.warning("%s: %s failed: %s", folder.name, printable(item), report.failed[item])


def _check_report(report: Report, folder: Path, total: int, tolerated: float) -> None:
    """Log how a run of `total` items went; `tolerated` is the share of them that may fail.

    Raises:
        StorageError: a disk error stopped the run.
        InputError: more than that share failed, or all of them.
    """
    made, seconds = len(report.made), report.seconds
    rate = f", {made / seconds:.1f} a second" if made and seconds else ""
    log.info(
        "%s: %d made, %d up to date, %d pruned, %d failed in %.1f s%s",
        folder.name, made, len(report.kept), len(report.pruned), len(report.failed), seconds, rate,
    )  # fmt: skip
    if report.halted is not None:
        why, finished = report.halted, made + len(report.kept)
        raise StorageError(f"{why.problem}; {finished} of {total} items are finished", why.file, remedy=why.remedy)
    failed = len(report.failed)
    if total and (failed == total or failed > tolerated * total):
        first, reason = next(iter(sorted(report.failed.items())))
        raise InputError(
            f"{failed} of {total} items failed; the first is {first}: {reason}",
            folder / FAILURES,
            remedy="fix or remove what the table names, or raise `executor.tolerated_failures`; finished results are "
            "kept",
        )


def progress(items: Iterable[T], name: str, total: int) -> Iterator[T]:
    """Yield the items while showing progress: a bar with ETA on a terminal, else a log line each quarter of the way."""
    if not watched():
        for count, item in enumerate(items, start=1):
            if count % max(total // 4, 1) == 0 and count < total:
                log.info("%s: %d of %d", name, count, total)
            yield item
        return
    yield from tqdm(items, desc=name, total=total, unit="clip", smoothing=0.1, dynamic_ncols=True)


def watched() -> bool:
    """Whether a person sees this terminal."""
    return sys.stderr.isatty() and not os.environ.get("CI")
