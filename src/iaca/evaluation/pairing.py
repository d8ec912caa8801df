"""Predictions from files laid beside annotations from files, by the rules of the challenge, or every reason why not."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from iaca.errors import InputError
from iaca.evaluation.annotations import Array, parse_annotation
from iaca.evaluation.metrics import DIMENSIONS, per_video
from iaca.evaluation.prediction_files import Clips, parse_predictions

SHOWN = 20  # faults told of one file, before the rest is counted


class Pairing(NamedTuple):
    """Predictions beside their annotation.

    Attributes:
        table: clip, frame, valence, arousal, valence_gold, arousal_gold; a row per annotation row.
        lengths: per annotated clip: clip, annotation_rows, prediction_rows, repeated, cut.
        unannotated: clips that are predicted and have no annotation: not scored.
    """

    table: pd.DataFrame
    lengths: pd.DataFrame
    unannotated: list[str]

    @property
    def unpredicted(self) -> list[str]:
        """Clips that are annotated and have no prediction at all."""
        return list(self.lengths.loc[self.lengths["prediction_rows"] == 0, "clip"])


def pair_files(predictions: Path, annotations: Path, allow_missing: bool = False) -> Pairing:
    """Read both sides and lay them beside each other.

    Args:
        predictions: in one of the forms of `prediction_files`.
        annotations: a folder of `<clip>.txt`.
        allow_missing: whether an annotated clip may be without prediction. Its frames then stay in the table with
            NaN, so that they are counted.

    Raises:
        InputError: anything is wrong with either side; all of it, file by file.
    """
    gold, faults = _annotations(annotations)
    given, wrong = parse_predictions(predictions)
    faults += wrong
    if not allow_missing:
        remedy = "predict it, or score the others with --allow-missing"
        named = {fault.file for fault in faults}
        missing = [c for c in sorted(gold) if c not in given and annotations / f"{c}.txt" not in named]
        faults += [
            InputError(f"there is no prediction for the clip {clip}", predictions, None, remedy) for clip in missing
        ]
    if faults:
        raise told_together(faults)
    if not set(gold) & set(given):
        raise InputError("no clip is both predicted and annotated", predictions, remedy="clips are told by file names")
    tables, lengths = [], []
    for clip, labels in sorted(gold.items()):
        values, length = fit_length(given.get(clip, np.empty((0, 2))), len(labels))
        columns = dict(zip(DIMENSIONS, values.T, strict=True)) | {
            f"{d}_gold": y for d, y in zip(DIMENSIONS, labels.T, strict=True)
        }
        tables.append(pd.DataFrame({"clip": clip, "frame": np.arange(len(labels)), **columns}))
        lengths.append({"clip": clip, **length})
    table = pd.concat(tables, ignore_index=True)
    return Pairing(table, pd.DataFrame(lengths), sorted(set(given) - set(gold)))


def fit_length(values: Array, rows: int) -> tuple[Array, dict[str, int]]:
    """Predictions (n, 2) as (rows, 2) by the rule of the challenge, and what that took.

    The last row is repeated where there are too few, the rest cut where there are too many. Without any row there is
    nothing to repeat: NaN, and nothing counts as repeated.
    """
    given = len(values)
    if not given:
        values = np.full((1, 2), np.nan)
    fitted = values[np.minimum(np.arange(rows), len(values) - 1)]
    repeated = max(rows - given, 0) if given else 0
    return fitted, {
        "annotation_rows": rows,
        "prediction_rows": given,
        "repeated": repeated,
        "cut": max(given - rows, 0),
    }


def video_scores(pairing: Pairing) -> pd.DataFrame:
    """Every annotated clip by itself: its lengths, what was repeated and cut, and the metrics of `per_video`."""
    return pairing.lengths.merge(per_video(pairing.table), on="clip")


def told_together(faults: list[InputError]) -> InputError:
    """One error that names them all, file by file; of a file with very many the first, and how many more."""
    if len(faults) == 1:
        return faults[0]
    lines = []
    for _, group in groupby(faults, key=lambda fault: fault.file):
        of_file = list(group)
        lines += [str(fault) for fault in of_file[:SHOWN]]
        if len(of_file) > SHOWN:
            lines.append(f"{of_file[0].file}: {len(of_file) - SHOWN} more")
    return InputError(f"{len(faults)} faults in the files, nothing was scored:\n  " + "\n  ".join(lines))


def _annotations(folder: Path) -> tuple[Clips, list[InputError]]:
    files = sorted(p for p in folder.glob("*.txt") if not p.name.startswith("."))
    if not files:
        raise InputError("there are no annotations", folder, remedy="give the folder of `<clip>.txt` of one partition")
    clips: Clips = {}
    faults: list[InputError] = []
    for file in files:
        clips[file.stem], wrong = parse_annotation(file)
        faults += wrong
    return clips, faults
