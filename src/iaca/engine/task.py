"""A task: a function that turns input files into one output file, with a fingerprint that tells whether an existing
result is up to date."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from iaca.errors import InputError, printable, unreadable

FORMER_NAMES = {
    "analyse_video": "iaca.inference.write.analyse_video",
    "build_folder_timeline": "iaca.corpora.folder.timeline.build_timeline",
    "build_timeline": "iaca.corpora.timeline.build_timeline",
    "collect_crops": "iaca.faces.crops.collect_crops",
    "complete_timeline": "iaca.corpora.presence.complete_timeline",
    "extract_audio": "iaca.media.flac.extract_audio",
    "extract_faces": "iaca.faces.extract.extract_faces_file",
    "render_movie": "iaca.corpora.demo.render.render_movie",
    "train_encoder": "iaca.training.tuning.run.tune_file",
}
"""Task name -> module path that was in its fingerprint before tasks had names. Results from then are still valid.
Do not change an entry when code moves."""

SMALL = 1 << 20
"""Files below this many bytes are read each time: that is hardly slower than looking their digest up."""
DIGESTS_IN_MEMORY = 2048
SETTLED_S = 2.0
"""A file that changed less than this (s) ago may change again with the same time stamp: it is not cached yet."""
FEWER_WORKERS = "run again with fewer workers, as in executor.workers=1"
_SIGNATURE_BYTES = 16  # of a hashed signature


@dataclass(frozen=True)
class Task:
    """A function that turns input files into one output file.

    Attributes:
        name: identifies the work in the fingerprint. Fixed: it stays when the function moves or is renamed, so that
            existing results remain up to date.
        function: called as `function(*inputs, target=path, **parameters, **settings)`; it writes to `target`. It must
            be a module-level function, since it is sent to worker processes.
        inputs: files whose content decides the result. Of a folder, names, sizes and times of its files count.
        parameters: keyword arguments that decide the result: plain values, dataclasses or pydantic models.
        settings: keyword arguments that do not, such as a folder for checkpoints. They are not in the fingerprint.
        version: raised by hand when the function computes something else.
        extra_files: for a function that writes more files than `target`: called with the path of that, it returns the
            names of the others, in the same folder. Also a module-level function.
        low_memory: what a user can do if there is not enough memory for this kind of task.
    """

    name: str
    function: Callable[..., None]
    inputs: tuple[Path, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1"
    extra_files: Callable[[Path], Sequence[str]] | None = None
    low_memory: str = f"{FEWER_WORKERS}, or cut the video into parts"

    def fingerprint(self) -> str:
        """SHA-256 over name, version, parameters and the content of the inputs."""
        return self.fingerprints()[0]

    def fingerprints(self) -> list[str]:
        """The fingerprint, and the one under the task's former name if it has one: a result with either is valid."""
        parameters = {name: _plain(value) for name, value in self.parameters.items()}
        contents = [digest(path) for path in self.inputs]
        names = (self.name, *filter(None, [FORMER_NAMES.get(self.name)]))
        bodies = (json.dumps([name, self.version, parameters, contents], sort_keys=True) for name in names)
        return [hashlib.sha256(body.encode()).hexdigest() for body in bodies]

    def run(self, target: Path) -> None:
        """Call the function, writing to `target`."""
        self.function(*self.inputs, target=target, **self.parameters, **self.settings)


def _plain(value: Any) -> Any:
    """A parameter as JSON values. Raises TypeError for anything that can't be compared."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a task's parameters are plain values, dataclasses or pydantic models, not {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a task's inputs before the task runs, so that a result is never recorded for other inputs.

    The engine holds one per waiting item, hence only digests.

    Attributes:
        fingerprint: of the task.
        signatures: hashed `signature` of each input, taken before the inputs were read for the fingerprint.
        former: fingerprint under the task's former name; empty if it has none.
    """

    fingerprint: bytes
    signatures: bytes
    former: bytes = b""

    @classmethod
    def take(cls, task: Task) -> Snapshot:
        """Record the inputs of a task.

        Raises:
            InputError: one of them can't be read.
        """
        try:
            signatures = _signatures(task)
            fingerprint, *former = map(bytes.fromhex, task.fingerprints())
            return cls(fingerprint, signatures, b"".join(former))
        except OSError as error:
            raise unreadable(error) from error

    def change(self, task: Task) -> InputError | None:
        """What happened to the inputs since; None if nothing did.

        If sizes or times differ, the content decides: the file may only have been touched.
        """
        try:
            now = _signatures(task)
            if now == self.signatures or bytes.fromhex(task.fingerprint()) == self.fingerprint:
                return None
        except OSError as error:
            return unreadable(error)
        differs = next(place for place in range(len(now)) if now[place] != self.signatures[place])
        changed = task.inputs[differs // _SIGNATURE_BYTES]
        return InputError("changed while it was read", changed, remedy="run again when nothing writes to it any more")


def _signatures(task: Task) -> bytes:
    hashed = (hashlib.blake2b(signature(path).encode(), digest_size=_SIGNATURE_BYTES) for path in task.inputs)
    return b"".join(each.digest() for each in hashed)


def digest(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, over names, sizes and times of its files.

    Digests of large files are cached, so that an unchanged corpus is not read again.

    Raises:
        OSError: the path can't be read, or is neither file nor folder (opening a pipe would block).
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return _folder_digest(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "neither a file nor a folder", str(path))
    return _file_digest(str(path.absolute()), status.st_size, _signature(status))


def read_digest(path: Path) -> str:
    """SHA-256 of a file's content, read now: for a file that has just been written, no cached digest can exist."""
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size < SMALL:  # `file_digest` would allocate a buffer larger than most files
            return hashlib.sha256(file.readall()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def signature(path: Path) -> str:
    """A text that differs once a file has changed, without reading it: size, inode, times; of a folder, its digest."""
    status = path.stat()
    return _folder_digest(path) if stat.S_ISDIR(status.st_mode) else _signature(status)


def _signature(status: os.stat_result) -> str:
    """Both times are needed: tools can set mtime back, but not ctime."""
    return f"{status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"


@lru_cache(maxsize=DIGESTS_IN_MEMORY)
def _file_digest(path: str, size: int, signature: str) -> str:
    """`signature` is an argument so that a file is read once for all tasks, and again when it has changed."""
    del signature
    if size < SMALL:
        return read_digest(Path(path))
    cached = FileCache("sha256", Path(path))
    found = cached.get()
    if found is None:
        found = read_digest(Path(path))
        cached.set(found)
    return found


def _folder_digest(path: Path) -> str:
    """Thousands of images are not read for this: a changed file has another size or time."""
    with os.scandir(path) as entries:
        found = {entry.name: entry.stat() for entry in entries if entry.is_file()}
    lines = [f"{name} {status.st_size} {status.st_mtime_ns}\n" for name, status in sorted(found.items())]
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()  # names need not be UTF-8


class FileCache:
    """A value derived from a file, cached across runs until the file changes. Create it before reading the file.

    An unusable cache costs time, not results. A file that can't be accessed is never cached.

    Args:
        kind: what the value is; include the version of the code that derives it.
        path: the file. It counts as unchanged while its `signature` stays the same.
    """

    def __init__(self, kind: str, path: Path):
        self._key, self._signature, self._settled = (kind, printable(str(path.absolute()))), "", False
        try:
            status = path.stat()
        except OSError:
            return
        self._signature = _signature(status)
        self._settled = time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_S

    def get(self) -> str | None:
        """The cached value; None if there is none, or the file has changed since."""
        try:
            row = _database().execute(
                "SELECT value FROM remembered WHERE kind = ? AND path = ? AND facts = ?", (*self._key, self._signature)
            ).fetchone()  # fmt: skip
        except (OSError, sqlite3.Error):
            return None
        return None if row is None else str(row[0])

    def set(self, value: str) -> None:
        """Cache a value, unless the file has only just changed."""
        if not self._settled:
            return
        row = (*self._key, self._signature, value)
        try:
            with _database() as database:
                database.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?, ?, ?)", row)
        except (OSError, sqlite3.Error):
            return


def cache_path() -> Path:
    """The cache of this machine and user. It may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iaca" / "files.sqlite"


def _database() -> sqlite3.Connection:
    return _connection(cache_path(), os.getpid(), threading.get_ident())


@cache
def _connection(path: Path, process: int, thread: int) -> sqlite3.Connection:
    """One per thread: connecting for every file would take as long as reading a small one."""
    del process, thread
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=5)
    connection.execute("PRAGMA synchronous = OFF")  # a cache: what a power failure destroys is derived again
    columns = "kind TEXT, path TEXT, facts TEXT, value TEXT, PRIMARY KEY (kind, path)"
    connection.execute(f"CREATE TABLE IF NOT EXISTS remembered ({columns})")
    return connection
