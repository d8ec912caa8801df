"""Predictions from files laid beside annotations from files, by the rules of the challenge, or every reason why not.

Score predictions that were made anywhere against annotations in the form of Aff-Wild2.

    python -m iaca.evaluation.score PREDICTIONS ANNOTATIONS [--out TABLE.csv] [--convention NAME ...]

PREDICTIONS is a folder with a file per clip, a table or a submission (`iaca.formats.predictions`), ANNOTATIONS
a folder of `<clip>.txt`, such as `VA_Estimation_Challenge/Validation_Set`. Lengths are made equal as the challenge
does: a short prediction goes on with its last row, a long one is cut. Every fault of every file is told at once, and
nothing is scored while there is one.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from iaca.errors import InputError, printable
from iaca.evaluation.metrics import (
    CONVENTIONS,
    DIMENSIONS,
    METRIC_NAMES,
    SCORES,
    Interval,
    bootstrap_ccc,
    per_video,
    pooled_metrics,
    video_means,
)
from iaca.files import replacing
from iaca.formats.affwild2 import Array, parse_annotation
from iaca.formats.predictions import Clips, parse_predictions
from iaca.text import clip_of

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
        clips[clip_of(file)], wrong = parse_annotation(file)
        faults += wrong
    return clips, faults


log = logging.getLogger(__name__)


def report_lines(pairing: Pairing, conventions: Iterable[str] = (), replicates: int = 2000) -> list[str]:
    """The headline and what stands beside it, as text: a column each for valence, arousal and their mean."""
    table = pairing.table
    predicted = table[~table["clip"].isin(pairing.unpredicted)]
    scores, means = pooled_metrics(table), video_means(per_video(table))
    intervals = bootstrap_ccc(predicted, replicates)
    lines = [f"{'':26}{'valence':>18}{'arousal':>18}{'mean':>18}"]
    lines.append(_line("CCC, all frames pooled", (scores[name] for name in SCORES)))
    lines.append(_line("  95 % over videos", (intervals[name] for name in SCORES)))
    for metric in METRIC_NAMES[1:]:
        lines.append(_line(metric.upper(), (scores[f"{metric}_{name}"] for name in DIMENSIONS)))
    lines.append(_line("mean over videos of CCC", (means[f"video_{name}"] for name in SCORES)))
    for name in conventions:
        lines.append(_line(f"convention {name}", (CONVENTIONS[name](table)[score] for score in SCORES)))
    lines.append(
        f"{table['clip'].nunique()} clips, {scores['frames_valence']:.0f} annotated and predicted frames, "
        f"{scores['unpredicted']:.0f} annotated frames without a prediction (not scored); "
        f"{means['videos_scored']:.0f} clips have a CCC of their own"
    )
    return lines + _notes(pairing)


def _notes(pairing: Pairing) -> list[str]:
    changed = pairing.lengths[pairing.lengths[["repeated", "cut"]].any(axis=1)]
    lines = [f"{row.clip}: {row.repeated} rows repeated, {row.cut} cut" for row in changed.itertuples()]
    lines += [f"{clip}: no prediction, left out of the score" for clip in pairing.unpredicted]
    return lines + [f"{clip}: no annotation, not scored" for clip in pairing.unannotated]


def _line(name: str, values: Iterable[float | Interval]) -> str:
    cells = (f"{v.low:.4f} to {v.high:.4f}" if isinstance(v, Interval) else f"{v:.4f}" for v in values)
    return f"{name:26}" + "".join(f"{cell:>18}" for cell in cells)


def main(words: Sequence[str] | None = None) -> None:
    """Score, print, and write the table per video where one is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m iaca.evaluation.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("predictions", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--out", type=Path, help="CSV with a row per video")
    parser.add_argument("--convention", nargs="+", default=[], choices=CONVENTIONS, help="print these as well")
    parser.add_argument("--allow-missing", action="store_true", help="score the predicted clips and name the others")
    given = parser.parse_args(words)
    try:
        pairing = pair_files(given.predictions, given.annotations, given.allow_missing)
    except InputError as error:
        parser.exit(2, f"{error}\n")
    for line in report_lines(pairing, given.convention):
        log.info("%s", printable(line))
    if given.out:
        with replacing(given.out) as partial:
            video_scores(pairing).to_csv(partial, index=False)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    main()
