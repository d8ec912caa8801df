"""Ground truth of events: when the sound of a clip was silent, noisy or contradictory, and likewise its face."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from iaca.errors import InputError, brief
from iaca.modalities import MODALITIES
from iaca.text import csv_table, number

FILE = "events.csv"
COLUMNS = ("clip", "modality", "kind", "start_s", "end_s")


def read_event_table(path: Path) -> pd.DataFrame:
    """Columns `clip`, `modality`, `kind`, `start_s`, `end_s` (s); no rows where the corpus has no such file.

    Raises:
        InputError: a column is missing, a time or a modality is none, or an event ends before it starts.
    """
    if not path.exists():
        return pd.DataFrame({name: pd.Series(dtype="float64" if name.endswith("_s") else "str") for name in COLUMNS})
    rows = []
    for line, row in csv_table(path, COLUMNS, "give the table all five columns"):
        try:
            start, end = (number(row[name]) for name in ("start_s", "end_s"))
        except ValueError:
            start = end = math.nan
        if not math.isfinite(start) or not math.isfinite(end):
            what = f"not two times: {brief(repr(row['start_s']))} and {brief(repr(row['end_s']))}"
            raise InputError(what, path, line, "write when the event starts and ends, in seconds")
        if end <= start:
            raise InputError("an event ends before it starts", path, line, "swap start_s and end_s")
        if row["modality"] not in MODALITIES:
            raise InputError(f"{brief(repr(row['modality']))} is no modality", path, line, "write audio or visual")
        rows.append((row["clip"], row["modality"], row["kind"], start, end))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"start_s": "float64", "end_s": "float64"})
