"""Tables as corpora of the field publish them: `;` or `,`, names in single quotes, with or without a header, ARFF."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.errors import InputError, brief
from iaca.text import LONGEST_LINE, read_text, require_few

SEGMENT = "segment_id"
LATEST_S = 1e7  # nearly four months: a larger number is no time of a recording


@dataclass(frozen=True)
class Rows:
    """Rows at rising times.

    Attributes:
        times: (n,) s.
        names: of the k columns.
        values: (n, k) float32; NaN where a cell is empty.
        notes: what was passed over, in words.
    """

    times: NDArray[np.float64]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()


def read_rows(path: Path, unit_s: float = 1.0) -> Rows:
    """Read a table: perhaps the recording's name, then the time, then numbers; a column `segment_id` is passed over.

    Rows are sorted by time; of several at one time the first counts. Without a header columns are called f0, f1, ...

    Args:
        path: CSV or ARFF.
        unit_s: of the times (s).

    Raises:
        InputError: the file is empty or torn, there is no time, or a cell is no number; named with its line.
    """
    text = read_text(path)
    table, first = _arff(text, path) if path.suffix.lower() == ".arff" else _delimited(text, path)
    notes = []
    if table.shape[1] and not _is_number(str(table.iloc[0, 0])):
        others = set(table.iloc[:, 0].str.strip("\"' ").str.lower()) - {path.stem.lower(), "unknown"}
        notes += [f"the rows are of {sorted(others)[0]!r}, by their first column"] if others else []
        table = table.iloc[:, 1:]
    if table.shape[1] < 2:
        raise InputError("no column beside the time", path, 1, "give a table with the time and at least one value")
    numbers = _numbers(table, path, first)
    named = [name for name in table.columns[1:] if name != SEGMENT]
    times = numbers[table.columns[0]].to_numpy(np.float64) * unit_s
    if len(unusable := np.flatnonzero(~(np.abs(times) <= LATEST_S))):
        row = first + int(table.index[int(unusable[0])])
        raise InputError("no time in this row", path, row, f"give every row its time, no more than {LATEST_S:.0e} s")
    times, kept = np.unique(np.round(times, 9), return_index=True)
    if len(kept) < len(table) or (np.diff(kept) < 0).any():
        notes.append(f"times do not rise throughout; sorted, and {len(table) - len(kept)} doubled rows passed over")
    return Rows(times, tuple(named), numbers[named].to_numpy(np.float32)[kept], tuple(notes))


def _delimited(text: str, path: Path) -> tuple[pd.DataFrame, int]:
    """All cells as text, and the line of the first row."""
    lines = text.split("\n", 1)
    separator = ";" if lines[0].count(";") > lines[0].count(",") else ","
    require_few(lines[0].count(separator) + 1, path, 1)
    head = [cell.strip("\"' \r") for cell in lines[0].split(separator)]
    if len(head) < 2:
        what = "the file is empty" if not text.strip() else "the first line has a single column"
        raise InputError(what, path, 1, "give a table with `;` or `,` between the cells")
    headed = not _is_number(head[1])
    body = lines[1] if headed and len(lines) > 1 else "" if headed else text
    names = head if headed else None
    return _cells(body, separator, names, path), 2 if headed else 1


def _arff(text: str, path: Path) -> tuple[pd.DataFrame, int]:
    parts = re.split(r"(?im)^@data[^\n]*\n", text, maxsplit=1)
    names = re.findall(r"(?im)^@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", parts[0])
    if len(parts) < 2 or len(names) < 2:
        raise InputError("no @attribute lines above @data", path, 1, "give an ARFF file, or a CSV")
    return _cells(parts[1], ",", [name.strip("\"'") for name in names], path), parts[0].count("\n") + 2


def _cells(body: str, separator: str, names: list[str] | None, path: Path) -> pd.DataFrame:
    """Cells as text, indexed by their line of the body; empty lines are passed over."""
    require_few(body[:LONGEST_LINE].split("\n", 1)[0].count(separator) + 1, path, 1)
    try:
        table = pd.read_csv(io.StringIO(body), sep=separator, header=None, dtype=str, quotechar="'",
                            skip_blank_lines=False, keep_default_na=False, skipinitialspace=True)  # fmt: skip
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except pd.errors.ParserError as error:
        raise InputError(f"can't be read ({brief(error)})", path, remedy="give every row one cell per column") from None
    table = table.fillna("")
    table = table[~(table == "").all(axis=1)]
    if table.empty:
        raise InputError("no row of numbers", path, remedy="remove the file, or fill it")
    if names is not None and table.shape[1] != len(names):
        what = f"{table.shape[1]} cells, but the header names {len(names)} columns"
        raise InputError(what, path, 2, "give every row one cell per column")
    table.columns = pd.Index(_unique(names or _invented(table)))
    return table


def _invented(table: pd.DataFrame) -> list[str]:
    """Names for a table without a header: the time follows the recording's name, where there is one."""
    leading = 1 if _is_number(str(table.iloc[0, 0])) else 2
    return [*("name", "time")[2 - leading :], *(f"f{i}" for i in range(table.shape[1] - leading))]


def _unique(names: list[str]) -> list[str]:
    """A name that is there twice gets a number; commas would end a cell in the layout that is written."""
    seen: dict[str, int] = {}
    result: dict[str, None] = {}
    for name in (name.strip().replace(",", "_") for name in names):
        unique = name
        while unique in result:
            seen[name] = seen.get(name, 0) + 1
            unique = f"{name}_{seen[name]}"
        result[unique] = None
    return list(result)


def _numbers(table: pd.DataFrame, path: Path, first: int) -> pd.DataFrame:
    numbers = table.apply(pd.to_numeric, errors="coerce")
    words = numbers.isna() & ~table.apply(lambda c: c.str.strip().str.lower()).isin(["", "nan", "na", "?", "null"])
    if words.to_numpy().any():
        row, column = (int(i) for i in np.argwhere(words.to_numpy())[0])
        what = f"{str(table.iloc[row, column])[:40]!r} in column {table.columns[column]!r} is no number"
        raise InputError(what, path, first + int(table.index[row]), "write a number, or leave the cell empty")
    return pd.DataFrame(numbers)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
