"""Tables of predictions as they are read: CSV with every cell as text, or Parquet that is no larger than it looks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute, parquet

from iaca.errors import InputError, brief
from iaca.files import require_modest
from iaca.text import csv_rows

TABLE_COLUMNS = ["clip", "frame", "valence", "arousal"]
SUBMISSION_COLUMNS = ["image_location", "valence", "arousal"]
COLUMNS, NAMES = list(dict.fromkeys([*TABLE_COLUMNS, *SUBMISSION_COLUMNS])), ["clip", "image_location"]


def read_cells(path: Path) -> pd.DataFrame:
    """A table of either form: Parquet, or a CSV with all cells as text, so that one that is no number can be named.

    Raises:
        InputError: it is neither, or its rows have more cells than its header.
    """
    if path.suffix == ".parquet":
        return read_parquet(path)
    head = list(islice(csv_rows(path), 2))  # says what is wrong with it, where it is no table
    if len(head) == 2 and len(head[1][1]) > len(head[0][1]):  # to pandas the first cells would be names of rows
        raise InputError("the rows have more cells than the header", path, head[1][0], "name every column")
    try:
        table = pd.read_csv(
            path, dtype=str, na_filter=False, skip_blank_lines=False, skipinitialspace=True, encoding="utf-8-sig"
        ).fillna("")
    except (ValueError, OSError) as error:  # pandas' errors of a bad file are ValueErrors
        raise _no_table(path, error) from None
    filled = np.flatnonzero((table != "").any(axis=1))
    table = table.iloc[: filled[-1] + 1 if len(filled) else 0].rename(columns=str.strip)
    return table.loc[:, ~table.columns.duplicated()]  # of a name that is there twice the first counts


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of predictions; of columns that are not asked for nothing is read.

    Args:
        path: Parquet.
        columns: which, by default those of either form that are there.

    Raises:
        InputError: it is no Parquet file, lacks a column, or would take far more memory than a file of its size.
    """
    try:
        known = [name for name in COLUMNS if name in parquet.read_schema(path).names]
        with parquet.ParquetFile(path, read_dictionary=[name for name in NAMES if name in known]) as file:
            require_modest(path, 8 * file.metadata.num_rows * max(len(known), 1))
            table = file.read(columns or known)
    except (pa.ArrowException, OSError) as error:
        raise _no_table(path, error) from None
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):  # a word per row would take that many times its length
            chunks = table[field.name].chunks
            longest = max((compute.max(compute.binary_length(c.dictionary)).as_py() or 0 for c in chunks), default=0)
            require_modest(path, longest * len(table))
            table = table.set_column(place, field.name, table[field.name].cast(field.type.value_type))
    frame = pd.DataFrame(table.to_pandas())
    if columns:
        require_columns(path, frame, columns)
    return frame


def _no_table(path: Path, error: Exception) -> InputError:
    what = brief(str(error).splitlines()[0])
    return InputError(f"this is no table: {what}", path, remedy="give a CSV with a header, or Parquet")


def require_columns(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Every one of the columns is there, and a row.

    Raises:
        InputError: naming what is missing.
    """
    missing = [name for name in columns if name not in table]
    if missing:
        forms = f"`{','.join(TABLE_COLUMNS)}` or `{','.join(SUBMISSION_COLUMNS)}`"
        raise InputError(f"there is no column {', '.join(missing)}", path, 1, f"the columns are {forms}")
    if table.empty:
        raise InputError("there is no row below the header", path, 2, "write a row per frame")
