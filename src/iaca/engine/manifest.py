"""What a folder of results holds: one journal line per finished item, with a digest of each file that it has."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from iaca.engine.digests import digest, facts
from iaca.errors import InputError
from iaca.files import write_text
from iaca.storage import telling_storage

NAME = ".manifest.jsonl"
UNFINISHED = ".unfinished"
"""A file that lies in a folder of results while a run fills it, and stays where that run was ended before its end."""
FAILURES = "failures.csv"
AGAIN = "run the pipeline that writes it again: what was changed, damaged or lost is made anew"


@dataclass(frozen=True)
class Entry:
    """A finished item.

    Attributes:
        fingerprint: of the task that made it.
        files: name -> SHA-256 of the content of every file that it has; None in a journal written before there were
            digests.
    """

    fingerprint: str
    files: Mapping[str, str] | None = None

    def fault(self, folder: Path) -> str | None:
        """The first file that is not as it was written, and what has become of it; None where all are."""
        for name, written in (self.files or {}).items():
            if what := _fault(folder / name, written):
                return f"{name} {what}"
        return None


class Manifest:
    """item -> `Entry`, kept in a journal that survives a kill at any moment.

    A finished item is one appended line. A line that can't be read (the process died in it, or something else wrote
    there) counts as not written; the others stand for themselves, since their digests are compared with the files.
    `compact` rewrites the journal sorted, so that the same content gives the same bytes.

    Attributes:
        items: what is known, by item.
        unreadable: number of lines that can't be read.
    """

    def __init__(self, folder: Path):
        self._path = folder / NAME
        self.items, self.unreadable = _entries(self._path)

    def record(self, item: str, entry: Entry) -> None:
        """Note that the item's files are whole.

        Raises:
            StorageError: the disk is full.
        """
        self.items[item] = entry
        with telling_storage(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(_line(item, entry))

    def compact(self) -> None:
        """Write the journal anew, sorted. A new file: the old one may be a link into a DVC cache."""
        write_text(self._path, "".join(_line(item, self.items[item]) for item in sorted(self.items)))


def check_whole(path: Path) -> None:
    """Compare a file with what was noted when it was written, if it lies in a folder of results that knows it.

    Raises:
        InputError: it is gone, or has another content.
    """
    written = _known(path.parent / NAME).get(path.name)
    if written is not None and (what := _fault(path, written)):
        raise InputError(f"this result {what}", path, remedy=AGAIN)


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
        with path.open(newline="") as file:
            return {row["item"]: row["reason"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError("this is not the table of failures that was written", path, remedy=AGAIN) from error


def _fault(path: Path, written: str) -> str | None:
    if not path.is_file():
        return "is a folder now" if path.is_dir() else "was written, and is gone"
    try:
        same = digest(path) == written
    except OSError as error:
        return f"can't be read any more ({error.strerror})"
    return None if same else "was changed or damaged after it was written"


def _known(journal: Path) -> Mapping[str, str]:
    """Name -> digest of the files that a journal knows; nothing where there is no journal."""
    return _files_of(journal, facts(journal)) if journal.is_file() else {}


@lru_cache(maxsize=64)
def _files_of(journal: Path, now: str) -> dict[str, str]:
    """Read once for all tasks; `now` is an argument so that a journal is read again when it has changed.

    Of items with a single file: those are what later steps read. Where there are several (inference), they lie in a
    folder of the user's own, who may go on with them as an annotation, say.
    """
    del now
    known = (entry.files for entry in _entries(journal)[0].values() if entry.files and len(entry.files) == 1)
    return {name: written for files in known for name, written in files.items()}


def _entries(journal: Path) -> tuple[dict[str, Entry], int]:
    entries, unreadable = dict[str, Entry](), 0
    for line in journal.read_bytes().splitlines() if journal.is_file() else []:
        try:
            said = json.loads(line)
            files = said.get("files")
            entries[said["item"]] = Entry(str(said["fingerprint"]), None if files is None else dict(files))
        except (ValueError, KeyError, TypeError, AttributeError):
            unreadable += 1
    return entries, unreadable


def _line(item: str, entry: Entry) -> str:
    files = {} if entry.files is None else {"files": dict(sorted(entry.files.items()))}
    return json.dumps({"item": item, "fingerprint": entry.fingerprint} | files) + "\n"
