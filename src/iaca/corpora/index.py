"""The clip index every corpus is read into, the table of problems, and the checks that hold for any corpus."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from iaca.errors import InputError

PARTITIONS = ("train", "validation", "test")
CLIP_COLUMNS = ("clip", "subject", "partition", "media", "annotation", "side")
PROBLEM_COLUMNS = ("clip", "file", "row", "problem", "remedy")


@dataclass
class CorpusIndex:
    """What a corpus holds.

    Attributes:
        clips: one row per clip: `clip`, `subject`, `partition`, `media` and `annotation` (paths relative to the root;
            annotation empty where there is none), `side` (left, right or empty: which person of the video).
        problems: one row per thing that is wrong: `clip`, `file`, `row`, `problem`, `remedy`.
    """

    clips: pd.DataFrame
    problems: list[dict[str, object]] = field(default_factory=list)


def problem(clip: str, file: str | Path, what: str, remedy: str, row: int | None = None) -> dict[str, object]:
    """One row of the problems table."""
    return {"clip": clip, "file": str(file), "row": row, "problem": what, "remedy": remedy}


def problem_table(problems: list[dict[str, object]]) -> pd.DataFrame:
    """The problems as a table, in a stable order."""
    table = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS))
    table["row"] = table["row"].astype("Int64")
    return table.sort_values(["clip", "file", "problem"], kind="stable", ignore_index=True)


def check_subjects(clips: pd.DataFrame, where: Path) -> None:
    """Partitions are disjoint in subjects.

    Raises:
        InputError: a subject is in two partitions; every one is named.
    """
    spread = clips.groupby("subject")["partition"].agg(lambda p: " and ".join(sorted(set(p))))
    shared = spread[spread.str.contains(" and ")]
    if len(shared):
        named = "; ".join(f"{subject} in {partitions}" for subject, partitions in shared.items())
        raise InputError(
            f"{len(shared)} subjects are in more than one partition: {named}",
            where,
            remedy="move all clips of a subject into one partition; a score over shared subjects means nothing",
        )
