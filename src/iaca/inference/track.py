"""A person's predictions as arrays by row, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.errors import InputError

Array = npt.NDArray[np.float64]
_NEEDED = ("frame", "time_s", "valence", "arousal")
_BOX = ("x0", "y0", "x1", "y1")
_GATES = ("gate_modalities_audio", "gate_modalities_visual")


@dataclass(frozen=True)
class DrawnTrack:
    """Predictions of one clip of n frames; None for what its table lacks.

    Attributes:
        row_of: frame number -> row.
        time_s: (n,) s, increasing.
        values: (n, 2) valence and arousal.
        face, sound: (n,) bool, what was there; all of it where the table does not say.
        boxes: (n, 4) x0, y0, x1, y1 in px; NaN without a face.
        gates: (n, 2) weights of voice and face.
        confidence: (n,) in [0, 1].
    """

    row_of: dict[int, int]
    time_s: Array
    values: Array
    face: npt.NDArray[np.bool_]
    sound: npt.NDArray[np.bool_]
    boxes: Array | None
    gates: Array | None
    confidence: Array | None

    @classmethod
    def of(cls, table: pd.DataFrame) -> Self:
        """From a table of predictions.

        Raises:
            InputError: it lacks a column or holds more than one clip.
        """
        _check(table)
        table = table.sort_values("frame", ignore_index=True)
        sure = _columns(table, ("confidence",))
        return cls(
            {int(frame): row for row, frame in enumerate(table["frame"])},
            table["time_s"].to_numpy(np.float64),
            table[["valence", "arousal"]].to_numpy(np.float64),
            _mask(table, "face_found"),
            _mask(table, "audio_present"),
            _columns(table, _BOX),
            _columns(table, _GATES),
            None if sure is None else sure[:, 0],
        )


def _mask(table: pd.DataFrame, name: str) -> npt.NDArray[np.bool_]:
    return table[name].to_numpy(bool) if name in table else np.ones(len(table), bool)


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> Array | None:
    return table[list(names)].to_numpy(np.float64) if set(names) <= set(table) else None


def _check(table: pd.DataFrame) -> None:
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise InputError(f"the predictions lack the columns {', '.join(missing)}")
    if "clip" in table and table["clip"].nunique() > 1:
        raise InputError(f"an overlay shows one clip, the table holds {table['clip'].nunique()}")
