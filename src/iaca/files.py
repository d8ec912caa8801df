"""Files that appear whole or not at all, and versions of a file: which of them is the newest."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path, PurePath

from iaca.storage import LEFTOVER, clear_place, make_folder, telling_storage

__all__ = [
    "LEFTOVER",
    "fits",
    "is_name",
    "is_version",
    "newest_version",
    "remove",
    "replacing",
    "version_after",
    "versions",
    "write_text",
]

_OWNED = re.compile(rf"{re.escape(LEFTOVER)}(?P<process>\d+)-(?P<machine>[0-9a-f]{{6}})-[0-9a-f]{{8}}-")
_ABANDONED_S = 86400.0
"""A temporary file that nobody has written to for so long (s) is nobody's, whichever machine it is from."""
_OWNER = len(f"{LEFTOVER}{2**22}-123456-12345678-")
"""Longest beginning of a temporary name."""
_VERSION = "%Y-%m-%dT%H.%M.%S.%fZ"
_LONGEST = 255  # bytes of a name; no file system has longer ones


@contextmanager
def replacing(target: str | Path, folder: str | Path | None = None) -> Iterator[Path]:
    """A temporary name beside `target` to write to; it takes the target's place on success and vanishes on an error.

    The folder is made where it is missing. The name keeps the suffix, since libraries choose the format by it, and
    begins with `LEFTOVER` and the process that writes, by which whoever writes there next tells what a killed process
    has left, and removes it.

    Args:
        target: the file.
        folder: where the temporary file lies instead, on the same file system: the target's own folder, should that be
            missing, is then made only when the file is whole.

    Raises:
        StorageError: the disk is full or read-only.
        InputError: a folder is in the place of the file, or a file in that of its folder.
    """
    target = Path(target)
    folder = target.parent if folder is None else Path(folder)
    make_folder(folder)
    clear_place(target)
    partial = folder / f"{LEFTOVER}{os.getpid()}-{_machine()}-{secrets.token_hex(4)}-{target.name}"
    try:
        with telling_storage(target):
            _tidy(folder.absolute())
            yield partial
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
    finally:
        if partial.exists():  # on a read-only disk even the removal of what is not there is an error
            partial.unlink()


def versions(file: str | PurePath) -> list[str]:
    """The versions of a file, `FILE/<version>/FILE`, oldest first.

    A folder without the file is no version, and neither is one whose name is not a version name of Kedro's
    (`2026-01-31T12.00.00.000Z`): `backup` or `v2` would otherwise outrank every later version.
    """
    found = Path(file).glob(f"*/{glob.escape(Path(file).name)}")
    return sorted(path.parent.name for path in found if is_version(path.parent.name) and path.is_file())


def is_version(name: str) -> bool:
    """Whether it is a version name of Kedro's that a later one can follow."""
    return _next_version(name) is not None


def newest_version(file: str | Path) -> Path | None:
    """The file of the newest version, None where there is no version."""
    names = versions(file)
    return Path(file) / names[-1] / Path(file).name if names else None


def version_after(proposed: str, files: Iterable[str | PurePath]) -> str:
    """The proposed version name, or the next one after the newest version of any of the files if that is not older.

    A clock that was set back, or a version from a machine whose clock is ahead, must not make a new version the older
    one.
    """
    newest = max((name for file in files for name in versions(file)), default="")
    return proposed if proposed > newest else _next_version(newest) or proposed


def _next_version(name: str) -> str | None:
    """The version name 1 ms later; None where the name is no version name, or the last that the calendar has."""
    try:
        time = datetime.strptime(name, _VERSION)
        return _version_name(time + timedelta(milliseconds=1)) if _version_name(time) == name else None
    except (ValueError, OverflowError):
        return None


def _version_name(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H.%M.%S.%f}"[:-3] + "Z"


def remove(path: Path) -> None:
    """Remove a file, if it is one: a folder in its place is its owner's."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)


def is_name(name: str) -> bool:
    """Whether this is the name of a file, and not a path to one, nor what no file can be called."""
    try:
        return name not in ("", ".", "..") and not {"/", "\0"} & set(name) and len(os.fsencode(name)) <= _LONGEST
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def fits(folder: Path, name: str) -> bool:
    """Whether a file of this name can be written by `replacing` into a folder that exists, and into no other."""
    return is_name(name) and _OWNER + len(os.fsencode(name)) <= os.pathconf(folder, "PC_NAME_MAX")


def write_text(path: Path, text: str) -> None:
    """Write a small text file (UTF-8) so that a reader sees the old or the new one, never a half."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@cache
def _tidy(folder: Path) -> None:
    """Remove what killed processes left in a folder; once for each process that writes there: a listing costs time."""
    for path in folder.glob(f"{LEFTOVER}*"):
        with suppress(FileNotFoundError):  # whose owner has just finished it, or another process has removed it
            if path.is_file() and _abandoned(path):
                path.unlink()


def _abandoned(path: Path) -> bool:
    """Whether a temporary file of ours has no owner any more. What another machine writes is told by its age alone."""
    owner = _OWNED.match(path.name)
    if owner is None:
        return False
    if owner["machine"] == _machine() and not _alive(int(owner["process"])):
        return True
    return time.time() - path.stat().st_mtime > _ABANDONED_S


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True


@cache
def _machine() -> str:
    """Six digits for where process numbers mean something: this host, and of it this container."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux: no containers that share a host's name
        numbers = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:6]
