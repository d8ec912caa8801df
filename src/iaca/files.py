"""Files that appear complete or not at all, work in progress, versions, disk errors as one class, bounds on files."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path, PurePath

from iaca.errors import InputError, StorageError, brief, unreadable

LEFTOVER, WEB_WORK = ".tmp-", "iaca-web-"
"""Prefix of temporary files and folders, and of the web page's folder: Gradio serves nothing from hidden folders."""
WORK = "work"
"""End of the names of folders for work in progress."""
ALWAYS_ALLOWED = 2**28
"""Bytes in memory that any compressed file may unpack to."""
MAX_RATIO = 200
"""Bytes in memory per byte of a compressed file that unpacks to more than `ALWAYS_ALLOWED`."""

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
"""Endings of files that have to be unpacked."""

_OWNED = re.compile(
    rf"({re.escape(LEFTOVER)}|{re.escape(WEB_WORK)})(?P<process>\d+)-(?P<machine>[0-9a-f]{{6}})-[0-9a-f]{{8}}-"
)
_PREFIX_LENGTH = len(f"{LEFTOVER}{2**22}-123456-12345678-")  # at most
_ABANDONED_S = 86400.0
"""A temporary file that nobody has written to for this long (s) is abandoned, whichever machine wrote it."""
_MAX_NAME = 255  # bytes of a file name; no file system allows more
_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_PROBE = bytes(1 << 16)
"""Written next to a file that could not be written, to find out whether the disk accepts any data."""
_VERSION = "%Y-%m-%dT%H.%M.%S.%fZ"

PROJECT = "IACA_PROJECT"
"""Environment variable: folder of the project whose command is running. Worker processes inherit it."""


def in_project(path: str | Path) -> Path:
    """A path of the parameters: relative to the project whose command is running, in a script to the current folder."""
    return Path(os.environ.get(PROJECT, ""), path)


@contextmanager
def replacing(target: str | Path, folder: str | Path | None = None) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces `target` on success and is removed on an error.

    Missing folders are created. The temporary name keeps the suffix, since libraries choose the format by it. It starts
    with `LEFTOVER` and the id of the writing process, so that a later writer recognises and removes what a killed
    process left.

    Args:
        target: the file.
        folder: where to put the temporary file instead, on the same file system. A missing folder of the target is then
            created only once the file is complete.

    Raises:
        StorageError: the disk is full or read-only.
        InputError: a non-empty folder is in the place of the file, or a file in the place of its folder.
    """
    target = Path(target)
    folder = target.parent if folder is None else Path(folder)
    make_folder(folder)
    partial = folder / _owned(LEFTOVER, target.name)
    try:
        with storage_errors(target):
            _remove_empty_folder(target)
            _remove_abandoned(folder.absolute())
            yield partial
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
    finally:
        if os.path.exists(partial):  # noqa: PTH110  on a read-only disk, removing a missing file is an error too
            partial.unlink()


@contextmanager
def work_folder(parent: str | Path | None = None, prefix: str = LEFTOVER) -> Iterator[Path]:
    """Yield an empty folder for work in progress, which is removed at the end.

    Its name has the id of this process: what a killed process of this user left in `parent` is removed by the next one
    that works there, or a day after it was written.

    Args:
        parent: an existing or new folder; None for the system's folder for temporary files.
        prefix: of its name.

    Raises:
        StorageError: the disk of that folder is full or read-only.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else Path(parent)
    make_folder(parent)
    _remove_abandoned(parent.absolute())
    work = parent / _owned(prefix, WORK)
    with storage_errors(work):
        work.mkdir(mode=0o700)
    try:
        with storage_errors(work):
            yield work
    except StorageError as error:
        if error.file is not None and Path(error.file).is_relative_to(work):  # name the folder, for that file is gone
            raise error.about(work) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what earlier processes left in a folder that no other process writes to now."""
    for path in folder.glob(f"{LEFTOVER}*"):
        if _is_work(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)


def versions(file: str | PurePath) -> list[str]:
    """The versions of a file, `FILE/<version>/FILE`, oldest first.

    A folder without the file is not a version, nor is one whose name is not a version name of Kedro's
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


def current_files(path: Path, suffix: str) -> list[Path]:
    """The file of a path; of a folder of versions the newest one; of any other folder, such as one version's, all files
    directly in it with this suffix, sorted by name. Empty if there is nothing.

    Raises:
        InputError: the folder may not be read.
    """
    if path.is_file():
        return [path]
    newest = newest_version(path)
    return [newest] if newest else [p for p in entries(path) if p.name.endswith(suffix) and p.is_file()]


def version_after(proposed: str, files: Iterable[str | PurePath]) -> str:
    """The proposed version name, or the next one after the newest version of any of the files if that is not older.

    A clock that was set back, or a version from a machine whose clock is ahead, must not make a new version the older
    one.
    """
    newest = max((name for file in files for name in versions(file)), default="")
    return proposed if proposed > newest else _next_version(newest) or proposed


def _next_version(name: str) -> str | None:
    """The version name 1 ms later; None where the name is not a version name, or the last that the calendar has."""
    try:
        time = datetime.strptime(name, _VERSION)
        return _version_name(time + timedelta(milliseconds=1)) if _version_name(time) == name else None
    except (ValueError, OverflowError):
        return None


def _version_name(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H.%M.%S.%f}"[:-3] + "Z"


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file atomically: a reader sees the old or the new text."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises:
        StorageError: the disk is full or read-only.
        InputError: a file is in its place, or the system refuses it for another reason, such as its name.
    """
    try:
        with storage_errors(folder / LEFTOVER):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                remedy = "move that file elsewhere, and run again"
                raise InputError("a file is in the place of this folder", folder, remedy=remedy) from error
    except OSError as error:
        what = f"this folder can't be created ({error.strerror or error})"
        raise InputError(what, brief(folder), remedy="choose another folder, and run again") from error


def remove(path: Path) -> None:
    """Remove a file or link if it exists; a folder is left alone."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)


def is_name(name: str) -> bool:
    """Whether this is a valid file name: not a path, not empty, not too long, encodable."""
    try:
        return name not in ("", ".", "..") and not {"/", "\0"} & set(name) and len(os.fsencode(name)) <= _MAX_NAME
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def fits(folder: Path, name: str) -> bool:
    """Whether `replacing` can write a file of this name into an existing folder, and into no other folder."""
    return is_name(name) and _PREFIX_LENGTH + len(os.fsencode(name)) <= os.pathconf(folder, "PC_NAME_MAX")


def entries(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, in order; nothing if there is no such folder.

    Raises:
        InputError: the folder may not be read.
    """
    try:
        require_access(folder)
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(error, folder) from error


def require_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be read or written.

    Raises:
        InputError: it may not be read.
        StorageError: the disk is full or read-only, or the user may not write there.
    """
    entries(folder)
    with storage_errors(folder / LEFTOVER):
        if (code := _probe(folder)) is not None:
            raise OSError(code, os.strerror(code), str(folder))


def require_access(folder: str | Path) -> None:
    """Raise OSError for a folder in which no file can be opened, although it may be possible to list them."""
    os.stat(f"{folder}/.")  # noqa: PTH116  Path would leave out the dot


def require_file(path: Path, remedy: str) -> None:
    """Refuse pipes and devices: opening a pipe would wait for a writer, a device may do anything.

    Raises:
        InputError: the path exists and is not a file. A missing file is left to the function that opens it.
    """
    if path.exists() and not path.is_file():
        raise InputError("is a folder, a pipe or a device, not a file", path, remedy=remedy)


def require_modest(path: Path, size: int) -> None:
    """Refuse a compressed file that unpacks to more than 256 MB and more than 200 times its size, before reading it.

    Args:
        path: of the file.
        size: bytes in memory, by the file's own header.

    Raises:
        InputError: it is larger.
    """
    packed = path.stat().st_size
    if size > ALWAYS_ALLOWED and size > MAX_RATIO * packed:
        what = f"{packed / 2**20:.1f} MB would unpack to {size / 2**20:,.0f} MB in memory: probably damaged"
        raise InputError(what, path, remedy=f"write it again with less compression, below {MAX_RATIO} to 1")


@contextmanager
def storage_errors(target: str | Path) -> Iterator[None]:
    """Turn any library's disk error (full, read-only, quota) about `target` into one StorageError.

    Libraries report a full disk in many ways (`OSError`, `RuntimeError: unexpected pos`, `System error.`), some not at
    all, so after any error a probe is written to the disk. The partial file must still exist then: it is what fills the
    disk.

    Raises:
        StorageError: the disk is full or read-only, or its quota is used up.
        InputError: the file is larger than the file system or a limit allows.
    """
    try:
        yield
    except StorageError as error:
        if error.file is not None and Path(error.file).name.startswith(LEFTOVER):  # name the file, not its temporary
            raise error.about(target) from error
        raise
    except InputError:
        raise
    except Exception as error:
        if (disk_error := _disk_error(Path(target), error)) is not None:
            raise disk_error from error
        raise


def _disk_error(target: Path, error: Exception) -> InputError | None:
    """The error to raise instead of a library's; None if no disk is the cause."""
    probed, raised = _probe(target.parent), _error_code(error)
    code = probed or raised
    if probed is None and raised in _FULL:
        return _other_disk_error(target, error, os.strerror(raised))
    if code in _FULL:
        return StorageError(
            f"the disk is full ({os.strerror(code)})", target,
            remedy="make room there, and run again: finished results are kept",
        )  # fmt: skip
    if code in _READ_ONLY:
        return StorageError(
            f"this folder can't be written to ({os.strerror(code)})", target.parent,
            remedy="mount it for writing or fix its permissions, or choose another folder, and run again",
        )  # fmt: skip
    if code == errno.EFBIG:
        return InputError(
            "the file would be larger than its file system or the limit of this process allows", target,
            remedy="raise the limit (ulimit -f), or put the folder on another file system, and run again",
        )  # fmt: skip
    return None


def _other_disk_error(target: Path, error: Exception, words: str) -> InputError:
    """The error for a disk that is full, but is not that of the target: the fault of one item, so others go on."""
    temporary = Path(tempfile.gettempdir())
    named = getattr(error, "filename", None)
    where = f"the folder for temporary files, {temporary}" if _probe(temporary) in _FULL else named or "another disk"
    return InputError(
        f"a disk is full ({words}), but not that of this file: {where}", target,
        remedy="make room there, or set TMPDIR to a folder with room, and run again",
    )  # fmt: skip


def _probe(folder: Path) -> int | None:
    """Try to write a file into a folder, or into the first one above that can be seen: the error number, or None if it
    works. `os.path` takes what is in a closed folder for missing, where `Path` raises."""
    existing = next(above for above in (folder, *folder.parents) if os.path.exists(above))  # noqa: PTH110
    probe = existing / f"{LEFTOVER}{secrets.token_hex(4)}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        return error.errno
    try:
        written = os.write(descriptor, _PROBE)
        os.fsync(descriptor)
    except OSError as error:
        return error.errno
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)
    return None if written == len(_PROBE) else errno.ENOSPC


def _error_code(error: BaseException) -> int | None:
    """The system's error number behind a library's error, from its `errno` or its message."""
    cause: BaseException | None = error
    while cause is not None:
        for code in (*_FULL, errno.EFBIG):
            if getattr(cause, "errno", None) == code or os.strerror(code) in str(cause):
                return code
        cause = cause.__cause__ or cause.__context__
    return None


def _remove_empty_folder(target: Path) -> None:
    """Remove an empty folder in the place of a file; a folder with content belongs to its owner.

    Raises:
        InputError: the folder is not empty.
    """
    if target.is_dir() and not target.is_symlink():
        try:
            target.rmdir()
        except OSError as error:
            remedy = "move that folder elsewhere, and run again"
            raise InputError("a folder is in the place of this file", target, remedy=remedy) from error


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files and folders of killed processes; once per process and folder, since listing takes time."""
    for path in (*folder.glob(f"{LEFTOVER}*"), *folder.glob(f"{WEB_WORK}*-{WORK}")):
        with suppress(FileNotFoundError):  # its owner has just finished it, or another process has removed it
            if path.is_file() and _abandoned(path):
                path.unlink()
            elif _is_work(path) and _abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def _owned(prefix: str, name: str) -> str:
    """A temporary name that tells which process of which machine it belongs to."""
    return f"{prefix}{os.getpid()}-{_machine()}-{secrets.token_hex(4)}-{name}"


def _is_work(path: Path) -> bool:
    """Whether this is a folder of `work_folder`, of this user: in a shared folder, others have theirs."""
    owned = _OWNED.fullmatch(path.name.removesuffix(WORK)) is not None and path.name.endswith(WORK)
    return owned and path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid()


def _abandoned(path: Path) -> bool:
    """Whether a temporary file or folder of ours has no living owner; those of other machines are judged by age."""
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
    except PermissionError:  # another user's process
        pass
    return True


@cache
def _machine() -> str:
    """Six hexadecimal digits that identify this host and container: process ids are unique only within one."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux: no containers that share a host's name
        numbers = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:6]
