"""The errors a user is meant to read: what is wrong, where, and what mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Self


class InputError(ValueError):
    """Bad input, named so that its owner can mend it.

    Args:
        problem: what is wrong, in one sentence.
        file: the file it was found in.
        row: 1-based line of that file, where there is one.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, file: str | Path | None = None, row: int | None = None, remedy: str | None = None):
        self.problem, self.file, self.row, self.remedy = problem, file, row, remedy
        super().__init__(problem, file, row, remedy)  # positional, so that it survives pickling between processes

    def about(self, file: str | Path) -> Self:
        """The same of another file."""
        return type(self)(self.problem, file, self.row, self.remedy)

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}" + ("" if self.row is None else f", line {self.row}") + ": "
        remedy = "" if self.remedy is None else f" Remedy: {self.remedy}"
        return f"{place}{self.problem}{remedy}"


class StorageError(InputError):
    """The disk takes nothing more. It is no fault of the clip whose file met it: the others would meet it too."""
