"""What was learned from a file, remembered from one run to the next for as long as the file stays as it was."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from functools import cache
from pathlib import Path

from iaca.errors import printable

SETTLED_S = 2.0
"""A file that changed less than this (s) ago may change again without its time showing it: not remembered yet."""
_COLUMNS = "kind TEXT, path TEXT, facts TEXT, value TEXT, PRIMARY KEY (kind, path)"


class Remembered:
    """One kind of knowledge of one file, as the file is now. Create it before reading the file.

    A store that is broken or out of reach costs time, not results; a file that can't be looked at has no memory.

    Args:
        kind: what is remembered; another version of the code that learns it is another kind.
        path: the file. It counts as unchanged while its size, inode, and both times of its last change (mtime, ctime)
            stay: no tool can set the latter back.
    """

    def __init__(self, kind: str, path: Path):
        self._key, self._facts, self._settled = (kind, printable(str(path.absolute()))), "", False
        try:
            facts = path.stat()
        except OSError:
            return
        self._facts = signature(facts)
        self._settled = time.time() - max(facts.st_mtime, facts.st_ctime) > SETTLED_S

    def recall(self) -> str | None:
        """What was kept; None where nothing was, or the file has changed since."""
        try:
            row = _rows().execute(
                "SELECT value FROM remembered WHERE kind = ? AND path = ? AND facts = ?", (*self._key, self._facts)
            ).fetchone()  # fmt: skip
        except (OSError, sqlite3.Error):
            return None
        return None if row is None else str(row[0])

    def keep(self, value: str) -> None:
        """Keep what was learned, unless the file has only just changed."""
        if not self._settled:
            return
        try:
            with _rows() as rows:
                rows.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?, ?, ?)", (*self._key, self._facts, value))
        except (OSError, sqlite3.Error):
            return  # a home that can't be written to costs time, not results


def signature(facts: os.stat_result) -> str:
    """What differs once a file has changed: its size, its inode, and both times of its last change."""
    return f"{facts.st_size} {facts.st_ino} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def store() -> Path:
    """Where it is kept: a cache of this machine and user, which may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iaca" / "files.sqlite"


def _rows() -> sqlite3.Connection:
    return _connection(store(), os.getpid(), threading.get_ident())


@cache
def _connection(path: Path, process: int, thread: int) -> sqlite3.Connection:
    """One for each thread: opening the store for every file would take as long as reading a small one."""
    del process, thread
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=5)
    connection.execute("PRAGMA synchronous = OFF")  # a cache: what a power failure takes is learned again
    connection.execute(f"CREATE TABLE IF NOT EXISTS remembered ({_COLUMNS})")
    return connection
