"""One recording: tables read, labels moved and resampled, features brought to the labels' times, all of it written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from iaca.corpora.convert.config import ConvertConfig
from iaca.corpora.convert.recordings import Recording, place
from iaca.corpora.convert.tables import Rows, read_rows
from iaca.corpora.describe import failure
from iaca.corpora.features.layout import FOLDERS, LABELS
from iaca.corpora.features.tables import write_table
from iaca.corpora.index import NOTED, Problem, problem
from iaca.corpora.resample import ROUNDING_S, Times, Values, grid, labels_at, mean_rows, nearest_rows
from iaca.errors import InputError

Format = Literal["csv", "parquet"]


@dataclass(frozen=True)
class Conversion:
    """Where from, where to, and how.

    Attributes:
        source, root: folders of the corpus and of what is written.
        config: what is taken, and how it is changed.
        form: of the tables that are written.
        unit_s: of the corpus's times (s).
        problems: takes what is wrong.
    """

    source: Path
    root: Path
    config: ConvertConfig
    form: Format
    unit_s: float
    problems: list[Problem] = field(default_factory=list)

    def write(self, recording: Recording) -> bool:
        """Write the recording's labels and features. False if it can't be read, which is then a problem."""
        try:
            traces = self._traces(recording)
            features = {kind: _complete(self._read(recording, path)) for kind, path in recording.features.items()}
            times, labels = self._labels(recording, traces)
        except InputError as error:
            self.problems.append(failure(recording.clip, str(error), self.source))
            return False
        for kind, rows in features.items():
            self._write_table(recording, kind, rows.names, *self._at(rows, times))
        if labels is not None and times is not None:
            self._write_table(recording, "labels", LABELS, times, labels)
        return True

    def _read(self, recording: Recording, path: Path) -> Rows:
        try:
            rows = read_rows(path, self.unit_s)
        except OSError as error:
            raise InputError(f"can't be read ({error.strerror})", path, remedy="mend or remove the file") from None
        for note in rows.notes:
            remedy = "none, if this is as it should be"
            named = place(path, self.source)
            self.problems.append(problem(recording.clip, named, note, remedy, effect=NOTED))
        return rows

    def _traces(self, recording: Recording) -> dict[str, Rows]:
        """Valence and arousal, (n, 1) each at its own times."""
        tables = {path: self._read(recording, path) for path in {path for path, _ in recording.labels.values()}}
        return {kind: _trace(tables[path], column, path) for kind, (path, column) in recording.labels.items()}

    def _labels(self, recording: Recording, traces: dict[str, Rows]) -> tuple[Times | None, Values | None]:
        """Times (t,) and labels (t, 2), moved by the delay; nothing where the recording is not annotated."""
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

    def _at(self, rows: Rows, times: Times | None) -> tuple[Times, Values]:
        """Features at the times of the labels, where that is asked for."""
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


def _trace(rows: Rows, column: str | None, path: Path) -> Rows:
    """The one column (n, 1) that holds the dimension."""
    if column == "mean":
        return Rows(rows.times, ("mean",), rows.values.mean(axis=1, keepdims=True))
    if column is None and len(rows.names) == 1:
        return rows
    if column is None or column not in rows.names:
        what = f"no column {column!r}" if column else "several columns, and no --column says which is the gold standard"
        raise InputError(what, path, 1, f"give one of: {', '.join(rows.names)}")
    return Rows(rows.times, (column,), rows.values[:, [rows.names.index(column)]])


def _complete(rows: Rows) -> Rows:
    """Rows all of whose values are numbers: of what was not observed the layout has no row."""
    whole = np.isfinite(rows.values).all(axis=1)
    return Rows(rows.times[whole], rows.names, rows.values[whole])
