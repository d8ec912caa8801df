"""Convert AVEC 2019, RECOLA, MuSe or ABAW into the layout of `iaca.corpora.features`, completely or not at all.

`python -m iaca.corpora.convert avec2019|recola|muse|abaw SOURCE ROOT --audio FOLDER --visual FOLDER [--delay 2.4]`.
"""

from __future__ import annotations

import argparse
import csv
import logging
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import ValidationError

from iaca.corpora.affwild2 import read_frames
from iaca.corpora.check import failure
from iaca.corpora.features import FOLDERS
from iaca.corpora.index import (
    CARD_FILE,
    LEFT_OUT,
    NOTED,
    PARTITION_FILE,
    CorpusCard,
    Problem,
    card_text,
    problem,
    problem_table,
)
from iaca.corpora.recordings import CORPORA, ConvertConfig, Recording, place
from iaca.corpora.timeline import (
    ROUNDING_S,
    Times,
    Values,
    grid,
    labels_at,
    mean_rows,
    mismatch,
    nearest_rows,
    unit_problem,
)
from iaca.engine.run import progress
from iaca.errors import InputError, counted, ended_by_errors, printable, unreadable
from iaca.files import LEFTOVER, make_folder, storage_errors, write_text
from iaca.formats.labels import LABELS, TASK_COLUMNS
from iaca.formats.tables import Table, read_rows, write_table
from iaca.parameters import add_options, faults

log = logging.getLogger(__name__)


Format = Literal["csv", "parquet"]
PROBLEM_FILE = "conversion_problems.csv"
SHOWN_PROBLEMS = 10


def convert(corpus: str, source: Path, root: Path, config: ConvertConfig, form: Format = "csv") -> int:
    """Write labels, features, partitions and a card that records the conversion. Returns the number of clips.

    Everything is written into a hidden folder next to `root`, which is renamed at the end: an interrupted conversion
    leaves no `root`. A recording that can't be read is left out and listed in `conversion_problems.csv`.

    Raises:
        InputError: `root` is not empty, a folder of the source is missing, or no recording, or no annotated one, can
            be converted.
    """
    root = root.absolute()
    if root.exists() and any(root.iterdir()):
        raise InputError("the folder is not empty", root, remedy="give a new folder, or empty this one")
    reader = CORPORA[corpus]
    partial = root.with_name(f"{LEFTOVER}{secrets.token_hex(4)}-{root.name}")
    make_folder(root.parent)
    conversion = Conversion(source, partial, config, form, reader.unit_s)
    try:
        with storage_errors(root):
            partial.mkdir()
        found = reader.recordings(source, config, conversion.problems)
        with storage_errors(root):
            written = [recording for recording in progress(found, "clips", len(found)) if conversion.write(recording)]
            if not written or (any(r.annotated for r in found) and not any(r.annotated for r in written)):
                raise _nothing(source, conversion.problems)
            _finish(partial, written, _card(reader.name, config, any(r.frames for r in written)), conversion.problems)
            partial.replace(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(written)


def _nothing(source: Path, problems: list[Problem]) -> InputError:
    left_out = [row for row in problems if row["effect"] == LEFT_OUT]
    first = left_out[0] if left_out else {"file": ".", "problem": "no files", "remedy": "give the folder of the corpus"}
    what = f"no annotated recording can be converted; the first problem: {first['file']}: {first['problem']}"
    return InputError(what, source, remedy=str(first["remedy"]))


def _card(name: str, config: ConvertConfig, by_frame: bool) -> CorpusCard:
    if by_frame:
        return CorpusCard(name=name, caveat="Row i of an annotation is at i / frames per second, a nominal rate.")
    rate = "at their own times" if config.rate is None else f"interpolated to {config.rate:g} Hz"
    scaled = f", multiplied by {config.scale:g}" if config.scale != 1 else ""
    features = {"keep": "at their own times", "nearest": "nearest rows", "mean": "means"}[config.features]
    moved = f"Labels moved {config.delay:g} s earlier to compensate the annotators' delay"
    return CorpusCard(name=name, caveat=f"{moved}, {rate}{scaled}; features {features}.")


def _finish(root: Path, written: list[Recording], card: CorpusCard, problems: list[Problem]) -> None:
    write_text(root / CARD_FILE, card_text(card))
    with (root / PARTITION_FILE).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("clip", "partition", "subject"))
        rows.writerows((r.clip, r.partition, r.subject) for r in written)
    table = problem_table(problems)
    table.to_csv(root / PROBLEM_FILE, index=False)
    left = int((table["effect"] == LEFT_OUT).sum())
    log.log(logging.WARNING if left else logging.INFO, "%s left out, %s: %s", counted(left, "recording"),
            counted(len(table) - left, "note"), PROBLEM_FILE)  # fmt: skip
    for row in table[table["effect"] == LEFT_OUT].head(SHOWN_PROBLEMS).to_dict("records"):
        log.warning("%s", printable(f"{row['clip']}: {row['file']}: {row['problem']}. Remedy: {row['remedy']}"))


@dataclass(frozen=True)
class Conversion:
    """The conversion of single recordings.

    Attributes:
        source, root: folders of the corpus and of the result.
        config: which files are used, and how their times change.
        form: format of the tables that are written.
        unit_s: of the corpus's times (s).
        problems: receives the problems.
    """

    source: Path
    root: Path
    config: ConvertConfig
    form: Format
    unit_s: float
    problems: list[Problem] = field(default_factory=list)

    def write(self, recording: Recording) -> bool:
        """Write the labels and features of a recording. If it can't be read, report a problem and return False."""
        try:
            traces = self._traces(recording)
            features = {kind: _complete(self._read(recording, path)) for kind, path in recording.features.items()}
            times, labels = self._frames(recording) if recording.frames else self._labels(recording, traces)
            _require_one_clock(features, times)
        except InputError as error:
            self.problems.append(failure(recording.clip, str(error), self.source))
            return False
        for kind, rows in features.items():
            self._write_table(recording, kind, rows.names, *self._at(rows, times))
        if labels is not None and times is not None:
            named = LABELS if labels.shape[1] == len(LABELS) else (*LABELS, *TASK_COLUMNS)
            self._write_table(recording, "labels", named, times, labels)
        return True

    @staticmethod
    def _frames(recording: Recording) -> tuple[Times, Values]:
        """Times (t,) and labels (t, 15) of an annotation by frame."""
        assert recording.frames is not None
        rate, files = recording.frames
        labels = read_frames(recording.clip, files)
        return np.arange(len(labels)) / rate, labels

    def _read(self, recording: Recording, path: Path) -> Table:
        try:
            rows = read_rows(path, self.unit_s)
        except OSError as error:
            raise unreadable(error, path) from None
        for note in rows.notes:
            remedy = "none, if this is intended"
            named = place(path, self.source)
            self.problems.append(problem(recording.clip, named, note, remedy, effect=NOTED))
        return rows

    def _traces(self, recording: Recording) -> dict[str, Table]:
        """Valence and arousal, (n, 1) each at its own times."""
        tables = {path: self._read(recording, path) for path in {path for path, _ in recording.labels.values()}}
        return {kind: _trace(tables[path], column, path) for kind, (path, column) in recording.labels.items()}

    def _labels(self, recording: Recording, traces: dict[str, Table]) -> tuple[Times | None, Values | None]:
        """Times (t,) and labels (t, 2), moved by the delay; None if the recording is not annotated."""
        if not traces:
            return None, None
        own = {kind: rows.times - self.config.delay for kind, rows in traces.items()}
        times, rate = own["valence"], self.config.rate
        times = times if rate is None else grid(times[0], times[-1], rate)
        times = times[times >= -ROUNDING_S].clip(0)
        if not len(times):
            what = f"no label is left after a delay of {self.config.delay:g} s"
            raise InputError(what, recording.labels["valence"][0], remedy="give a smaller --delay")
        columns = [labels_at(own[kind], traces[kind].values, times) for kind in LABELS]
        return times, np.float32(self.config.scale) * np.concatenate(columns, axis=1)

    def _at(self, rows: Table, times: Times | None) -> tuple[Times, Values]:
        """Features at their own times, or at those of the labels if the configuration asks for it."""
        if times is None and self.config.rate is not None and len(rows.times):
            times = grid(max(rows.times[0], 0), rows.times[-1], self.config.rate)
        if self.config.features == "keep" or times is None or not len(rows.times):
            return rows.times, rows.values
        return (nearest_rows if self.config.features == "nearest" else mean_rows)(rows.times, rows.values, times)

    def _write_table(
        self, recording: Recording, kind: str, names: tuple[str, ...], times: Times, values: Values
    ) -> None:
        path = self.root / FOLDERS[kind] / f"{recording.clip}.{self.form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, times, names, values)


def _require_one_clock(features: dict[str, Table], times: Times | None) -> None:
    """Check that features have times in the same unit as the labels, or else as the first modality.

    Raises:
        InputError: they hardly overlap, or are not in seconds.
    """
    tables = [table for table in features.values() if len(table.times)]
    clock = tables[0].times if times is None and tables else times
    for table in tables:
        wrong = (None if clock is None else mismatch(table.times, clock)) or unit_problem(table.times)
        if wrong:
            remedy = "give labels and features with times in the unit of the corpus"
            raise InputError(f"the times do not fit: {wrong}", table.file, remedy=remedy)


def _trace(rows: Table, column: str | None, path: Path) -> Table:
    """The column (n, 1) of the dimension."""
    if column == "mean":
        return Table(path, rows.times, ("mean",), rows.values.mean(axis=1, keepdims=True))
    if column is None and len(rows.names) == 1:
        return rows
    if column is None or column not in rows.names:
        what = f"no column {column!r}" if column else "several columns, but no --column chooses the gold standard"
        raise InputError(what, path, 1, f"give one of: {', '.join(rows.names)}")
    return Table(path, rows.times, (column,), rows.values[:, [rows.names.index(column)]])


def _complete(rows: Table) -> Table:
    """Rows without NaN: in the layout that is written, something not observed has no row."""
    complete = np.isfinite(rows.values).all(axis=1)
    return Table(rows.file, rows.times[complete], rows.names, rows.values[complete])


def main(words: Sequence[str] | None = None) -> None:
    """Every field of `ConvertConfig` is an option of the same name."""
    parser = build_parser()
    given = vars(parser.parse_args(words))
    corpus, source, root, form = (given.pop(name) for name in ("corpus", "source", "root", "format"))
    try:
        config = ConvertConfig(**{name: value for name, value in given.items() if value is not None})
        with ended_by_errors(parser):
            clips = convert(corpus, source, root, config, form)
    except ValidationError as error:
        parser.error(faults(error, "--"))
    log.info(
        '%s in %s. Next: kedro run --env features --params "ingestion.root=%s"', counted(clips, "clip"), root, root
    )


def build_parser() -> argparse.ArgumentParser:
    """The options of the command, with defaults and descriptions from the parameter model."""
    parser = argparse.ArgumentParser(prog="python -m iaca.corpora.convert", description=__doc__)
    parser.add_argument("corpus", choices=list(CORPORA), help="whose files these are")
    parser.add_argument("source", type=Path, help="folder of the corpus")
    parser.add_argument("root", type=Path, help="a new or an empty folder")
    parser.add_argument(
        "--format", choices=get_args(Format), default="csv", help="format of the tables that are written"
    )
    add_options(parser, ConvertConfig)
    return parser


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
