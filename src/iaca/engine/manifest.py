"""What a folder of results holds: one journal line per finished item, with a digest of each file that it has."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from iaca.engine.digests import digest, facts
from iaca.errors import InputError
from iaca.files import is_name, replacing
from iaca.storage import telling_storage
from iaca.text import parse_json

NAME = ".manifest.jsonl"
UNFINISHED = ".unfinished"
"""A file that lies in a folder of results while a run fills it, and stays where that run was ended before its end."""
LONGEST_LINE = 2**20  # bytes
AGAIN = "run the pipeline that writes it again: what was changed, damaged or lost is made anew"


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished item. One is held for each item of a folder: digests as bytes, a third of what a dict of text takes.

    Attributes:
        fingerprint: of the task that made it.
        files: name and SHA-256 of the content of every file that it has; None in a journal written before there were
            digests.
    """

    fingerprint: bytes
    files: tuple[tuple[str, bytes], ...] | None = None

    @classmethod
    def of(cls, fingerprint: bytes, files: Mapping[str, str] | None) -> Entry:
        """From name -> digest in hexadecimal digits. Raises ValueError where they are none."""
        if files is None:
            return cls(fingerprint)
        return cls(fingerprint, tuple((name, bytes.fromhex(files[name])) for name in sorted(files)))

    def names(self) -> list[str]:
        """Of its files."""
        return [name for name, _ in self.files or ()]

    def fault(self, folder: Path) -> str | None:
        """The first file that is not as it was written, and what has become of it; None where all are."""
        for name, written in self.files or ():
            if what := _fault(folder / name, written):
                return f"{name} {what}"
        return None


class Manifest:
    """item -> `Entry`, kept in a journal that survives a kill at any moment.

    A finished item is one appended line. A line that can't be read (the process died in it, or something else wrote
    there) counts as not written; the others stand for themselves, since their digests are compared with the files.
    So does a line whose item or files lie elsewhere: files of items that are gone are removed, and whoever hands on a
    folder of results would say which.
    `compact` rewrites the journal sorted, so that the same content gives the same bytes.

    Attributes:
        items: what is known, by item.
        unreadable: number of lines that can't be read.
    """

    def __init__(self, folder: Path):
        self._path = folder / NAME
        self.items, self.unreadable = dict[str, Entry](), 0
        for read in _entries(self._path):
            if read is None:
                self.unreadable += 1
            else:
                self.items[read[0]] = read[1]

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
        with replacing(self._path) as partial, partial.open("w", encoding="utf-8") as file:
            file.writelines(_line(item, self.items[item]) for item in sorted(self.items))


def check_whole(path: Path) -> None:
    """Compare a file with what was noted when it was written, if it lies in a folder of results that knows it.

    Raises:
        InputError: it is gone, or has another content.
    """
    written = _known(path)
    if written is not None and (what := _fault(path, written)):
        raise InputError(f"this result {what}", path, remedy=AGAIN)


def _fault(path: Path, written: bytes) -> str | None:
    if not path.is_file():
        return "is a folder now" if path.is_dir() else "was written, and is gone"
    try:
        same = digest(path) == written.hex()
    except OSError as error:
        return f"can't be read any more ({error.strerror})"
    return None if same else "was changed or damaged after it was written"


def _known(path: Path) -> bytes | None:
    """The digest of a file in the journal beside it; None where there is no journal, or it does not know the file."""
    journal = path.parent / NAME
    if not journal.is_file():
        return None
    for suffix, digests in _digests(journal, facts(journal)).items():
        if path.name.endswith(suffix) and (found := digests.get(path.name.removesuffix(suffix))) is not None:
            return found
    return None


@lru_cache(maxsize=64)
def _digests(journal: Path, now: str) -> dict[str, dict[str, bytes]]:
    """Suffix -> item -> digest of its file. A folder has one suffix; without it, the names of items serve all folders.

    Read once for all tasks; `now` is an argument so that a journal is read again when it has changed.

    Of items with a single file: those are what later steps read. Where there are several (inference), they lie in a
    folder of the user's own, who may go on with them as an annotation, say.
    """
    del now
    known: dict[str, dict[str, bytes]] = {}
    for item, entry in filter(None, _entries(journal)):
        for digests in known.values():
            digests.pop(item, None)  # of an earlier line
        if entry.files is not None and len(entry.files) == 1:
            ((name, written),) = entry.files
            stem = item if name.startswith(item) else name
            known.setdefault(name.removeprefix(stem), {})[stem] = written
    return known


def _entries(journal: Path) -> Iterator[tuple[str, Entry] | None]:
    """Item and entry of each line, one at a time; None for a line that can't be read. A later line overrides."""
    if not journal.is_file():
        return
    with journal.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            try:
                said = parse_json(line)
                entry = Entry.of(bytes.fromhex(said["fingerprint"]), said.get("files"))
                if not all(map(is_name, (said["item"], *entry.names()))):
                    raise ValueError("a name that leads elsewhere")
                yield sys.intern(said["item"]), entry  # the same items stand in the journals of several folders
            except (ValueError, KeyError, TypeError, AttributeError):
                yield None


def _line(item: str, entry: Entry) -> str:
    files = {} if entry.files is None else {"files": {name: written.hex() for name, written in entry.files}}
    return json.dumps({"item": item, "fingerprint": entry.fingerprint.hex()} | files) + "\n"
