"""Predictions of valence and arousal, read from any of three forms into one array per clip; all faults are reported.

* a folder with a file per clip, `<clip>.txt` or `<clip>.csv`: `valence,arousal`, a row per frame (`formats.labels`);
* a table, Parquet or CSV: `clip,frame,valence,arousal`, frames counted from 0, as the evaluation pipeline writes it;
  A table may also have `time_s`, intervals as `valence_low` and so on, and `inconsistency`;
* a challenge submission: `image_location,valence,arousal`, rows `<clip>/00001.jpg,...`, images counted from 1.

`check_submission` compares a submission to any track of the challenge with the sample file of the organisers, before
they reject it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, parquet

from iaca.errors import InputError, brief, first_faults, plain_name, unreadable
from iaca.files import entries, newest_version, require_modest
from iaca.formats.labels import EXPRESSIONS, LOCATION, MULTITASK, UNITS, Array, classes, parse_prediction
from iaca.text import clip_of, csv_rows, dialect_of, number, read_text

_log = logging.getLogger(__name__)

TABLE_COLUMNS = ["clip", "frame", "valence", "arousal"]
SUBMISSION_COLUMNS = ["image_location", "valence", "arousal"]
TRACKS: dict[str, list[str]] = {
    "valence_arousal": SUBMISSION_COLUMNS,
    "expression": ["image_location", *EXPRESSIONS],
    "action_units": ["image_location", *UNITS],
    "multitask": [*MULTITASK, "aus"],
}
"""Track of the challenge -> first line of its submissions, in lower case; a row of `expression` has one class, one of
`action_units` twelve states, one of `multitask` all of it: 15 values."""
CELLS = {"valence_arousal": 2, "expression": 1, "action_units": len(UNITS), "multitask": 3 + len(UNITS)}
VALUES = ["valence", "arousal"]
ENDS = [(f"{name}_low", f"{name}_high") for name in VALUES]
OPTIONAL = ["time_s", *(end for pair in ENDS for end in pair), "inconsistency"]
"""Columns that a table may have as well."""
COLUMNS = list(dict.fromkeys([*TABLE_COLUMNS, *SUBMISSION_COLUMNS, *OPTIONAL]))
NAMES = ["clip", "image_location"]  # columns of text
MOST_FRAMES = 10_000_000  # nearly four days at 30 Hz: a larger number is not a frame
SPARSE = 100  # frames allowed per listed one, in a file that exceeds `MOST_FRAMES`
Clips = dict[str, Array]


def parse_predictions(
    path: Path, optional: bool = False, annotated: Mapping[str, int] | None = None
) -> tuple[Clips, list[InputError]]:
    """Clip -> (frames, 2) valence and arousal; and all faults of the files.

    A frame is NaN, and the metrics count it as not predicted, if a table or submission does not list it or if a table
    leaves both columns empty (neither face nor sound). In a file per clip every row has values.

    Args:
        path: a file, or a folder with a file per clip.
        optional: read the columns `OPTIONAL` as well. If a table has any, the arrays have a column for each of them
            after valence and arousal, NaN for an empty cell or a column that is not there.
        annotated: rows of annotation by clip. With them, a table whose frames are counted from 1 is recognised, and
            noted in the log: no clip has a frame 0, and at least half of those that are annotated end with their last
            row counted so.

    Raises:
        InputError: there is nothing to read, or a table has none of the three forms.
    """
    if path.is_dir() and newest_version(path) is None:
        return _folder(path)
    file = prediction_file(path)
    table = _read_cells(file)
    if "image_location" in table:
        _require_columns(file, table, SUBMISSION_COLUMNS)
        table, faults = _located(table, file)
        clips, others = _by_clip(table, file, empty=False)
        return clips, sorted(faults + others, key=lambda fault: fault.row or 0)
    _require_columns(file, table, TABLE_COLUMNS)
    return _by_clip(table, file, True, optional and bool({*table.columns} & {*OPTIONAL}), annotated)


def prediction_file(path: Path) -> Path:
    """The file itself, or the newest in a folder of versions (`NAME/<version>/NAME`).

    Raises:
        InputError: there is no file.
    """
    file = newest_version(path) or path
    if not file.is_file():
        raise InputError(
            "there are no predictions",
            path,
            remedy="give a file that exists, or run the evaluation pipeline",
        )
    return file


def _folder(folder: Path) -> tuple[Clips, list[InputError]]:
    files = [path for path in entries(folder) if path.suffix in (".txt", ".csv")]
    if not files:
        raise InputError("there are no predictions", folder, remedy="put a file per clip there, `<clip>.txt` or .csv")
    clips: Clips = {}
    faults: list[InputError] = []
    for file in files:
        values, wrong = parse_prediction(file)
        clip = clip_of(file)
        if clip in clips:
            wrong = [InputError(f"clip {clip} has two files", file, remedy="keep one of them")]
        clips[clip] = values
        faults += wrong
    return clips, faults


def _located(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[InputError]]:
    """The rows of a submission with `clip` and 0-based `frame`; the index still gives their line."""
    found = [LOCATION.fullmatch(location.strip()) for location in table["image_location"]]
    known = np.array([match is not None and int(match[2]) >= 1 for match in found])

    def faulty() -> Iterator[InputError]:
        for row in np.flatnonzero(~known):
            cell = str(table["image_location"].iloc[row])
            what, line = f"not an image location: {cell[:40]!r}", int(table.index[int(row)]) + 2
            yield InputError(what, path, line, "write `clip/00001.jpg`")

    matches = [match for match, ok in zip(found, known, strict=True) if match is not None and ok]
    located = table[known].assign(clip=[m[1] for m in matches], frame=[int(m[2]) - 1 for m in matches])
    return located, first_faults(faulty())


def _by_clip(
    table: pd.DataFrame, path: Path, empty: bool, optional: bool = False, annotated: Mapping[str, int] | None = None
) -> tuple[Clips, list[InputError]]:
    """Rows (index + 2 is the line) as an array per clip.

    `empty` allows rows without a prediction; `optional` adds the columns `OPTIONAL`; with `annotated` rows by clip,
    frames may be counted from 1.
    """
    lines = table.index.to_numpy() + 2
    clip = table["clip"].astype(str).str.strip().str.normalize("NFC").to_numpy()
    frame = pd.to_numeric(table["frame"], errors="coerce").to_numpy(np.float64)
    text = table[VALUES]
    values = text.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    blank = _blank(text).all(axis=1) if empty else np.zeros(len(table), bool)
    others, wrong = _optional(table, path) if optional else (np.empty((len(table), 0)), [])
    numbered = (frame >= 0) & (frame < MOST_FRAMES) & (frame == np.floor(frame))
    scored = blank | (np.abs(values) <= 1).all(1)
    repeated = pd.DataFrame({"clip": clip, "frame": frame}).duplicated().to_numpy() & numbered
    faults = first_faults(
        fault
        for row in np.flatnonzero(~(numbered & scored) | repeated | (clip == ""))
        for fault in _faults_of(
            path, int(lines[row]), table.iloc[row], clip[row], numbered[row], scored[row], repeated[row]
        )
    )
    good = numbered & scored & ~repeated & (clip != "")
    _require_near(path, lines[good], clip[good], frame[good])
    if annotated and good.any() and _from_one(clip[good], frame[good], annotated):
        _log.warning("%s: frames are counted from 1: frame 1 is taken for the first", plain_name(path.name))
        frame = frame - 1
    clips: Clips = {}
    for name, rows in pd.Series(np.flatnonzero(good)).groupby(clip[good]):
        places = frame[rows.to_numpy()].astype(int)
        clips[str(name)] = np.full((places.max() + 1, len(VALUES) + others.shape[1]), np.nan)
        clips[str(name)][places] = np.column_stack([values, others])[rows.to_numpy()]
    return clips, sorted(faults + wrong, key=lambda fault: fault.row or 0) if wrong else faults


def _from_one(clip: Array, frame: Array, annotated: Mapping[str, int]) -> bool:
    """Whether frames are counted from 1 (see `parse_predictions`)."""
    places = pd.Series(frame).groupby(clip).agg(["min", "max"])
    ends = places["max"][places.index.isin(list(annotated))]
    same = [end == annotated[str(name)] for name, end in ends.items()]
    return bool((places["min"] == 1).all()) and bool(same) and 2 * sum(same) >= len(same)


def _blank(text: pd.DataFrame) -> NDArray[np.bool_]:
    """(n, k) bool, cells without a value."""
    return np.asarray(text.isna() | text.isin(["", "nan", "NaN"]))


def _optional(table: pd.DataFrame, path: Path) -> tuple[Array, list[InputError]]:
    """The columns `OPTIONAL` (n, k), NaN where there is no value, and their faults."""
    text = table.reindex(columns=OPTIONAL)
    numbers = text.apply(pd.to_numeric, errors="coerce")
    values = numbers.to_numpy(np.float64)
    wrong = ~np.isfinite(values) & ~_blank(text)
    numbers = numbers.where(np.isfinite(values))

    def faulty() -> Iterator[InputError]:
        unordered = np.column_stack([numbers[low] > numbers[high] for low, high in ENDS])
        alone = np.column_stack([numbers[low].isna() != numbers[high].isna() for low, high in ENDS])
        for row in np.flatnonzero(wrong.any(axis=1) | unordered.any(axis=1) | alone.any(axis=1)):
            found, cells, line = numbers.iloc[row], text.iloc[row], int(table.index[int(row)]) + 2
            for column in np.flatnonzero(wrong[row]):
                what = f"{OPTIONAL[column]} is not a finite number: {str(cells.iloc[column])[:40]!r}"
                yield InputError(what, path, line, "write a finite number, or leave the cell empty")
            for (low, high), crossed, single in zip(ENDS, unordered[row], alone[row], strict=True):
                if crossed:
                    yield InputError(
                        f"{low}={found[low]:g} is above {high}={found[high]:g}", path, line, "swap the two values"
                    )
                elif single and not wrong[row].any():
                    yield InputError(
                        f"{low} and {high} must come together", path, line, "write both, or leave both empty"
                    )

    return values, first_faults(faulty())


def _require_near(path: Path, lines: Array, clip: Array, frame: Array) -> None:
    """Reject a few rows with very large frame numbers: frames that are not listed take memory too."""
    reached = int((pd.Series(frame).groupby(clip).max() + 1).sum())
    if reached > MOST_FRAMES + SPARSE * len(frame):
        row = int(np.argmax(frame))
        what = f"frame {frame[row]:.0f} of clip {brief(clip[row])}, where {len(frame)} frames of {reached} are listed"
        raise InputError(what, path, int(lines[row]), "count the frames of each clip from 0")


def _faults_of(
    path: Path, line: int, row: pd.Series[str], clip: str, numbered: bool, scored: bool, repeated: bool
) -> Iterator[InputError]:
    if not clip:
        yield InputError("there is no clip", path, line, "name the clip of every row")
    if not numbered:
        yield InputError(f"{str(row['frame'])[:40]!r} is not a frame", path, line, "count frames from 0")
    if not scored:
        given = f"{row['valence']},{row['arousal']}"
        yield InputError(f"not two numbers in [-1, 1]: {given[:40]!r}", path, line, "predict values in [-1, 1]")
    if repeated:
        what = f"frame {int(float(row['frame']))} of clip {clip} occurs twice"
        yield InputError(what, path, line, "keep one row per frame")


# Tables of either form


def _read_cells(path: Path) -> pd.DataFrame:
    """Read Parquet, or CSV with all cells as text, so that a message can quote a cell that is not a number.

    Raises:
        InputError: it is neither, or its rows have more cells than its header.
    """
    if path.suffix == ".parquet":
        return read_parquet(path)
    dialect = dialect_of(path)
    head = list(islice(csv_rows(path, dialect), 2))  # names what is wrong if it is not a table
    if len(head) == 2 and len(head[1][1]) > len(head[0][1]):  # pandas would take the first cells for row names
        raise InputError("the rows have more cells than the header", path, head[1][0], "name every column")
    try:
        table = pd.read_csv(
            path, dtype=str, na_filter=False, skip_blank_lines=False, skipinitialspace=True,
            encoding=dialect.encoding, sep=dialect.delimiter, skiprows=dialect.skipped,
        ).fillna("")  # fmt: skip
    except (ValueError, OSError) as error:  # pandas' errors of a bad file are ValueErrors
        raise _no_table(path, error) from None
    filled = np.flatnonzero((table != "").any(axis=1))
    table = table.iloc[: filled[-1] + 1 if len(filled) else 0].rename(columns=str.strip)
    table.index += dialect.skipped  # index + 2 is the line
    if dialect.decimal_comma:
        numbers = [name for name in (*VALUES, *OPTIONAL) if name in table]
        table[numbers] = table[numbers].apply(lambda column: column.str.replace(",", ".", regex=False))
    return table.loc[:, ~table.columns.duplicated()]  # if a name occurs twice, the first counts


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of predictions, and of it only the columns that are asked for.

    Args:
        path: Parquet.
        columns: which; by default all that belong to either form.

    Raises:
        InputError: it is not Parquet, lacks a column, or would take far more memory than its size on disk suggests.
    """
    known = [name for name in COLUMNS if name in read_schema(path).names]
    try:
        with parquet.ParquetFile(path, read_dictionary=[name for name in NAMES if name in known]) as file:
            require_modest(path, 8 * file.metadata.num_rows * max(len(known), 1))
            table = file.read(columns or known)
    except (pa.ArrowException, OSError) as error:
        raise _no_table(path, error) from None
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):  # once unpacked, every row takes the length of its string
            chunks = table[field.name].chunks
            longest = max((compute.max(compute.binary_length(c.dictionary)).as_py() or 0 for c in chunks), default=0)
            require_modest(path, longest * len(table))
            table = table.set_column(place, field.name, table[field.name].cast(field.type.value_type))
    frame = pd.DataFrame(table.to_pandas())
    if columns:
        _require_columns(path, frame, columns)
    return frame


def read_schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file, with the metadata that pandas has written.

    Raises:
        InputError: it may not be read, or is not Parquet.
    """
    try:
        return parquet.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _no_table(path, error) from None


def _no_table(path: Path, error: Exception) -> InputError:
    if isinstance(error, PermissionError):
        return unreadable(error, path)
    what = brief(str(error).splitlines()[0])
    return InputError(f"this is not a table: {what}", path, remedy="give a CSV with a header, or Parquet")


def _require_columns(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that a table has all the columns, and a row.

    Raises:
        InputError: a column or every row is missing.
    """
    missing = [name for name in columns if name not in table]
    if missing:
        forms = f"`{','.join(TABLE_COLUMNS)}` or `{','.join(SUBMISSION_COLUMNS)}`"
        raise InputError(f"there is no column {', '.join(missing)}", path, 1, f"the columns are {forms}")
    if table.empty:
        raise InputError("there is no row below the header", path, 2, "write a row per frame")


Listed = tuple[int, str, list[str]]  # line, image location, other cells


def check_submission(file: Path, sample: Path) -> list[InputError]:
    """All faults of a submission in line order, with missing rows last.

    It must have the rows of `sample` in the same order, each once, with valid values: valence and arousal in [-1, 1],
    a class from 0 to 7, action units of 0 or 1, whichever its track has.

    Args:
        file: the submission.
        sample: the organisers' list of rows, whose first line says which track it is.

    Raises:
        InputError: the sample is not in its format, or there is no such file.
    """
    track, head = track_of(sample)
    wanted = _rows(sample, head)[0]
    given, faults = _rows(file, head)
    if not given:
        return faults or [InputError("there is no row below the header", file, 2, f"write the rows of {sample}")]
    return first_faults(_faults(file, track, given, wanted))


def track_of(sample: Path) -> tuple[str, str]:
    """The track of a list of the organisers, and its first line.

    Raises:
        InputError: there is no such file, or its first line is that of no track.
    """
    if not sample.is_file():
        raise InputError("there is no such file", sample)
    head = read_text(sample).split("\n", 1)[0].rstrip()
    names = [cell.strip().lower() for cell in head.split(",", 20)]
    named = names if names[len(MULTITASK) :] != list(UNITS) else [*names[: len(MULTITASK)], "aus"]
    track = next((track for track, columns in TRACKS.items() if columns == named), None)
    if track is None:
        known = "; ".join(",".join(columns) for columns in TRACKS.values())
        what = f"the first line is not `{','.join(SUBMISSION_COLUMNS)}`, nor that of another track"
        raise InputError(what, sample, 1, f"give the organisers' sample file, which begins with one of: {known}")
    return track, head


def _faults(file: Path, track: str, given: list[Listed], wanted: list[Listed]) -> Iterator[InputError]:
    """Faults of single rows in line order, the first row out of order among them; then the missing rows."""
    listed, seen = {location for _, location, _ in wanted}, Counter[str]()
    late = next(
        _out_of_order([(line, place) for line, place, _ in given], [place for _, place, _ in wanted], file), None
    )
    for line, location, values in given:
        yield from _values(file, track, line, values)
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


def _values(file: Path, track: str, line: int, cells: list[str]) -> Iterator[InputError]:
    given = ",".join(cells)[:40]
    if len(cells) != CELLS[track] and track != "valence_arousal":
        yield InputError(f"not {CELLS[track]} values: {given!r}", file, line, f"write the values of {track}")
        return
    if track in ("valence_arousal", "multitask"):
        affect, cells = (cells[:2], cells[2:]) if track == "multitask" else (cells, [])
        try:
            numbers = [number(cell) for cell in affect]
        except ValueError:
            numbers = []
        if len(numbers) != 2 or not all(-1 <= value <= 1 for value in numbers):
            yield InputError(f"not two numbers in [-1, 1]: {given!r}", file, line, "predict values in [-1, 1]")
    if track in ("expression", "multitask") and not _valid(cells[:1], len(EXPRESSIONS) - 1, 1):
        yield InputError(f"not a class from 0 to 7: {given!r}", file, line, "predict one of the 8 classes")
    if track in ("action_units", "multitask") and not _valid(cells[-len(UNITS) :], 1, len(UNITS)):
        yield InputError(f"not 12 action units of 0 or 1: {given!r}", file, line, "predict 0 or 1 for each unit")


def _valid(cells: Sequence[str], largest: int, width: int) -> bool:
    """Whether they are integers from 0 to `largest`, none of them missing, written without a decimal point."""
    try:
        return bool(np.isfinite(classes(cells, largest, width)).all()) and all(cell.isdigit() for cell in cells)
    except ValueError:
        return False


def _rows(path: Path, head: str) -> tuple[list[Listed], list[InputError]]:
    """(line, image location, other cells) of every row; and the fault of a header other than the sample's."""
    if not path.is_file():
        raise InputError("there is no such file", path)
    lines, columns = read_text(path).rstrip().split("\n"), [cell.strip() for cell in head.split(",")]
    if [cell.strip() for cell in lines[0].split(",", len(columns))] != columns:
        what = f"the first line is not `{head}`" if lines != [""] else "the file is empty"
        return [], [InputError(what, path, 1, "begin with the header of the organisers' sample file")]
    most = max(CELLS.values()) + 1
    cells = [[cell.strip() for cell in line.split(",", most)] for line in lines[1:]]
    return [(number, row[0], row[1:]) for number, row in enumerate(cells, start=2)], []
