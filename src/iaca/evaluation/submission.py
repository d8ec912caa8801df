"""Write or check the file that the organisers of the ABAW challenge score, of any track: valence and arousal, the
expression, action units, or all of them, of the images they list.

    python -m iaca.evaluation.submission PREDICTIONS... SAMPLE OUT [--choices CHOICES.json]
    python -m iaca.evaluation.submission --check FILE SAMPLE

PREDICTIONS is `data/07_model_output/affwild2/predictions.parquet` (its newest version) or a table of that format; the
mean of several is taken. CHOICES are the filters and thresholds of `python -m iaca.evaluation.multitask`. SAMPLE is the
organisers' list: its first line, such as `image_location,valence,arousal`, says which track it is; then rows such as
`video1/00001.jpg,...`. FILE is a submission from any source; every row that the organisers would refuse is named.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.errors import InputError, counted, ended_by_errors, printable
from iaca.evaluation.multitask import applied, read_choices, read_tables
from iaca.evaluation.score import combined
from iaca.files import write_text
from iaca.formats.labels import LOCATION, UNITS
from iaca.formats.predictions import check_submission, track_of
from iaca.text import composed, read_text

log = logging.getLogger(__name__)

COLUMNS: dict[str, tuple[str, ...]] = {
    "valence_arousal": ("valence", "arousal"),
    "expression": ("expression",),
    "action_units": UNITS,
    "multitask": ("valence", "arousal", "expression", *UNITS),
}
"""The columns of predictions that a row of each track has."""


def main(words: Sequence[str] | None = None) -> None:
    """Write a submission and report what did not fit, or report what is wrong with a given one."""
    parser = argparse.ArgumentParser(
        prog="python -m iaca.evaluation.submission",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="check the submission FILE against SAMPLE; write nothing")
    parser.add_argument("--choices", type=Path, help="filters and thresholds, applied before anything is written")
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="PREDICTIONS... SAMPLE OUT, or FILE SAMPLE with --check"
    )
    given = parser.parse_args(words)
    if (given.check and len(given.paths) != 2) or (not given.check and len(given.paths) < 3):
        parser.error("give FILE SAMPLE" if given.check else "give PREDICTIONS SAMPLE OUT")
    with ended_by_errors(parser):
        if given.check:
            _check(*given.paths)
        else:
            _write(given.paths[:-2], given.paths[-2], given.paths[-1], given.choices)


def _check(file: Path, sample: Path) -> None:
    faults = check_submission(file, sample)
    if faults:
        raise combined(faults)
    values = "all values in [-1, 1]" if track_of(sample)[0] == "valence_arousal" else "all values are valid"
    log.info("%s: valid; all rows of the sample in order, %s", file, values)


def _write(predictions: Sequence[Path], sample: Path, target: Path, choices: Path | None) -> None:
    table = read_tables(predictions)
    if choices is not None:
        table = applied(table, read_choices(choices))
    report = write_submission(table, sample, target)
    for row in report[(report[["repeated", "cut", "held"]] > 0).any(axis=1)].itertuples():
        clip = printable(str(row.clip))
        log.info("%s: %d repeated, %d cut, %d without a prediction", clip, row.repeated, row.cut, row.held)
    log.info("%s: %s of %s", target, counted(report["images"].sum(), "image"), counted(len(report), "clip"))


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a table of predictions: a Parquet file, or the newest version in a folder of versions.

    Raises:
        InputError: if there is no file, or it is not such a table.
    """
    return read_tables([path])


def write_submission(predictions: pd.DataFrame, sample: Path, target: Path) -> pd.DataFrame:
    """Write the submission: the rows of `sample` in its order; image i (counted from 1) gets the values of frame i.

    If a video has fewer predictions than images, its last prediction is repeated; if it has more, the rest is cut. A
    frame without a prediction (neither face nor sound) takes that of the frame before, at the start that of the first
    predicted frame.

    Args:
        predictions: `clip`, `frame`, and the columns `COLUMNS` of the track; values may be missing.
        sample: the organisers' list.
        target: file to write.

    Returns:
        One row per clip: `clip`, `images`, `repeated`, `cut` and `held` (frames without a prediction).

    Raises:
        InputError: if the list is not in its format, one of its clips has no prediction, or the predictions have
            nothing for its track.
    """
    (track, head), (rows, wanted) = track_of(sample), _listed(sample)
    columns = list(COLUMNS[track])
    if missing := [name for name in columns if name not in predictions]:
        raise InputError(
            f"the track of this list is {track}, but the predictions have no column {missing[0]}",
            sample,
            remedy="train a model with fusion.tasks=expression+action_units",
        )
    report, values = [], np.empty((len(rows), len(columns)))
    tables = {composed(str(clip)): table.sort_values("frame") for clip, table in predictions.groupby("clip")}
    for clip, images in wanted.items():
        frames = np.array([frame for _, frame in images])
        own = tables[clip][columns].astype("float64").to_numpy(np.float64, na_value=np.nan) if clip in tables else None
        held = None if own is None else _held(own)
        if own is None or held is None:
            remedy = "predict this clip, too: add it to the corpus and its partition to evaluation.partitions"
            raise InputError(f"there is no prediction for the clip {clip}", sample, remedy=remedy)
        values[[row for row, _ in images]] = held[np.minimum(frames, len(held) - 1)]
        unpredicted = int(np.isnan(own).any(axis=1).sum())
        repeated, cut = int((frames >= len(held)).sum()), max(len(held) - int(frames.max()) - 1, 0)
        report.append((clip, len(frames), repeated, cut, unpredicted))
    forms = ["{:.6f}" if name in COLUMNS["valence_arousal"] else "{:.0f}" for name in columns]
    lines = [",".join([place, *map(str.format, forms, row)]) for place, row in zip(rows, values, strict=True)]
    write_text(target, "\n".join([head, *lines]) + "\n")
    return pd.DataFrame(report, columns=["clip", "images", "repeated", "cut", "held"])


def _listed(sample: Path) -> tuple[list[str], dict[str, list[tuple[int, int]]]]:
    """The locations in order, and (row, 0-based frame) of each image by clip."""
    lines = read_text(sample).rstrip().split("\n")
    rows: list[str] = []
    wanted: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(lines[1:], start=2):
        location = line.split(",", 1)[0].strip()
        match = LOCATION.fullmatch(location)
        if match is None or int(match[2]) < 1:
            raise InputError(f"not an image location: {location[:40]!r}", sample, number, "write `clip/00001.jpg`")
        wanted.setdefault(composed(match[1]), []).append((len(rows), int(match[2]) - 1))
        rows.append(location)
    return rows, wanted


def _held(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Fill the gaps of values (n, k); None if there is no value to fill them with."""
    filled = pd.DataFrame(values).ffill().bfill().to_numpy()
    return None if not len(filled) or np.isnan(filled).any() else filled


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
