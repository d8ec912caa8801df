"""Digests of input files; those of large ones are remembered, so that a corpus is not read again to learn that it is
as it was."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path

from iaca.engine.remembered import Remembered, signature

SMALL = 1 << 20
"""Files below this many bytes are read each time: that is hardly slower than looking them up."""
SEEN = 2048
"""Files whose digests are at hand; those of more are looked up, or read, again: memory does not grow with a corpus."""
_KIND = "sha256"


def digest(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, over names, sizes and times of its files.

    Raises:
        OSError: it can't be read, or is neither: a pipe would be waited for.
    """
    now = path.stat()
    if stat.S_ISDIR(now.st_mode):
        return _of_folder(path)
    if not stat.S_ISREG(now.st_mode):
        raise OSError(errno.EINVAL, "neither a file nor a folder", str(path))
    return _of_file(str(path.absolute()), now.st_size, signature(now))


def facts(path: Path) -> str:
    """What differs once a file has changed, without reading it: size, times, inode; of a folder, as its digest."""
    now = path.stat()
    return _of_folder(path) if stat.S_ISDIR(now.st_mode) else signature(now)


def content(path: Path) -> str:
    """SHA-256 of a file's content, read now: of one that has just been written, whose digest nobody can know yet."""
    return _read(path)


@lru_cache(maxsize=SEEN)
def _of_file(path: str, size: int, now: str) -> str:
    """Its signature `now` is an argument so that a file is read once for all tasks, and again when it has changed."""
    del now
    if size < SMALL:
        return _read(Path(path))
    known = Remembered(_KIND, Path(path))
    found = known.recall()
    if found is None:
        found = _read(Path(path))
        known.keep(found)
    return found


def _read(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size < SMALL:  # `file_digest` would set up a buffer larger than most files
            return hashlib.sha256(file.readall()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(path: Path) -> str:
    """Thousands of images are not read for this: a file that changes has another size or time."""
    with os.scandir(path) as entries:
        facts = {entry.name: entry.stat() for entry in entries if entry.is_file()}
    lines = [f"{name} {fact.st_size} {fact.st_mtime_ns}\n" for name, fact in sorted(facts.items())]
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()  # names need not be UTF-8
