"""Checking a challenge submission against the organisers' sample file, before they reject it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from iaca.errors import InputError, brief, first_faults
from iaca.formats.predictions import SUBMISSION_COLUMNS
from iaca.text import number, read_text

Listed = tuple[int, str, list[str]]  # line, image location, other cells


def check_submission(file: Path, sample: Path) -> list[InputError]:
    """All faults of a submission in line order, with missing rows last.

    It must have the rows of `sample` in the same order, each once, with two finite values in [-1, 1].

    Args:
        file: the submission.
        sample: the organisers' list of rows.

    Raises:
        InputError: the sample is not in its format, or there is no such file.
    """
    wanted, faults = _rows(sample)
    if faults:
        raise faults[0]
    given, faults = _rows(file)
    if not given:
        return faults or [InputError("there is no row below the header", file, 2, f"write the rows of {sample}")]
    return first_faults(_faults(file, given, wanted))


def _faults(file: Path, given: list[Listed], wanted: list[Listed]) -> Iterator[InputError]:
    """Faults of single rows in line order, the first row out of order among them; then the missing rows."""
    listed, seen = {location for _, location, _ in wanted}, Counter[str]()
    late = next(
        _out_of_order([(line, place) for line, place, _ in given], [place for _, place, _ in wanted], file), None
    )
    for line, location, values in given:
        yield from _values(file, line, values)
        if location not in listed:
            yield InputError(f"{brief(location)} is not in the sample", file, line, "remove the row")
        elif seen[location]:
            yield InputError(f"{location} occurs twice", file, line, "keep one row per image")
        if late is not None and late.row == line:
            yield late
        seen[location] += 1
    for line, location, _ in wanted:
        if not seen[location]:
            yield InputError(f"{location} is missing", file, None, f"it is line {line} of the sample")


def _out_of_order(given: list[tuple[int, str]], wanted: list[str], file: Path) -> Iterator[InputError]:
    """The first row out of the sample's order, among the rows that both have; the others follow from it."""
    both = {place for _, place in given} & set(wanted)
    first = {place: line for line, place in reversed(given) if place in both}
    ours = sorted(first, key=lambda place: first[place])
    for place, due in zip(ours, (place for place in dict.fromkeys(wanted) if place in both), strict=True):
        if place != due:
            remedy = f"keep the order of the sample: {due} comes here"
            yield InputError(f"{place} is out of order", file, first[place], remedy)
            return


def _values(file: Path, line: int, cells: list[str]) -> Iterator[InputError]:
    try:
        numbers = [number(cell) for cell in cells]
    except ValueError:
        numbers = []
    if len(numbers) != 2 or not all(-1 <= value <= 1 for value in numbers):
        given = ",".join(cells)
        yield InputError(f"not two numbers in [-1, 1]: {given[:40]!r}", file, line, "predict values in [-1, 1]")


def _rows(path: Path) -> tuple[list[Listed], list[InputError]]:
    """(line, image location, other cells) of every row; and the fault of a wrong header."""
    if not path.is_file():
        raise InputError("there is no such file", path)
    lines = read_text(path).rstrip().split("\n")
    if [cell.strip() for cell in lines[0].split(",", 3)] != SUBMISSION_COLUMNS:
        what = f"the first line is not `{','.join(SUBMISSION_COLUMNS)}`" if lines != [""] else "the file is empty"
        return [], [InputError(what, path, 1, "begin with the header of the organisers' sample file")]
    cells = [[cell.strip() for cell in line.split(",", 3)] for line in lines[1:]]
    return [(number, row[0], row[1:]) for number, row in enumerate(cells, start=2)], []
