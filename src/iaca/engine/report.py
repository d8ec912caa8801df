"""What a run did, and whether that is an error."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from iaca.errors import InputError, StorageError

log = logging.getLogger(__name__)


@dataclass
class Report:
    """What a run did: items made, kept as they were, pruned, and failed with their reason; what ended it early."""

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    halted: StorageError | None = None


def judge(report: Report, folder: Path, total: int, tolerated: float) -> None:
    """Tell how a run of `total` items went; `tolerated` is the share of them that may fail.

    Raises:
        StorageError: the disk took nothing more.
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
        raise StorageError(f"{why.problem}; finished are {finished} of {total} items", why.file, remedy=why.remedy)
    failed = len(report.failed)
    if total and (failed == total or failed > tolerated * total):
        first, reason = next(iter(sorted(report.failed.items())))
        raise InputError(
            f"{failed} of {total} items failed; the first is {first}: {reason}",
            folder / "failures.csv",
            remedy="mend or remove what the table names, or raise `executor.tolerated_failures`; what is done is kept",
        )
