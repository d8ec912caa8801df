"""The table of partitions: which clip is whose, and what it serves for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iaca.corpora.index import NOTED, PARTITIONS, Problem, problem, subject_problems
from iaca.errors import InputError, brief
from iaca.text import csv_table

PARTITION_FILE = "partition.csv"
REMEDY = "write one row per clip below the line clip,partition,subject"
Problems = list[Problem]


def read_partitions(path: Path, problems: Problems) -> pd.DataFrame:
    """Columns clip, subject, partition. Without a subject, a clip counts as one of its own.

    Args:
        path: the table.
        problems: takes rows that can't be used, and subjects that are in two partitions.

    Raises:
        InputError: there is no such table.
    """
    clips: dict[str, dict[str, str | int]] = {}
    for line, row in _rows(path):
        clip, partition = row["clip"], row["partition"]
        if not clip:
            problems.append(problem("", PARTITION_FILE, "no clip is named in this row", REMEDY, line))
        elif partition not in PARTITIONS:
            remedy = f"write one of {', '.join(PARTITIONS)}"
            problems.append(problem(clip, PARTITION_FILE, f"{brief(repr(partition))} is no partition", remedy, line))
        elif clip in clips:
            remedy = "remove one of the rows; the first one counts"
            problems.append(problem(clip, PARTITION_FILE, "the clip is listed twice", remedy, line, NOTED))
        else:
            subject = row.get("subject") or clip
            clips[clip] = {"clip": clip, "subject": subject, "partition": partition, "line": line}
    table = pd.DataFrame(list(clips.values()), columns=["clip", "subject", "partition", "line"])
    problems += subject_problems(table, PARTITION_FILE)
    return table.drop(columns="line")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, cells by column) of every row."""
    if not path.is_file():
        raise InputError("there is no such file", path, remedy=REMEDY)
    return list(csv_table(path, ("clip", "partition"), REMEDY))
