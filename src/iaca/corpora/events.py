"""Ground truth of events: when the sound of a clip was silent, noisy or contradictory, and likewise its face."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from iaca.errors import InputError

FILE = "events.csv"
COLUMNS = ("clip", "modality", "kind", "start_s", "end_s")


def read_event_table(path: Path) -> pd.DataFrame:
    """Columns `clip`, `modality`, `kind`, `start_s`, `end_s` (s); no rows where the corpus has no such file.

    Raises:
        InputError: a column is missing, or an event ends before it starts.
    """
    if not path.exists():
        return pd.DataFrame({name: pd.Series(dtype="float64" if name.endswith("_s") else "str") for name in COLUMNS})
    table = pd.read_csv(path, dtype={"clip": str, "modality": str, "kind": str})
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(f"columns {', '.join(missing)} are missing", path, 1, "give the table all five columns")
    backwards = table.index[table["end_s"] <= table["start_s"]]
    if len(backwards):
        raise InputError("an event ends before it starts", path, int(backwards[0]) + 2, "swap start_s and end_s")
    return table[list(COLUMNS)]
