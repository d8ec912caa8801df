"""The table of what could not be made, and why, beside what could."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from iaca.engine.manifest import AGAIN
from iaca.errors import InputError
from iaca.files import write_text

FAILURES = "failures.csv"


def write_failures(folder: Path, failures: dict[str, str]) -> None:
    """The table of what could not be made, and why; an empty table where everything could."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["item", "reason"])
    rows.writerows(sorted(failures.items()))
    write_text(folder / FAILURES, text.getvalue())


def read_failures(folder: Path) -> dict[str, str]:
    """What `write_failures` wrote; nothing where there is no table.

    Raises:
        InputError: something else stands there.
    """
    path = folder / FAILURES
    if not path.exists():
        return {}
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError("no file")
        with path.open(newline="") as file:
            return {row["item"]: row["reason"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError("this is not the table of failures that was written", path, remedy=AGAIN) from error
