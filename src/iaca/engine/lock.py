"""One run at a time in a folder of results."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iaca.errors import InputError
from iaca.storage import telling_storage

log = logging.getLogger(__name__)
NAME = ".lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a network file system that was mounted without locks answers."""


@contextmanager
def locked(folder: Path, name: str = NAME, held: Path | None = None) -> Iterator[str]:
    """Hold a folder for one run; the value names that run, for `still_ours`.

    Args:
        folder: where the lock's file lies, and what it holds unless `held` says otherwise.
        name: of the lock's file.
        held: something elsewhere that is held by it, named in errors.

    An advisory lock on a file: the kernel lets go of it when its process ends, however that ends, so that no killed
    run ever blocks the next one. The file itself is removed at the end, and is no part of the results.

    Raises:
        StorageError: the disk is full or read-only.
        InputError: another run holds it; that run is named by process and host.
    """
    path, held = folder / name, held or folder
    descriptor = _acquire(path, held)
    token = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "run": secrets.token_hex(8)})
    try:
        with telling_storage(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, token.encode(), 0)
        yield token
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def still_ours(folder: Path, token: str) -> bool:
    """Whether no other run has taken the folder over since.

    A worker on another machine outlives a killed run by the task it has under way; what it then brings is thrown away
    where a new run, perhaps with other parameters, has begun.
    """
    held = _read(folder / NAME)
    return held in ("", token)


def _acquire(path: Path, held: Path) -> int:
    while True:
        with telling_storage(path):
            if path.is_symlink() or path.is_fifo():  # no lock: through a link a file elsewhere would be written to
                path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise _occupied(path, held) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            log.warning("%s: this file system has no locks: see to it that no second run works here", held)
            return descriptor
        if _is_file_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # a run that was just ending has removed this file after it was opened: try the next


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _occupied(path: Path, held: Path) -> InputError:
    said = _read(path)
    owner = json.loads(said) if said else {"pid": "unknown", "host": "unknown"}
    return InputError(
        f"another run is at work here: process {owner['pid']} on {owner['host']}",
        held,
        remedy="wait until it is done, or end that process; what it has finished is kept",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
