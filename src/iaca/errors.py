"""Errors for the user: what is wrong, where, and how to fix it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
from types import TracebackType
from typing import Self

MOST_FAULTS = 1000
"""Faults collected per file. Listing a million bad rows would take minutes and gigabytes."""
_LONGEST_QUOTE = 200  # characters
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class InputError(ValueError):
    """Bad input, with what its owner needs to fix it.

    Args:
        problem: what is wrong, in one sentence.
        file: the file it was found in.
        row: 1-based line of that file, if known.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, file: str | Path | None = None, row: int | None = None, remedy: str | None = None):
        self.problem, self.file, self.row, self.remedy = printable(problem), file, row, remedy
        super().__init__(problem, file, row, remedy)  # positional, so that it survives pickling between processes

    def about(self, file: str | Path) -> Self:
        """The same error for another file."""
        return type(self)(self.problem, file, self.row, self.remedy)

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}" + ("" if self.row is None else f", line {self.row}") + ": "
        remedy = "" if self.remedy is None else f" Remedy: {self.remedy}"
        return printable(f"{place}{self.problem}{remedy}")


class StorageError(InputError):
    """The disk is full or read-only. Not the fault of one clip: every other clip would fail too."""


def unreadable(error: OSError, path: str | Path | None = None) -> InputError:
    """The error for a file or folder that the system does not open, wherever it was met.

    Args:
        error: the system's.
        path: of the file or folder, if the system's error may not name it.
    """
    named = error.filename if path is None and isinstance(error.filename, str | Path) else path
    refused = isinstance(error, PermissionError)
    what = os.strerror(error.errno) if refused and error.errno else error.strerror or error  # libraries say more
    remedy = ("fix its permissions and those of its folders" if refused else "restore it") + ", or leave it out"
    return InputError(f"can't be opened ({what})", named, remedy=f"{remedy}, and run again")


@contextmanager
def permission_errors() -> Iterator[None]:
    """Around a whole command: turn a PermissionError that names its file, wherever it was met, into `unreadable`.

    Raises:
        InputError: the user may not open the file.
    """
    try:
        yield
    except PermissionError as error:
        if error.filename is None:  # a socket or a process: nothing that a user can fix
            raise
        raise unreadable(error) from error


@contextmanager
def ended_by_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Around a whole command: an InputError, or a file that may not be opened, ends it with the sentence and the exit
    status 2, as wrong arguments do."""
    try:
        with permission_errors():
            yield
    except InputError as error:
        parser.exit(2, f"{error}\n")


def first_faults(faults: Iterable[InputError]) -> list[InputError]:
    """The first `MOST_FAULTS` faults of a file. If there are more, a final one says so."""
    remaining = iter(faults)
    found = list(islice(remaining, MOST_FAULTS))
    if (more := next(remaining, None)) is not None:
        what = f"there are more than {MOST_FAULTS} faults: the rest of the file was not checked"
        found.append(InputError(what, more.file, more.row, "fix the faults above first"))
    return found


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped (`\\x1b`, `\\udc80`), so that it can be printed and
    written as UTF-8."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: a file name with other bytes has lone surrogates instead of them."""
    return not re.search("[\ud800-\udfff]", text)


def plain_name(name: str) -> str:
    """The name of a file or clip for one cell of a table: `printable`, with line ends and tabs escaped too."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")


def brief(text: object, longest: int = _LONGEST_QUOTE) -> str:
    """Foreign text quoted in a message: cut after `longest` characters, with its full length."""
    full = str(text)
    return full if len(full) <= longest else f"{full[:longest]}… ({len(full):,} characters)"


def counted(number: float, noun: str) -> str:
    """`1 clip`, `3 clips`, `3,241 frames`."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


# What neither the input nor the program is to blame for: an interrupt, a machine without memory, a missing package.

EXTRAS = {
    **dict.fromkeys(("pyarrow", "scipy", "sklearn"), "evaluation"),
    **dict.fromkeys(("kedro", "kedro_datasets", "lightning", "yaml", "skimage", "jinja2"), "project"),
}
"""Module of a package that inference alone does not install -> the extra that has it."""
INTERRUPTED = "Interrupted. What is finished is kept: the same command continues from there."
_NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory", "out of memory", "Insufficient memory", "bad_alloc",
    "annot allocate memory", "failed to map segment from shared object", "can't start new thread",
)  # fmt: skip
"""Messages of libraries that do not raise MemoryError: torch, CUDA, OpenCV, C++, the loader of modules, Python."""


def message_of_machine(error: BaseException | None) -> str | None:
    """The message for an interrupt, or for a lack of memory anywhere in the chain of an error; None for others."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    while error is not None:
        if out_of_memory(error):
            free, total = map(gib, free_memory())
            what = f"there is not enough memory ({str(error) or type(error).__name__}): {free} of {total} GiB are free"
            remedy = "raise the limit (ulimit -v, or that of the container or job), or give the machine more memory"
            return f"Error: {what}. Remedy: {remedy}"
        error = error.__cause__ or error.__context__
    return None


def show_early(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    """A `sys.excepthook` for an interrupt, a lack of memory, a missing package or a closed file (such as
    `conf/logging.yml`, which Kedro reads when it is imported) while a command imports libraries."""
    message: str | InputError | None = message_of_machine(error)
    if isinstance(error, PermissionError) and error.filename is not None:
        message = unreadable(error)
    if isinstance(error, ModuleNotFoundError) and (package := (error.name or "").partition(".")[0]) in EXTRAS:
        message = InputError(f"this needs the package {package}", remedy=f'pip install "iaca[{EXTRAS[package]}]"')
    if message is None:
        sys.__excepthook__(kind, error, stack)
    else:
        sys.stderr.write(f"{message}\n")


def out_of_memory(error: BaseException) -> bool:
    """Whether a library lacked memory, in whatever words."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def free_memory() -> tuple[int, int]:
    """Bytes that this process can still take, and those of the limit that is nearest: of the machine, of the control
    group (a container, a job), or of the process (`ulimit -v`)."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not Path("/proc/meminfo").exists():  # not Linux
        return size, size
    facts = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    limits = [(int(facts["MemAvailable"]) * 1024, size)]
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for folder in _control_groups():
            with suppress(OSError, ValueError):  # not of this version, or `max`
                most = int((folder / limit).read_text())
                limits.append((most - int((folder / used).read_text()), most))
    most, _ = getrlimit(RLIMIT_AS)
    if most != RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits.append((most - pages * os.sysconf("SC_PAGE_SIZE"), most))
    free, total = min(limits)
    return max(free, 0), total


def _control_groups() -> list[Path]:
    """Folders that may hold the limits of this process's control group: its own, and the root that a container sees."""
    root = Path("/sys/fs/cgroup")
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = [root / name / path.lstrip("/") for _, name, path in lines if name in ("", "memory")]
    return [*own, root, root / "memory"]


def gib(count: int) -> str:
    """Bytes in GiB."""
    return f"{count / 2**30:.1f}"
