"""What a corpus amounts to, as a table and on the screen."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any

import pandas as pd

from iaca.corpora.index import EFFECTS, LEFT_OUT, NOTED, PARTITIONS, STOPS
from iaca.errors import printable

log = logging.getLogger(__name__)
SHOWN = 40  # problems told one by one; the table has all


def partition_summary(clips: pd.DataFrame) -> pd.DataFrame:
    """Per partition: clips, subjects, minutes, frames, annotated frames, clips without labels and without sound."""
    counted = clips.assign(
        minutes=(clips["last_s"].astype(float) - clips["first_s"].astype(float)) / 60,
        without_labels=clips["annotated"].astype(int) == 0,
        without_sound=~clips["has_audio"].astype(bool),
    )
    summary = counted.groupby("partition", sort=False).agg(
        clips=("clip", "size"), subjects=("subject", "nunique"), minutes=("minutes", "sum"), frames=("frames", "sum"),
        annotated=("annotated", "sum"), without_labels=("without_labels", "sum"),
        without_sound=("without_sound", "sum"),
    )  # fmt: skip
    return summary.loc[[name for name in PARTITIONS if name in summary.index]].reset_index()


def tell(title: str, clips: pd.DataFrame, problems: pd.DataFrame) -> None:
    """Print the summary and the problems: what stops the run, what is left out, and, in one line each, what is noted.

    Args:
        title: what was looked at.
        clips: the clips that can be used, with the columns that `partition_summary` reads.
        problems: of `problem_table`.
    """
    table = partition_summary(clips).to_string(index=False, formatters={"minutes": "{:.1f}".format})
    log.info("%s:\n%s", title, printable(table) if len(clips) else "no clip can be used")
    counts = ", ".join(f"{n} {e}" for e in EFFECTS if (n := int((problems["effect"] == e).sum())))
    log.log(logging.WARNING if _serious(problems).any() else logging.INFO, "problems: %s", counts or "none")
    lines = [*map(_line, problems[_serious(problems)].to_dict("records")), *_groups(problems[~_serious(problems)])]
    for level, line in lines[:SHOWN]:
        log.log(level, printable(line))
    if len(lines) > SHOWN:
        log.warning("and %d more, in the table of problems", len(lines) - SHOWN)


def _serious(problems: pd.DataFrame) -> pd.Series[bool]:
    return problems["effect"] != NOTED


def _line(row: dict[Hashable, Any]) -> tuple[int, str]:
    line = "" if pd.isna(row["row"]) else f", line {row['row']}"
    clip = "" if pd.isna(row["clip"]) or not row["clip"] else f"{row['clip']}: "
    level = logging.ERROR if row["effect"] == STOPS else logging.WARNING
    effect = "the clip is left out" if row["effect"] == LEFT_OUT else row["effect"]
    return level, f"{clip}{row['file']}{line}: {row['problem']}; {effect}. Remedy: {row['remedy']}"


def _groups(problems: pd.DataFrame) -> list[tuple[int, str]]:
    """What is only noted, gathered by what it says."""
    lines = []
    for (what, remedy), group in problems.groupby(["problem", "remedy"], sort=False):
        names = [str(c) for c in group["clip"].fillna("")]
        few = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        file, row = group["file"].iloc[0], group["row"].iloc[0]
        place = f" ({file}{'' if pd.isna(row) else f', line {row}'})" if len(group) == 1 else ""
        lines.append((logging.INFO, f"{few}{place}: {what}; noted. Remedy: {remedy}"))
    return lines
