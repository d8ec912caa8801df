"""One run at a time in a folder of results."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from iaca.errors import InputError
from iaca.files import storage_errors

log = logging.getLogger(__name__)
LOCK = ".lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error numbers of a network file system that is mounted without locks."""


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
    return _read(folder / LOCK) in ("", token)


def _occupied(path: Path, held: Path) -> InputError:
    token = _read(path)
    owner = json.loads(token) if token else {"pid": "unknown", "host": "unknown"}
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
