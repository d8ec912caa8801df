"""What a folder of results holds: one journal line per finished item."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from iaca.errors import InputError
from iaca.files import write_text

NAME = ".manifest.jsonl"
UNFINISHED = ".unfinished"
"""A file that lies in a folder of results while a run fills it, and stays where that run was ended before its end."""
FAILURES = "failures.csv"


class ClipPaths(dict[str, Path]):
    """Item -> file of its result, and beside it what failed: item -> reason."""

    def __init__(self, paths: dict[str, Path], failures: dict[str, str]):
        super().__init__(paths)
        self.failures = failures


def results(folder: Path, suffix: str) -> ClipPaths:
    """What a folder of results holds, by name, as far as it is whole.

    Raises:
        InputError: the last run that was to fill the folder has not come to its end. A clip that it has not reached
            can't be told from one that was never there, and a smaller corpus would silently be gone on with.
    """
    if (folder / UNFINISHED).exists():
        raise InputError(
            "the run that fills this folder has not come to its end",
            folder,
            remedy="wait for it, or run the pipeline that writes it once more: what is finished is kept; to do without "
            f"the rest, remove {UNFINISHED} from the folder",
        )
    paths = {item: folder / f"{item}{suffix}" for item in sorted(Manifest(folder).items)}
    return ClipPaths({item: path for item, path in paths.items() if path.exists()}, read_failures(folder))


class Manifest:
    """item -> fingerprint of the task that made it, kept in a journal that survives a kill at any moment.

    A finished item is one appended line; a torn last line (the process died in it) counts as not written.
    `compact` rewrites the journal sorted, so that the same content gives the same bytes.
    """

    def __init__(self, folder: Path):
        self._path = folder / NAME
        self.items: dict[str, str] = {}
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                    self.items[entry["item"]] = entry["fingerprint"]
                except (json.JSONDecodeError, KeyError, TypeError):
                    break  # everything after a torn line is unproven, and is made again

    def record(self, item: str, fingerprint: str) -> None:
        """Note that the item's file is whole."""
        self.items[item] = fingerprint
        with self._path.open("a") as file:
            file.write(_line(item, fingerprint))

    def compact(self) -> None:
        """Write the journal anew, sorted. A new file: the old one may be a link into a DVC cache."""
        write_text(self._path, "".join(_line(item, self.items[item]) for item in sorted(self.items)))


def write_failures(folder: Path, failures: dict[str, str]) -> None:
    """The table of what could not be made, and why; an empty table where everything could."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["item", "reason"])
    rows.writerows(sorted(failures.items()))
    write_text(folder / FAILURES, text.getvalue())


def read_failures(folder: Path) -> dict[str, str]:
    """What `write_failures` wrote; nothing where there is no table."""
    path = folder / FAILURES
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["item"]: row["reason"] for row in csv.DictReader(file)}


def _line(item: str, fingerprint: str) -> str:
    return json.dumps({"item": item, "fingerprint": fingerprint}) + "\n"
