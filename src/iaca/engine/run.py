"""Run a mapping of item -> task into a folder: only what is not up to date, and nothing half-written."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from iaca.engine.executors import ExecutorConfig
from iaca.engine.lock import locked
from iaca.engine.manifest import UNFINISHED, Manifest, write_failures
from iaca.engine.pool import Pool
from iaca.engine.progress import progress
from iaca.engine.task import Task
from iaca.errors import InputError
from iaca.files import LEFTOVER

log = logging.getLogger(__name__)


@dataclass
class Report:
    """What a run did: items made, kept as they were, pruned, and failed with their reason."""

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run_tasks(
    tasks: Mapping[str, Task],
    folder: Path,
    suffix: str,
    config: ExecutorConfig,
    prune: bool = True,
    bar: bool = True,
) -> Report:
    """Bring `folder/<item><suffix>` up to date for every task.

    An item whose fingerprint stands in the manifest and whose file exists is kept. The others run on the executor,
    each written to a temporary name and renamed. A task that raises loses its own item alone; so does one whose
    worker process dies. With `prune`, files of items that left the mapping go: only files the manifest names, never
    another's. Without `bar` no progress is shown: for tasks that show their own.

    Raises:
        InputError: more than `config.tolerated_failures` of the items failed, or all of them; or another run is at
            work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as run:
        report = _bring_up_to_date(tasks, folder, suffix, config, prune, bar, run)
    _judge(report, folder, len(tasks), config)
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
    fingerprints = _fingerprints(tasks, report)
    (folder / UNFINISHED).touch()
    _sweep(folder, manifest, tasks, suffix, prune, report)
    manifest.compact()
    stale = {}
    for item, fingerprint in fingerprints.items():
        if manifest.items.get(item) == fingerprint and (folder / f"{item}{suffix}").exists():
            report.kept.append(item)
        else:
            stale[item] = tasks[item]
    finished = Pool(stale, folder, suffix, config, run).outcomes()
    for item, reason in progress(finished, folder.name, len(stale)) if bar else finished:
        if reason is None:
            manifest.record(item, fingerprints[item])
            report.made.append(item)
        else:
            report.failed[item] = reason
            log.warning("%s: %s failed: %s", folder.name, item, reason)
    for item in report.failed:
        manifest.items.pop(item, None)
        (folder / f"{item}{suffix}").unlink(missing_ok=True)  # made from inputs that are gone: no longer true
    manifest.compact()
    write_failures(folder, report.failed)
    (folder / UNFINISHED).unlink(missing_ok=True)
    report.seconds = time.monotonic() - started
    return report


def _fingerprints(tasks: Mapping[str, Task], report: Report) -> dict[str, str]:
    fingerprints = {}
    for item, task in tasks.items():
        try:
            fingerprints[item] = task.fingerprint()
        except OSError as error:  # an input that vanished or may not be read costs its own item only
            report.failed[item] = f"an input can't be read: {error}"
    return fingerprints


def _sweep(
    folder: Path, manifest: Manifest, tasks: Mapping[str, Task], suffix: str, prune: bool, report: Report
) -> None:
    """Remove what a killed run left half-written and, with `prune`, what no longer belongs."""
    for leftover in folder.glob(f"{LEFTOVER}*"):
        leftover.unlink(missing_ok=True)
    for item in [item for item in manifest.items if prune and item not in tasks]:
        (folder / f"{item}{suffix}").unlink(missing_ok=True)
        del manifest.items[item]
        report.pruned.append(item)


def _judge(report: Report, folder: Path, total: int, config: ExecutorConfig) -> None:
    made, seconds = len(report.made), report.seconds
    rate = f", {made / seconds:.1f} a second" if made and seconds else ""
    log.info(
        "%s: %d made, %d up to date, %d pruned, %d failed in %.1f s%s",
        folder.name, made, len(report.kept), len(report.pruned), len(report.failed), seconds, rate,
    )  # fmt: skip
    failed = len(report.failed)
    if total and (failed == total or failed > config.tolerated_failures * total):
        first, reason = next(iter(sorted(report.failed.items())))
        raise InputError(
            f"{failed} of {total} items failed; the first is {first}: {reason}",
            folder / "failures.csv",
            remedy="mend or remove what the table names, or raise `tolerated_failures`; what succeeded is kept",
        )
