"""Run a mapping of item -> task into a folder: only what is not up to date, and nothing half-written."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from iaca.engine.digests import digest
from iaca.engine.executors import ExecutorConfig
from iaca.engine.failures import write_failures
from iaca.engine.lock import locked
from iaca.engine.manifest import UNFINISHED, Entry, Manifest
from iaca.engine.pool import Outcome, Pool
from iaca.engine.progress import progress
from iaca.engine.report import Report, judge
from iaca.engine.snapshot import Snapshot
from iaca.engine.task import Task
from iaca.errors import InputError, StorageError, printable
from iaca.files import LEFTOVER, fits, remove, write_text
from iaca.storage import make_folder

log = logging.getLogger(__name__)


def run_tasks(
    tasks: Mapping[str, Task],
    folder: Path,
    suffix: str,
    config: ExecutorConfig,
    prune: bool = True,
    bar: bool = True,
) -> Report:
    """Bring `folder/<item><suffix>` up to date for every task.

    An item is kept whose fingerprint stands in the manifest, and whose files have the content that was noted there when
    they were written. The others run on the executor, each written to a temporary name and renamed. A task that raises
    loses its own item alone; so does one whose worker process dies, that lacks memory, or whose inputs change while it
    reads them. With `prune`, files of items that left the mapping go: only files the manifest names, never another's.
    Without `bar` no progress is shown: for tasks that show their own.

    Raises:
        StorageError: the disk takes nothing more. No item is blamed for that, and what is finished is kept.
        InputError: more than `config.tolerated_failures` of the items failed, or all of them; or another run is at
            work in the folder.
    """
    make_folder(folder)
    with locked(folder) as run:
        report = _bring_up_to_date(tasks, folder, suffix, config, prune, bar, run)
    judge(report, folder, len(tasks), config.tolerated_failures)
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
    known = _snapshots(tasks, folder, suffix, report)
    write_text(folder / UNFINISHED, "")
    _sweep(folder, manifest, tasks, suffix, prune, report)
    report.kept += [item for item, before in known.items() if _up_to_date(item, before, manifest, folder, suffix)]
    for item in report.kept:
        del known[item]
    manifest.compact()
    finished = Pool(tasks, tuple(known), folder, suffix, config, run).outcomes()
    for outcome in progress(finished, folder.name, len(known)) if bar else finished:
        _note(outcome, known.pop(outcome.item), tasks[outcome.item], folder, manifest, report)
    if report.halted is None:
        for item in report.failed:
            manifest.items.pop(item, None)
            if fits(folder, f"{item}{suffix}"):
                remove(folder / f"{item}{suffix}")  # made from inputs that are gone: no longer true
        manifest.compact()
        write_failures(folder, report.failed)
        (folder / UNFINISHED).unlink(missing_ok=True)
    report.seconds = time.monotonic() - started
    return report


def _snapshots(tasks: Mapping[str, Task], folder: Path, suffix: str, report: Report) -> dict[str, Snapshot]:
    """Of every task whose inputs can be read; an input that vanished or was damaged costs its own item only."""
    taken = {}
    for item, task in tasks.items():  # a mapping that makes each when it is asked for: held is what was known of them
        if not fits(folder, f"{item}{suffix}"):
            what = "the name of its result is too long for this folder, or leads out of it"
            error = InputError(what, folder, remedy="give it a shorter name, without `/`")
            _fail(item, error, folder, report)
            continue
        try:
            taken[item] = Snapshot.take(task)
        except InputError as error:
            _fail(item, error, folder, report)
    return taken


def _sweep(
    folder: Path, manifest: Manifest, tasks: Mapping[str, Task], suffix: str, prune: bool, report: Report
) -> None:
    """Remove what a killed run left half-written and, with `prune`, what no longer belongs."""
    for leftover in folder.glob(f"{LEFTOVER}*"):
        remove(leftover)
    for item in [item for item in manifest.items if prune and item not in tasks]:
        for name in manifest.items.pop(item).names() or [f"{item}{suffix}"]:
            if fits(folder, name):
                remove(folder / name)
        report.pruned.append(item)


def _up_to_date(item: str, before: Snapshot, manifest: Manifest, folder: Path, suffix: str) -> bool:
    """Whether the files of an item are those of this fingerprint, and as they were written.

    An entry with the fingerprint under the task's former name gets the present one.

    A file of a journal without digests is taken as it is if it is not empty, and held to its content from now on: hours
    of work are not thrown away for a new column.
    """
    entry, result = manifest.items.get(item), folder / f"{item}{suffix}"
    if entry is None or entry.fingerprint not in (before.fingerprint, before.former):
        return False
    if entry.files is None:
        adopted = result.is_file() and result.stat().st_size > 0
        if adopted:
            manifest.items[item] = Entry.of(before.fingerprint, {result.name: digest(result)})
        return adopted
    fault = entry.fault(folder)
    if fault is not None:
        log.warning("%s: %s: made again", folder.name, printable(fault))
    if fault is not None or result.name not in entry.names():
        return False
    manifest.items[item] = replace(entry, fingerprint=before.fingerprint)
    return True


def _note(outcome: Outcome, inputs: Snapshot, task: Task, folder: Path, manifest: Manifest, report: Report) -> None:
    """Take an outcome into the manifest or among the failures; a disk that takes nothing more is nobody's failure."""
    if isinstance(outcome.error, StorageError):
        report.halted = outcome.error
        return
    if (error := inputs.change(task) or outcome.error) is not None:
        _fail(outcome.item, error, folder, report)
        return
    try:
        manifest.record(outcome.item, Entry.of(inputs.fingerprint, outcome.files))
    except StorageError as error:  # the tasks that follow will meet it too, and end the run
        report.halted = error
    else:
        report.made.append(outcome.item)


def _fail(item: str, error: InputError, folder: Path, report: Report) -> None:
    report.failed[item] = str(error)
    log.warning("%s: %s failed: %s", folder.name, printable(item), report.failed[item])
