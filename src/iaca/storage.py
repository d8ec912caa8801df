"""A disk that takes nothing more, told in one way, whatever the library says that met it."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iaca.errors import InputError, StorageError

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
PROBE = bytes(1 << 16)
"""What is written beside a file that could not be, to learn whether the disk takes anything."""
LEFTOVER = ".tmp-"
"""How the names of files begin that are not whole yet."""


@contextmanager
def telling_storage(target: str | Path) -> Iterator[None]:
    """Whatever goes wrong within because of the disk of `target` is raised as one error that says so.

    Libraries tell of a full disk in many ways (`OSError`, `RuntimeError: unexpected pos`, `System error.`), and some
    not at all; so the disk itself is asked. What is half-written has to be still there then: it is what fills the disk.

    Raises:
        StorageError: the disk is full or read-only, or its quota is used up.
        InputError: the file is larger than its file system or a limit allows.
    """
    try:
        yield
    except StorageError as error:
        if error.file is not None and Path(error.file).name.startswith(LEFTOVER):  # a part of this file, by that name
            raise error.about(target) from error
        raise
    except InputError:
        raise
    except Exception as error:
        if (told := _told(Path(target), error)) is not None:
            raise told from error
        raise


def require_file(path: Path, remedy: str) -> None:
    """Opening a pipe would wait for somebody who writes to it, a device might have any effect.

    Raises:
        InputError: there is something else than a file; where there is nothing, whoever opens it says so.
    """
    if path.exists() and not path.is_file():
        raise InputError("is a folder, a pipe or a device, not a file", path, remedy=remedy)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        StorageError: the disk takes none.
        InputError: a file is in its place.
    """
    with telling_storage(folder / LEFTOVER):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            remedy = "move that file elsewhere, and run again"
            raise InputError("a file is in the place of this folder", folder, remedy=remedy) from error


def clear_place(target: Path) -> None:
    """See to it that a file can be written here: an empty folder in its place goes, any other is its owner's.

    Raises:
        InputError: a folder that is not empty is in its place.
    """
    if target.is_dir() and not target.is_symlink():
        try:
            target.rmdir()
        except OSError as error:
            remedy = "move that folder elsewhere, and run again"
            raise InputError("a folder is in the place of this file", target, remedy=remedy) from error


def _told(target: Path, error: Exception) -> InputError | None:
    """The error to raise in place of a library's; None where the disk is not to blame."""
    code = _refusal(target.parent) or _said(error)
    if code in FULL:
        return StorageError(
            f"the disk is full ({os.strerror(code)})", target,
            remedy="make room there, and run again: what is finished is kept",
        )  # fmt: skip
    if code in READ_ONLY:
        return StorageError(
            f"this folder can't be written to ({os.strerror(code)})", target.parent,
            remedy="mount it for writing or mend its rights, or choose another folder, and run again",
        )  # fmt: skip
    if code == errno.EFBIG:
        return InputError(
            "the file would be larger than its file system or the limit of this process allows", target,
            remedy="raise the limit (ulimit -f), or put the folder on another file system, and run again",
        )  # fmt: skip
    return None


def _refusal(folder: Path) -> int | None:
    """Why a folder takes no file now: the system's number of the error; None where it takes one."""
    probe = next(above for above in (folder, *folder.parents) if above.exists()) / f"{LEFTOVER}{secrets.token_hex(4)}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        return error.errno
    try:
        written = os.write(descriptor, PROBE)
        os.fsync(descriptor)
    except OSError as error:
        return error.errno
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)
    return None if written == len(PROBE) else errno.ENOSPC


def _said(error: BaseException) -> int | None:
    """The number of the system's error that a library passes on, in its number or only in its words."""
    cause: BaseException | None = error
    while cause is not None:
        for code in (*FULL, errno.EFBIG):
            if getattr(cause, "errno", None) == code or os.strerror(code) in str(cause):
                return code
        cause = cause.__cause__ or cause.__context__
    return None
