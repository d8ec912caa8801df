"""Score predictions from any source against annotations in the format of Aff-Wild2, by the rules of the challenge.

    python -m iaca.evaluation.score PREDICTIONS ANNOTATIONS [--out TABLE.csv] [--convention NAME ...] [--events FILE]

PREDICTIONS is a folder with one file per clip, a table, or a submission (formats: `iaca.formats.predictions`).
ANNOTATIONS is a folder of `<clip>.txt`, such as `VA_Estimation_Challenge/Validation_Set`. Lengths are matched as in the
challenge: a short prediction repeats its last row, a long one is cut. All faults of all files are reported at once, and
nothing is scored until they are fixed.

Intervals in a table ({valence,arousal}_{low,high}) get their coverage and width, and `inconsistency` its AUROC if known
events (clip,modality,kind,start_s,end_s) are given.
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

from iaca.errors import InputError, counted, ended_by_errors, printable
from iaca.evaluation.certainty import INCONSISTENCY, coverage, has_intervals, inconsistency_auroc
from iaca.evaluation.metrics import (
    CONVENTIONS,
    DIMENSIONS,
    METRIC_NAMES,
    MIN_CLIPS,
    SCORES,
    Interval,
    annotated_clips,
    bootstrap_ccc,
    per_video,
    pooled_metrics,
    video_means,
)
from iaca.files import entries, replacing
from iaca.formats.labels import Array, parse_annotation, read_event_table
from iaca.formats.predictions import OPTIONAL, Clips, parse_predictions
from iaca.text import clip_of

COLUMNS = (*DIMENSIONS, *OPTIONAL)
SCORED = "scored"  # the only partition there is
SHOWN = 20  # faults named per file; the rest are counted

log = logging.getLogger(__name__)


def main(words: Sequence[str] | None = None) -> None:
    """Score, print, and write the table per video if `--out` is given."""
    parser = argparse.ArgumentParser(
        prog="python -m iaca.evaluation.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("predictions", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--out", type=Path, help="write a CSV with one row per video")
    parser.add_argument(
        "--convention", nargs="+", default=[], choices=CONVENTIONS, help="also print the CCC by these conventions"
    )
    parser.add_argument("--events", type=Path, help="a table of known events, to score `inconsistency` by `time_s`")
    parser.add_argument(
        "--allow-missing", action="store_true", help="score the predicted clips and name the missing ones"
    )
    given = parser.parse_args(words)
    with ended_by_errors(parser):
        pairing = pair_files(given.predictions, given.annotations, given.allow_missing)
        events = None if given.events is None else known_events(given.events, pairing)
        for line in report_lines(pairing, given.convention, events=events):
            log.info("%s", printable(line))
        if given.out:
            with replacing(given.out) as partial:
                video_scores(pairing).to_csv(partial, index=False)


def known_events(path: Path, pairing: Pairing) -> pd.DataFrame:
    """The table of events, for predictions that can be compared with it.

    Raises:
        InputError: there is no such file, or it has a fault; the predictions lack `inconsistency` or `time_s`.
    """
    table = pairing.table
    missing = [name for name in (INCONSISTENCY, "time_s") if name not in table or table[name].isna().all()]
    if not path.exists():
        raise InputError("there is no table of events", path, remedy="give the path of a table that exists")
    if missing:
        what = f"the predictions have no {' and no '.join(missing)}, so the events can't be used"
        raise InputError(what, path, remedy="give a table of predictions with these columns, or leave out --events")
    return read_event_table(path)


def report_lines(
    pairing: Pairing, conventions: Iterable[str] = (), replicates: int = 2000, events: pd.DataFrame | None = None
) -> list[str]:
    """The headline, the other metrics and notes as lines of text, with columns for valence, arousal and their mean."""
    table = pairing.table
    predicted = table[~table["clip"].isin(pairing.unpredicted)]
    scores, means = pooled_metrics(table), video_means(per_video(table))
    intervals = bootstrap_ccc(predicted, replicates)
    lines = [f"{'':26}{'valence':>18}{'arousal':>18}{'mean':>18}"]
    lines.append(_line("CCC, all frames pooled", (scores[name] for name in SCORES)))
    lines.append(_line("  95 % interval", (intervals[name] for name in SCORES)))
    for metric in METRIC_NAMES[1:]:
        lines.append(_line(metric.upper(), (scores[f"{metric}_{name}"] for name in DIMENSIONS)))
    lines.append(_line("CCC, mean over videos", (means[f"video_{name}"] for name in SCORES)))
    for name in conventions:
        lines.append(_line(f"convention {name}", (CONVENTIONS[name](table)[score] for score in SCORES)))
    lines += _interval_lines(predicted, replicates)
    lines += _inconsistency_lines(predicted, events, replicates)
    lines.append(
        f"{counted(len(annotated_clips(table)), 'clip')}, "
        f"{counted(scores['frames_valence'], 'annotated and predicted frame')}, "
        f"{counted(scores['unpredicted'], 'annotated frame')} without a prediction (not scored); "
        f"{counted(means['videos_scored'], 'clip')} with a defined CCC"
    )
    if len(annotated_clips(predicted)) < MIN_CLIPS:
        lines.append(f"no interval: it needs at least {MIN_CLIPS} clips")
    return lines + _notes(pairing)


def _interval_lines(predicted: pd.DataFrame, replicates: int) -> list[str]:
    """Coverage and width of the intervals in the predictions; no line without any."""
    if not has_intervals(predicted):
        return []
    labels = predicted[["clip", "frame"]].assign(
        partition=SCORED, **{name: predicted[f"{name}_gold"] for name in DIMENSIONS}
    )
    found = coverage(predicted.drop(columns=[f"{n}_gold" for n in DIMENSIONS]), labels, replicates=replicates)
    rows = found.set_index("dimension").reindex(list(DIMENSIONS))
    shares = [Interval(*row) for row in rows[["coverage", "coverage_low", "coverage_high"]].to_numpy(np.float64)]
    lines = [
        _line("inside the interval", rows["coverage"]),
        _line("  95 % interval", shares),
        _line("mean width", rows["width"]),
        _line("rank corr. width, |error|", rows["width_error_correlation"]),
    ]
    without = [
        f"{name}: {counted(int(count), 'predicted frame')} without an interval, not among those inside or outside"
        for name, count in rows["without_interval"].dropna().items()
        if count
    ]
    return lines + without


def _inconsistency_lines(predicted: pd.DataFrame, events: pd.DataFrame | None, replicates: int) -> list[str]:
    """AUROC of inconsistency by kind of event; no line unless events are given."""
    if events is None:
        return []
    timed = predicted[predicted["time_s"].notna()]
    rows = inconsistency_auroc(timed, events, replicates).to_dict("records")
    if not rows:
        return ["no predicted frame is in any of the events"]
    return [
        f"inconsistency during {row['modality']} {row['kind']}: AUROC {row['auroc']:z.4f} "
        f"({_bounds(Interval(row['auroc'], row['auroc_low'], row['auroc_high']))}), "
        f"{counted(row['event_frames'], 'frame')} of {counted(row['event_clips'], 'clip')}, "
        f"{row['unknown_event']} unknown"
        for row in rows
    ]


def _line(name: str, values: Iterable[float | Interval]) -> str:
    cells = (_bounds(value) if isinstance(value, Interval) else f"{value:z.4f}" for value in values)
    return f"{name:26}" + "".join(f"{cell:>18}" for cell in cells)


def _bounds(interval: Interval) -> str:
    return "n/a" if np.isnan(interval.low) else f"{interval.low:z.4f} to {interval.high:z.4f}"


def _notes(pairing: Pairing) -> list[str]:
    changed = pairing.lengths[pairing.lengths[["repeated", "cut"]].any(axis=1)]
    lines = [
        f"{row['clip']}: {counted(row['repeated'], 'row')} repeated, {row['cut']} cut"
        for row in changed.to_dict("records")
    ]
    lines += [f"{clip}: no prediction, left out of the score" for clip in pairing.unpredicted]
    return lines + [f"{clip}: no annotation, not scored" for clip in pairing.unannotated]


class Pairing(NamedTuple):
    """Predictions joined to their annotation.

    Attributes:
        table: clip, frame, valence, arousal, valence_gold, arousal_gold, and the columns `formats.predictions.OPTIONAL`
            if any of them was given; one row per annotation row.
        lengths: clip, annotation_rows, prediction_rows, repeated, cut; one row per annotated clip.
        unannotated: predicted clips without an annotation; they are not scored.
    """

    table: pd.DataFrame
    lengths: pd.DataFrame
    unannotated: list[str]

    @property
    def unpredicted(self) -> list[str]:
        """Annotated clips without any prediction."""
        return list(self.lengths.loc[self.lengths["prediction_rows"] == 0, "clip"])


def pair_files(predictions: Path, annotations: Path, allow_missing: bool = False) -> Pairing:
    """Read predictions and annotations, and join them.

    Args:
        predictions: in one of the formats of `iaca.formats.predictions`.
        annotations: a folder of `<clip>.txt`.
        allow_missing: whether an annotated clip may lack a prediction. Its frames then stay in the table as NaN, so
            that they are counted.

    Raises:
        InputError: if any file has a fault; the message names all of them, file by file.
    """
    gold, faults = _annotations(annotations)
    rows = {clip: len(values) for clip, values in gold.items()}
    given, wrong = parse_predictions(predictions, optional=True, annotated=rows)
    faults += wrong
    if not allow_missing:
        remedy = "predict it, or score the other clips with --allow-missing"
        named = {fault.file for fault in faults}
        missing = [c for c in sorted(gold) if c not in given and annotations / f"{c}.txt" not in named]
        faults += [
            InputError(f"there is no prediction for the clip {clip}", predictions, None, remedy) for clip in missing
        ]
    if faults:
        raise combined(faults)
    if not set(gold) & set(given):
        remedy = "name the prediction of a clip like its annotation file"
        raise InputError("no clip is both predicted and annotated", predictions, remedy=remedy)
    tables, lengths = [], []
    for clip, labels in sorted(gold.items()):
        values, length = fit_length(given.get(clip, np.empty((0, len(DIMENSIONS)))), len(labels))
        columns = dict(zip(COLUMNS[: values.shape[1]], values.T, strict=True)) | {
            f"{d}_gold": y for d, y in zip(DIMENSIONS, labels.T, strict=True)
        }
        tables.append(pd.DataFrame({"clip": clip, "frame": np.arange(len(labels)), **columns}))
        lengths.append({"clip": clip, **length})
    table = pd.concat(tables, ignore_index=True)
    return Pairing(table, pd.DataFrame(lengths), sorted(set(given) - set(gold)))


def _annotations(folder: Path) -> tuple[Clips, list[InputError]]:
    files = [path for path in entries(folder) if path.suffix == ".txt"]
    if not files:
        raise InputError("there are no annotations", folder, remedy="give the folder of one partition's `<clip>.txt`")
    clips: Clips = {}
    faults: list[InputError] = []
    for file in files:
        clips[clip_of(file)], wrong = parse_annotation(file)
        faults += wrong
    return clips, faults


def fit_length(values: Array, rows: int) -> tuple[Array, dict[str, int]]:
    """Fit predictions (n, k) to (rows, k) by the rule of the challenge, and count the changes.

    Too few rows: the last one is repeated. Too many: the rest is cut. None at all: NaN, and no row counts as repeated.
    """
    given = len(values)
    if not given:
        values = np.full((1, values.shape[1]), np.nan)
    fitted = values[np.minimum(np.arange(rows), len(values) - 1)]
    repeated = max(rows - given, 0) if given else 0
    return fitted, {
        "annotation_rows": rows,
        "prediction_rows": given,
        "repeated": repeated,
        "cut": max(given - rows, 0),
    }


def combined(faults: list[InputError]) -> InputError:
    """Combine the faults of all files into one error; at most `SHOWN` per file are named, the rest counted."""
    if len(faults) == 1:
        return faults[0]
    lines = []
    for _, group in groupby(faults, key=lambda fault: fault.file):
        of_file = list(group)
        lines += [str(fault) for fault in of_file[:SHOWN]]
        if len(of_file) > SHOWN:
            lines.append(f"{of_file[0].file}: {len(of_file) - SHOWN} more faults")
    return InputError(f"{counted(len(faults), 'fault')} in the files; fix all of them:\n  " + "\n  ".join(lines))


def video_scores(pairing: Pairing) -> pd.DataFrame:
    """Score every annotated clip: its lengths, rows repeated and cut, and the metrics of `per_video`."""
    return pairing.lengths.merge(per_video(pairing.table), on="clip")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    main()
