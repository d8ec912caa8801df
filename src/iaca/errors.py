"""The errors a user is meant to read: what is wrong, where, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Self

MOST_FAULTS = 1000
"""Faults of one file that are looked for: a million bad rows took two minutes and gigabytes to tell the first ten."""
LONGEST = 200  # characters of a text of others that a message repeats
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class InputError(ValueError):
    """Bad input, named so that its owner can mend it.

    Args:
        problem: what is wrong, in one sentence.
        file: the file it was found in.
        row: 1-based line of that file, where there is one.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, file: str | Path | None = None, row: int | None = None, remedy: str | None = None):
        self.problem, self.file, self.row, self.remedy = printable(problem), file, row, remedy
        super().__init__(problem, file, row, remedy)  # positional, so that it survives pickling between processes

    def about(self, file: str | Path) -> Self:
        """The same of another file."""
        return type(self)(self.problem, file, self.row, self.remedy)

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}" + ("" if self.row is None else f", line {self.row}") + ": "
        remedy = "" if self.remedy is None else f" Remedy: {self.remedy}"
        return printable(f"{place}{self.problem}{remedy}")


class StorageError(InputError):
    """The disk takes nothing more. It is no fault of the clip whose file met it: the others would meet it too."""


def first_faults(faults: Iterable[InputError]) -> list[InputError]:
    """The first `MOST_FAULTS` of a file's faults; where there are others, one that says so comes last."""
    coming = iter(faults)
    found = list(islice(coming, MOST_FAULTS))
    if (more := next(coming, None)) is not None:
        what = f"there are more than {MOST_FAULTS} faults: the rest was not looked at"
        found.append(InputError(what, more.file, more.row, "mend those above first"))
    return found


def printable(text: str) -> str:
    """The text with what would steer a terminal, or can't be written as UTF-8, spelt out: `\\x1b`, `\\udc80`."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def plain_name(name: str) -> str:
    """The name of a file or clip as a cell of a table holds it: `printable`, ends of lines and tabs spelt out too."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")


def brief(text: object, longest: int = LONGEST) -> str:
    """A text of others as a message repeats it: its beginning, where it is long."""
    whole = str(text)
    return whole if len(whole) <= longest else f"{whole[:longest]}… ({len(whole):,} characters)"


def counted(number: float, noun: str) -> str:
    """`1 clip`, `3 clips`, `3,241 frames`."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"
