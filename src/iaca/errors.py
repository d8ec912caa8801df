"""Errors for the user: what is wrong, where, and how to fix it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
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
