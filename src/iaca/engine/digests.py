"""Digests of input files, remembered from one run to the next, so that a corpus is not read again to learn that it is
as it was."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from contextlib import closing
from functools import cache
from pathlib import Path

SMALL = 1 << 20
"""Files below this many bytes are read each time: that is as fast as looking them up."""
SETTLED_S = 2.0
"""A file that changed less than this (s) ago may change again without its time showing it: not remembered yet."""
_TABLE = "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, facts TEXT, digest TEXT)"


def digest(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, over names, sizes and times of its files."""
    facts = path.stat()
    if path.is_dir():
        return _of_folder(path)
    return _of_file(path.absolute(), facts.st_size, f"{facts.st_ino} {facts.st_mtime_ns} {facts.st_ctime_ns}")


@cache
def _of_file(path: Path, size: int, times: str) -> str:
    """Size and times are arguments so that a file is read once for all tasks, and again when it has changed.

    The time of the last change of the file's entry (ctime) is among them: no tool can set that back.
    """
    if size < SMALL:
        return _read(path)
    facts = f"{size} {times}"
    known = _remembered(path, facts)
    if known is None:
        known = _read(path)
        if _settled(path):
            _remember(path, facts, known)
    return known


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(path: Path) -> str:
    """Thousands of images are not read for this: a file that changes has another size or time."""
    with os.scandir(path) as entries:
        facts = {entry.name: entry.stat() for entry in entries if entry.is_file()}
    lines = [f"{name} {fact.st_size} {fact.st_mtime_ns}\n" for name, fact in sorted(facts.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _settled(path: Path) -> bool:
    facts = path.stat()
    return time.time() - max(facts.st_mtime, facts.st_ctime) > SETTLED_S


def store() -> Path:
    """Where digests are kept: a cache of this machine and user, which may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iaca" / "digests.sqlite"


def _remembered(path: Path, facts: str) -> str | None:
    try:
        with closing(sqlite3.connect(store(), timeout=5)) as table:
            row = table.execute(
                "SELECT digest FROM digests WHERE path = ? AND facts = ?", (str(path), facts)
            ).fetchone()
    except sqlite3.Error:  # no store yet, or one that can't be read: files are read instead
        return None
    return None if row is None else str(row[0])


def _remember(path: Path, facts: str, digest: str) -> None:
    try:
        store().parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(store(), timeout=5)) as table, table:
            table.execute(_TABLE)
            table.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (str(path), facts, digest))
    except (OSError, sqlite3.Error):
        return  # a home that can't be written to costs time, not results
