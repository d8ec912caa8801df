"""Score predictions that were made anywhere against annotations in the form of Aff-Wild2.

    python -m iaca.evaluation.score PREDICTIONS ANNOTATIONS [--out TABLE.csv] [--convention NAME ...]

PREDICTIONS is a folder with a file per clip, a table or a submission (`iaca.evaluation.prediction_files`), ANNOTATIONS
a folder of `<clip>.txt`, such as `VA_Estimation_Challenge/Validation_Set`. Lengths are made equal as the challenge
does: a short prediction goes on with its last row, a long one is cut. Every fault of every file is told at once, and
nothing is scored while there is one.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from iaca.errors import InputError, printable
from iaca.evaluation.bootstrap import SCORES, Interval, bootstrap_ccc
from iaca.evaluation.conventions import CONVENTIONS
from iaca.evaluation.metrics import DIMENSIONS, METRIC_NAMES, per_video, pooled_metrics, video_means
from iaca.evaluation.pairing import Pairing, pair_files, video_scores
from iaca.files import replacing

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
