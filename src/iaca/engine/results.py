"""A folder of results: its lock, its journal of finished items, its table of failures, and how later steps read it."""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from iaca.engine.task import digest, signature
from iaca.errors import InputError
from iaca.files import is_name, replacing, storage_errors, write_text
from iaca.text import parse_json

log = logging.getLogger(__name__)
MANIFEST = ".manifest.jsonl"
FAILURES = "failures.csv"
UNFINISHED = ".unfinished"
"""This file exists while a run fills the folder, and remains if that run is interrupted."""
LONGEST_LINE = 2**20  # bytes of the journal
REBUILD = "run the pipeline that writes it again: anything changed, damaged or missing is rebuilt"

LOCK = ".lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error numbers of a network file system that is mounted without locks."""

T = TypeVar("T")


class OnDemand(Mapping[str, T]):
    """Item -> value, computed at each access; only the names of the items are held in memory.

    Args:
        make: called as `make(item, *cells)`; the same call gives the same value.
        items: the names, in order.
        columns: the cell of each at the item's position is passed on, such as `table["media"].array`, which holds text
            in a fraction of the memory of Python objects.
    """

    def __init__(self, make: Callable[..., T], items: Iterable[str], *columns: Sequence[Any]):
        self._make, self._columns = make, columns
        self._places = {item: place for place, item in enumerate(items)}

    def __getitem__(self, item: str) -> T:
        place = self._places[item]
        return self._make(item, *(column[place] for column in self._columns))

    def __contains__(self, item: object) -> bool:
        return item in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class ClipPaths(Mapping[str, Path]):
    """Item -> file of its result, and `failures`: item -> reason.

    Includes files that have been lost or damaged since: a task that gets one fails by itself, with a remedy. Code that
    reads a file outside a task gets its path from `whole`.
    """

    def __init__(self, paths: Mapping[str, Path], failures: dict[str, str]):
        self._paths, self.failures = paths, failures

    def __getitem__(self, item: str) -> Path:
        if item in self._paths:
            return self._paths[item]
        reason = f": {self.failures[item]}" if item in self.failures else ""
        raise InputError(f"there is no result for {item}{reason}", remedy="run the pipelines before this one again")

    def __contains__(self, item: object) -> bool:
        return item in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def whole(self, item: str) -> Path:
        """The file of an item, after checking its content.

        Raises:
            InputError: it is missing, or not as it was written.
        """
        check_result(self[item])
        return self[item]


def results(folder: Path, suffix: str) -> ClipPaths:
    """The results in a folder, by item.

    Raises:
        InputError: the journal or the table of failures can't be read; or the last run did not finish. An item that it
            did not reach looks like one that never existed, and the next step would silently use a smaller corpus.
    """
    if (folder / UNFINISHED).exists():
        raise InputError(
            "the run that fills this folder has not finished",
            folder,
            remedy="wait for it, or run the pipeline that writes it again: finished results are kept; to do without "
            f"the rest, remove {UNFINISHED} from the folder",
        )
    manifest = Manifest(folder)
    if manifest.unreadable or (not manifest.items and any(folder.glob(f"[!.]*{suffix}"))):
        raise InputError("the journal of this folder is incomplete", folder / MANIFEST, remedy=REBUILD)
    paths = OnDemand(lambda item: folder / f"{item}{suffix}", sorted(manifest.items))
    return ClipPaths(paths, read_failures(folder))


def check_result(path: Path) -> None:
    """Compare a file with its digest in the journal of its folder, if there is one that knows the file.

    Raises:
        InputError: the file is missing, or has another content.
    """
    written = _recorded_digest(path)
    if written is not None and (what := _damage(path, written)):
        raise InputError(f"this result {what}", path, remedy=REBUILD)


def result_digests(folder: Path, suffix: str) -> dict[str, str]:
    """Name -> SHA-256 of all files in a folder that belong to items whose main file has this suffix."""
    entries = Manifest(folder).items.items()
    files = (entry.files or () for item, entry in entries if f"{item}{suffix}" in entry.names())
    return {name: written.hex() for item_files in files for name, written in item_files}


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished item. Digests are bytes, since one entry is in memory for each item of a folder.

    Attributes:
        fingerprint: of the task that made it.
        files: name and SHA-256 of each file of the item; None in a journal from before digests were recorded.
    """

    fingerprint: bytes
    files: tuple[tuple[str, bytes], ...] | None = None

    @classmethod
    def of(cls, fingerprint: bytes, files: Mapping[str, str] | None) -> Entry:
        """From name -> hexadecimal digest. Raises ValueError for anything else."""
        if files is None:
            return cls(fingerprint)
        return cls(fingerprint, tuple((name, bytes.fromhex(files[name])) for name in sorted(files)))

    def names(self) -> list[str]:
        """Names of the item's files."""
        return [name for name, _ in self.files or ()]

    def damage(self, folder: Path) -> str | None:
        """The first file that is not as it was written, with what happened to it; None if all are."""
        for name, written in self.files or ():
            if what := _damage(folder / name, written):
                return f"{name} {what}"
        return None


class Manifest:
    """item -> `Entry`, stored in a journal that survives a kill at any moment.

    Each finished item is one appended line. A line that can't be read (the process died while writing it, or something
    else wrote there) is ignored; the others remain valid, since their digests are compared with the files. A line that
    names files in other folders is ignored too: files of removed items are deleted, so a folder from somebody else
    could otherwise choose which.

    Attributes:
        items: entry by item.
        unreadable: number of ignored lines.
    """

    def __init__(self, folder: Path):
        self._path = folder / MANIFEST
        self.items, self.unreadable = dict[str, Entry](), 0
        for read in _entries(self._path):
            if read is None:
                self.unreadable += 1
            else:
                self.items[read[0]] = read[1]

    def record(self, item: str, entry: Entry) -> None:
        """Append an item whose files are complete.

        Raises:
            StorageError: the disk is full.
        """
        self.items[item] = entry
        with storage_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(_line(item, entry))

    def compact(self) -> None:
        """Rewrite the journal sorted, so that the same content gives the same bytes.

        As a new file: the old one may be a link into a DVC cache.
        """
        with replacing(self._path) as partial, partial.open("w", encoding="utf-8") as file:
            file.writelines(_line(item, self.items[item]) for item in sorted(self.items))


def _damage(path: Path, written: bytes) -> str | None:
    if not path.is_file():
        return "is now a folder" if path.is_dir() else "is missing"
    try:
        same = digest(path) == written.hex()
    except OSError as error:
        return f"can't be read any more ({error.strerror})"
    return None if same else "was changed or damaged after it was written"


def _recorded_digest(path: Path) -> bytes | None:
    """The digest of a file in the journal of its folder; None if there is no journal, or it does not know the file."""
    journal = path.parent / MANIFEST
    if not journal.is_file():
        return None
    for suffix, digests in _digests_by_suffix(journal, signature(journal)).items():
        if path.name.endswith(suffix) and (found := digests.get(path.name.removesuffix(suffix))) is not None:
            return found
    return None


@lru_cache(maxsize=64)
def _digests_by_suffix(journal: Path, signature: str) -> dict[str, dict[str, bytes]]:
    """Suffix -> item -> digest of its file. A folder has one suffix; without it, all folders share the item names.

    Read once for all tasks; `signature` is an argument so that a changed journal is read again.

    Only items with a single file, which later steps read. An item with several (inference) is in a folder of the
    user's, who may go on to edit them.
    """
    del signature
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
    """Item and entry of each line; None for a line that can't be read. A later line overrides an earlier one."""
    if not journal.is_file():
        return
    with journal.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            try:
                fields = parse_json(line)
                entry = Entry.of(bytes.fromhex(fields["fingerprint"]), fields.get("files"))
                if not all(map(is_name, (fields["item"], *entry.names()))):
                    raise ValueError("a path instead of a name")
                yield sys.intern(fields["item"]), entry  # journals of several folders have the same items
            except (ValueError, KeyError, TypeError, AttributeError):
                yield None


def _line(item: str, entry: Entry) -> str:
    files = {} if entry.files is None else {"files": {name: written.hex() for name, written in entry.files}}
    return json.dumps({"item": item, "fingerprint": entry.fingerprint.hex()} | files) + "\n"


def write_failures(folder: Path, failures: dict[str, str]) -> None:
    """Write the table of failed items and reasons; without rows if nothing failed."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["item", "reason"])
    rows.writerows(sorted(failures.items()))
    write_text(folder / FAILURES, text.getvalue())


def read_failures(folder: Path) -> dict[str, str]:
    """The table that `write_failures` wrote; empty if there is none.

    Raises:
        InputError: the file is something else.
    """
    path = folder / FAILURES
    if not path.exists():
        return {}
    try:
        if not path.is_file():  # opening a pipe would block
            raise OSError("not a file")
        with path.open(newline="") as file:
            return {row["item"]: row["reason"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError("this is not the table of failures that was written", path, remedy=REBUILD) from error


# --- one run at a time ---


@contextmanager
def locked(folder: Path, name: str = LOCK, held: Path | None = None) -> Iterator[str]:
    """Lock a folder for one run; yields a token that names the run, for `still_ours`.

    The kernel releases the lock when the process ends, however it ends: a killed run never blocks the next one. The
    lock file is removed at the end.

    Args:
        folder: where the lock file is, and what is locked unless `held` says otherwise.
        name: of the lock file.
        held: something elsewhere that the lock protects, named in errors.

    Raises:
        StorageError: the disk is full or read-only.
        InputError: another run holds the lock, with its process and host.
    """
    path, held = folder / name, held or folder
    token = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "run": secrets.token_hex(8)})
    # A second to wait: a run that is just ending has the lock until its file is gone.
    lock = FileLock(path, timeout=1, thread_local=False, fallback_to_soft=False)
    with storage_errors(path):
        if path.is_symlink() or path.is_fifo():  # not a lock: writing through a link would change another file
            path.unlink(missing_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise _occupied(path, held) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            log.warning("%s: this file system has no locks: make sure that no second run works here", held)
    try:
        with storage_errors(path):
            path.write_text(token)
        yield token
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def still_ours(folder: Path, token: str) -> bool:
    """Whether no other run has locked the folder since.

    A worker on another machine outlives a killed run until its task ends. Its result is discarded if a new run,
    perhaps with other parameters, has begun.
    """
    return _token_in(folder / LOCK) in ("", token)


def _occupied(path: Path, held: Path) -> InputError:
    token = _token_in(path)
    owner = json.loads(token) if token else {"pid": "unknown", "host": "unknown"}
    return InputError(
        f"another run is at work here: process {owner['pid']} on {owner['host']}",
        held,
        remedy="wait until it is done, or end that process; what it has finished is kept",
    )


def _token_in(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
