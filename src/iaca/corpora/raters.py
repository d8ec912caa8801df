"""Several raters of the clips of a folder: their reaction delay, the gold standard, and the files of both.

ROOT/raters/RATER/CLIP.csv     a rater's own trace: frame, time_s, valence, arousal
ROOT/**/CLIP.csv               the gold standard, next to the video, as `iaca.corpora.folder` reads it
ROOT/**/CLIP.raters.json       how it was made: method, delays, weights

`python -m iaca.corpora.raters gold ROOT`; `import` and `export` exchange traces with other programs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from iaca.corpora.folder import find_videos
from iaca.corpora.index import RATERS
from iaca.corpora.timeline import labels_at
from iaca.errors import InputError, brief, counted, ended_by_errors, plain_name
from iaca.files import entries, is_name, replacing, write_text
from iaca.formats.annotations import FORMATS, Trace, choose, export, read_traces
from iaca.formats.labels import LABELS, read_labels
from iaca.media import frame_times
from iaca.parameters import Parameters, add_options, faults
from iaca.text import clip_of, composed, parse_json

log = logging.getLogger(__name__)
Array = NDArray[np.float64]

LONGEST_DELAY_S = 4.0
STEP_S = 0.04
"""Delays are estimated in steps of this."""
LEAST_S = 2.0
"""Two traces are compared if they overlap by this at least."""
PASSES = 10  # over the raters, until no delay changes
LEAST_AGREEMENT = 0.3
"""A rater whose correlation with the mean of the others is lower is named in a note."""
NAME_LENGTH = 40
REPORT = ".raters.json"
FOREIGN = "move it to raters/NAME, where it counts as the trace of a rater NAME, or out of the folder"


class GoldConfig(Parameters):
    """How the gold standard is made of the traces of several raters.

    Attributes:
        method: `mean`, or `ewe`, the evaluator weighted estimator.
        delay_s: reaction delay of every rater, s; None estimates it.
        fastest_s: where it is estimated, the delay of the fastest rater, s. Comparing raters shows only how much later
            the others are.
    """

    method: Literal["ewe", "mean"] = "ewe"
    delay_s: float | None = Field(default=None, ge=0, le=LONGEST_DELAY_S)
    fastest_s: float = Field(default=0.0, ge=0, le=LONGEST_DELAY_S)


# Reaction delay


def estimate_delays(clips: Sequence[Mapping[str, tuple[Array, Array]]]) -> dict[str, float]:
    """How much later than the fastest one each rater reacts, s, in [0, 4].

    A rater's delay is the shift at which the trace correlates most with the mean of the others, pooled over clips and
    dimensions; raters take turns until nothing changes. [ours]

    Args:
        clips: per clip, rater -> times (t,) of the frames, s, and labels (t, 2), NaN where there are none.
    """
    raters = sorted({rater for clip in clips for rater in clip})
    grids = [{rater: _on_grid(*trace) for rater, trace in clip.items()} for clip in clips if len(clip) > 1]
    most = round(LONGEST_DELAY_S / STEP_S)
    delays = dict.fromkeys(raters, 0)
    for _ in range(PASSES):
        before = dict(delays)
        for rater in raters:
            others = [(clip[rater], _others(clip, delays, rater)) for clip in grids if rater in clip]
            scores = {k: _agreement(others, k) for k in range(delays[rater] - most, delays[rater] + most + 1)}
            best = max(scores, key=lambda k: (scores[k], -abs(k - delays[rater])))
            if scores[best] > scores[delays[rater]] + 1e-9:
                delays[rater] = best
        first = min(delays.values())
        delays = {rater: min(delay - first, most) for rater, delay in delays.items()}
        if delays == before:
            break
    return {rater: round(delay * STEP_S, 6) for rater, delay in delays.items()}


def _on_grid(times: Array, labels: Array) -> Array:
    """(n, 2) at multiples of `STEP_S` from 0."""
    return labels_at(times, labels.astype(np.float32), np.arange(0, times[-1] + STEP_S, STEP_S)).astype(np.float64)


def _others(clip: Mapping[str, Array], delays: Mapping[str, int], rater: str) -> Array:
    """(n, 2) the mean of the other raters, moved by their delays."""
    length = max(map(len, clip.values()))
    return _mean([_moved(clip[name], delays[name], length) for name in clip if name != rater])


def _agreement(pairs: Sequence[tuple[Array, Array]], delay: int) -> float:
    """Correlation of a rater's traces, moved by a delay (steps), with those of the others, weighted by the number of
    steps; -1 if it is undefined everywhere."""
    total = weight = 0.0
    for trace, others in pairs:
        own = _moved(trace, delay, len(others))
        for d in range(len(LABELS)):
            both = np.isfinite(own[:, d]) & np.isfinite(others[:, d])
            if both.sum() * STEP_S >= LEAST_S and np.isfinite(found := correlation(own[both, d], others[both, d])):
                total += found * both.sum()
                weight += both.sum()
    return total / weight if weight else -1.0


def _moved(trace: Array, delay: int, length: int) -> Array:
    """(length, 2) the trace, `delay` steps earlier; NaN where it does not reach."""
    index = np.arange(length) + delay
    inside = (index >= 0) & (index < len(trace))
    return np.where(inside[:, None], trace[index.clip(0, len(trace) - 1)], np.nan)


def _mean(traces: Sequence[Array]) -> Array:
    """The mean of the traces that have a value; NaN where none has."""
    stacked = np.stack(traces)
    known = np.isfinite(stacked)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, stacked, 0).sum(0) / np.maximum(count, 1), np.nan)


def correlation(x: Array, y: Array) -> float:
    """Pearson's correlation of (n,) and (n,); NaN if one is constant or n < 2."""
    if len(x) < 2:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread > 1e-12 * len(x) else float("nan")


# Gold standard


def ewe_weights(traces: Array) -> Array:
    """Weights (r,) of r traces (r, t): the correlation of each with the mean of the others where both have a value; 0
    where it is negative or undefined. A single trace has the weight 1.

    Evaluator weighted estimator: Grimm and Kroschel, "Evaluation of natural emotions using self assessment manikins",
    ASRU 2005; the mean of the others instead of all, so that no rater agrees with itself.
    """
    if len(traces) == 1:
        return np.ones(1)
    weights = np.zeros(len(traces))
    for i, own in enumerate(traces):
        others = _mean([each for j, each in enumerate(traces) if j != i])
        both = np.isfinite(own) & np.isfinite(others)
        weights[i] = max(np.nan_to_num(correlation(own[both], others[both])), 0.0)
    return weights


def weighted_mean(traces: Array, weights: Array) -> Array:
    """(r, t) and (r,) -> (t,), over the traces that have a value at each step; NaN where the weights there are 0."""
    known = np.isfinite(traces) * weights[:, None]
    total = known.sum(0)
    summed = (np.where(np.isfinite(traces), traces, 0) * known).sum(0)
    return np.where(total > 0, summed / np.where(total > 0, total, 1), np.nan)


@dataclass(frozen=True)
class Gold:
    """The gold standard of a clip.

    Attributes:
        labels: (t, 2) in [-1, 1]; NaN where no rater has a value.
        weights: dimension -> rater -> weight.
        agreement: dimension -> rater -> correlation with the mean of the others; None where it is undefined.
        notes: sentences about what is unusual.
    """

    labels: Array
    weights: dict[str, dict[str, float]]
    agreement: dict[str, dict[str, float | None]]
    notes: list[str] = field(default_factory=list)


def gold_standard(
    times: Array, ratings: Mapping[str, tuple[Array, Array]], delays: Mapping[str, float], method: str = "ewe"
) -> Gold:
    """Combine the traces of a clip's raters, each moved earlier by its delay.

    The last seconds of a clip, as long as the delay, have no labels: nobody reacted to them while the clip played.

    Args:
        times: (t,) of the clip's frames, s.
        ratings: rater -> times (n,), s, and labels (n, 2).
        delays: rater -> reaction delay, s.
        method: `ewe` or `mean`.
    """
    raters, gold = sorted(ratings), Gold(np.full((len(times), 2), np.nan), {}, {})
    moved = {r: labels_at(ratings[r][0], ratings[r][1].astype(np.float32), times + delays[r]) for r in raters}
    for d, dimension in enumerate(LABELS):
        there = [rater for rater in raters if np.isfinite(moved[rater][:, d]).any()]
        if not there:
            continue
        traces = np.stack([moved[rater][:, d].astype(np.float64) for rater in there])
        found = ewe_weights(traces)
        weights = found if method == "ewe" else np.ones(len(there))
        if not weights.any():
            gold.notes.append(f"{dimension}: no rater correlates with the others, so all count the same")
            weights = np.ones(len(there))
        gold.labels[:, d] = weighted_mean(traces, weights).clip(-1, 1)
        gold.weights[dimension] = {rater: round(float(w), 6) for rater, w in zip(there, weights, strict=True)}
        gold.agreement[dimension] = dict(zip(there, map(_rounded, _agreements(traces)), strict=True))
        gold.notes.extend(
            f"{dimension}: {rater} hardly agrees with the others (correlation {value:.2f})"
            for rater, value in gold.agreement[dimension].items()
            if value is not None and value < LEAST_AGREEMENT
        )
    return gold


def _agreements(traces: Array) -> list[float]:
    """The correlation of each trace (r, t) with the mean of the others."""
    found = []
    for i, own in enumerate(traces):
        others = [each for j, each in enumerate(traces) if j != i]
        both = np.isfinite(own) & np.isfinite(_mean(others)) if others else np.zeros(len(own), bool)
        found.append(correlation(own[both], _mean(others)[both]) if others else float("nan"))
    return found


def _rounded(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


# Files


def rater_folder(root: Path, rater: str) -> Path:
    """Where the traces of a rater lie.

    Raises:
        InputError: the name can't be that of a folder.
    """
    name = composed(rater.strip())
    if not is_name(name) or name.startswith(".") or plain_name(name) != name or len(name) > NAME_LENGTH:
        what = f"{brief(repr(rater), 60)} is not a name of a rater"
        raise InputError(what, remedy=f"give up to {NAME_LENGTH} letters, digits or spaces, and no slash")
    return root / RATERS / name


def rater_files(root: Path) -> dict[str, dict[str, Path]]:
    """Clip -> rater -> the rater's trace of it.

    Raises:
        InputError: a folder may not be read: without a rater, the gold standard would be another one.
    """
    found: dict[str, dict[str, Path]] = {}
    for folder in entries(root / RATERS):
        for path in (path for path in entries(folder) if path.suffix == ".csv"):
            found.setdefault(clip_of(path), {})[composed(folder.name)] = path
    return found


def label_text(times: Array, labels: NDArray[np.floating[Any]]) -> str:
    """The table of a trace (t, 2), a row per frame; empty cells where there is no value."""
    rows = ["frame,time_s,valence,arousal"]
    for i, (time, pair) in enumerate(zip(times, labels, strict=True)):
        cells = ["" if np.isnan(value) else f"{value:.6g}" for value in pair]
        rows.append(f"{i},{time:.6f},{','.join(cells)}")
    return "\n".join(rows) + "\n"


def read_trace(path: Path, times: Array) -> Array:
    """(t, 2) the labels of a table at the times of a clip's frames; NaN where there are none.

    Raises:
        InputError: the table is faulty, with its line.
    """
    given = read_labels(path)
    if given.key == "time_s":
        return labels_at(given.places, given.values, times).astype(np.float64)
    labels, frames = np.full((len(times), 2), np.nan), given.places.astype(np.int64)
    labels[frames[frames < len(times)]] = given.values[frames < len(times)]
    return labels


def write_gold(root: Path, config: GoldConfig, clocks: Mapping[str, Array] | None = None) -> dict[str, dict[str, Any]]:
    """Write the gold standard of every clip that has a rater, and how it was made.

    Args:
        root: folder of videos, with the traces of raters.
        config: method and delay.
        clocks: times (t,) of the frames of clips where they are known, s; other videos are read.

    Returns:
        What was written to the JSON of each clip.

    Raises:
        InputError: no clip has a trace of a rater, a trace is faulty, or labels that were not made here would be lost.
    """
    videos = find_videos(root)
    files = {clip: found for clip, found in rater_files(root).items() if clip in videos}
    if not files:
        remedy = f"annotate clips on the page, or put traces into {RATERS}/NAME/CLIP.csv"
        raise InputError("no clip has a trace of a rater", root, remedy=remedy)
    for clip in files:
        _require_own(videos[clip])
    clocks = {clip: (clocks or {}).get(clip, np.empty(0)) for clip in files}
    clocks = {clip: times if len(times) else frame_times(videos[clip]) for clip, times in clocks.items()}
    ratings = {
        clip: {rater: (clocks[clip], read_trace(path, clocks[clip])) for rater, path in found.items()}
        for clip, found in files.items()
    }
    delays, origin = _delays(list(ratings.values()), config)
    reports = {}
    for clip, found in ratings.items():
        there = {rater: trace for rater, trace in found.items() if np.isfinite(trace[1]).any()}
        if not there:
            continue
        gold = gold_standard(clocks[clip], there, delays, config.method)
        reports[clip] = _write(videos[clip], clocks[clip], gold, {r: delays[r] for r in there}, config, origin)
    return reports


def _delays(ratings: Sequence[Mapping[str, tuple[Array, Array]]], config: GoldConfig) -> tuple[dict[str, float], str]:
    raters = {rater for clip in ratings for rater in clip}
    if config.delay_s is not None:
        return dict.fromkeys(raters, config.delay_s), "given"
    found = estimate_delays(ratings)
    delays = {rater: min(delay + config.fastest_s, LONGEST_DELAY_S) for rater, delay in found.items()}
    alone = f"the fastest rater's own delay can't be seen and is taken as {config.fastest_s:g} s"
    return delays, f"estimated by correlation with the mean of the other raters; {alone}"


def read_report(video: Path) -> dict[str, Any]:
    """How the gold standard next to a video was made; empty without that file, or if `write_gold` did not write it."""
    path = video.with_suffix(REPORT)
    try:
        found = parse_json(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"delays_s", "weights", "labels_sha256", "notes"} <= set(found) else {}


def _require_own(video: Path) -> None:
    """Refuse to replace labels that `write_gold` did not write, or that were changed afterwards."""
    labels, made = video.with_suffix(".csv"), read_report(video)
    if not labels.exists():
        return
    known = [made.get("labels_sha256"), made.get("replaced_sha256")]
    if hashlib.sha256(labels.read_bytes()).hexdigest() not in known:
        raise InputError("these labels were not made from the raters' traces", labels, remedy=FOREIGN)


def _write(
    video: Path, times: Array, gold: Gold, delays: Mapping[str, float], config: GoldConfig, origin: str
) -> dict[str, Any]:
    text, labels = label_text(times, gold.labels), video.with_suffix(".csv")
    report = {
        "method": {"ewe": "evaluator weighted estimator", "mean": "mean"}[config.method],
        "delay": origin,
        "delays_s": dict(sorted(delays.items())),
        "weights": gold.weights,
        "correlation_with_the_others": gold.agreement,
        "annotated_frames": int(np.isfinite(gold.labels).all(1).sum()),
        "frames": len(times),
        "notes": gold.notes,
        "labels_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "replaced_sha256": hashlib.sha256(labels.read_bytes()).hexdigest() if labels.exists() else None,
    }
    write_text(video.with_suffix(REPORT), json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    write_text(labels, text)  # afterwards: a run that ends in between leaves labels that the report still knows
    return report


# Exchange with other programs


def at_frames(trace: Trace, times: Array) -> Array:
    """(t,) the values of a trace at the times of frames: held over intervals, interpolated between samples."""
    if trace.ends is not None:
        return trace.held(times)
    return labels_at(trace.times, trace.values[:, None].astype(np.float32), times)[:, 0].astype(np.float64)


def import_trace(
    path: Path, times: Array, names: Mapping[str, str | None], low: float | None = None, high: float | None = None
) -> dict[str, Array]:
    """Valence, arousal or both of a file of another program, (t,) each at the times of a clip's frames.

    Args:
        path: as for `iaca.formats.annotations.read_traces`.
        times: (t,) of the frames, s.
        names: dimension -> name of its trace in the file. Without any, traces named like a dimension are taken.
        low, high: the values that become -1 and 1.

    Raises:
        InputError: the file is faulty, no trace is meant, or none of its values lies within the clip.
    """
    traces = read_traces(path, low, high)
    named = {dimension: name for dimension, name in names.items() if name}
    if not named:
        alike = {d: [n for n in traces if d in n.lower().split(".")] for d in LABELS}
        named = {dimension: found[0] for dimension, found in alike.items() if len(found) == 1}
    if not named:
        choose(traces, LABELS[0], "", path)  # says which traces there are
    found = {d: at_frames(choose(traces, d, name, path), times) for d, name in named.items()}
    if not any(np.isfinite(values).any() for values in found.values()):
        remedy = "check that annotation and video belong together, and that times are in seconds"
        raise InputError(f"no value lies within the clip, 0 to {times[-1]:.2f} s", path, remedy=remedy)
    return found


def save_trace(root: Path, clip: str, rater: str, times: Array, columns: Mapping[str, Array]) -> Array:
    """Write the given dimensions (t,) of a rater's trace; the others stay as they are. Returns all of it, (t, 2)."""
    path = rater_folder(root, rater) / f"{clip}.csv"
    labels = read_trace(path, times) if path.exists() else np.full((len(times), 2), np.nan)
    for dimension, values in columns.items():
        labels[:, LABELS.index(dimension)] = values
    write_text(path, label_text(times, labels))
    return labels


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    parser = build_parser()
    given = vars(parser.parse_args(words))
    commands: dict[str, Callable[..., None]] = {"gold": _gold, "import": _import, "export": _export}
    try:
        with ended_by_errors(parser):
            commands[given.pop("command")](**given)
    except ValidationError as error:
        parser.error(faults(error, "--"))


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m iaca.corpora.raters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    gold = commands.add_parser("gold", help="make the gold standard of all clips")
    gold.add_argument("root", type=Path, help="folder of the videos")
    add_options(gold, GoldConfig)
    reading = commands.add_parser("import", help="read a trace of ELAN, ANVIL, NOVA, CARMA or DARMA")
    writing = commands.add_parser("export", help="write a clip's labels, or a rater's trace, for another program")
    for each in (reading, writing):
        each.add_argument("root", type=Path, help="folder of the videos")
        each.add_argument("clip", help="name of the video without its ending")
    reading.add_argument("file", type=Path, help="the file to read")
    reading.add_argument("--rater", required=True, help="who rated")
    for dimension in LABELS:
        reading.add_argument(f"--{dimension}", metavar="TRACE", help=f"tier, track or column that is {dimension}")
    for end, value in (("low", -1), ("high", 1)):
        reading.add_argument(f"--{end}", type=float, metavar="X", help=f"the rating that becomes {value}")
    writing.add_argument("form", choices=FORMATS, help="format")
    writing.add_argument("--rater", help="whose trace; without it the labels next to the video")
    writing.add_argument("--target", type=Path, default=Path(), help="folder for the files")
    parser.epilog = "\n".join(each.format_usage() for each in (gold, reading, writing))
    return parser


def _clip(root: Path, clip: str) -> tuple[Path, Array]:
    video = find_videos(root).get(composed(clip))
    if video is None:
        raise InputError(f"there is no video of the clip {brief(repr(clip), 60)}", root, remedy="name a video there")
    return video, frame_times(video)


def _gold(root: Path, **given: Any) -> None:
    reports = write_gold(root, GoldConfig(**{name: value for name, value in given.items() if value is not None}))
    for clip, report in reports.items():
        delays = ", ".join(f"{rater} {delay:g} s" for rater, delay in report["delays_s"].items())
        log.info("%s: %d of %s; delays: %s", clip, report["annotated_frames"],
                 counted(report["frames"], "frame"), delays)  # fmt: skip
        for note in report["notes"]:
            log.warning("%s: %s", clip, note)


def _import(root: Path, clip: str, file: Path, rater: str, low: float | None, high: float | None, **names: Any) -> None:
    _, times = _clip(root, clip)
    columns = import_trace(file, times, names, low, high)
    save_trace(root, composed(clip), rater, times, columns)
    for dimension, values in columns.items():
        log.info("%s: %s of %s", dimension, counted(int(np.isfinite(values).sum()), "frame"), len(times))


def _export(root: Path, clip: str, form: str, rater: str | None, target: Path) -> None:
    video, times = _clip(root, clip)
    source = rater_folder(root, rater) / f"{composed(clip)}.csv" if rater else video.with_suffix(".csv")
    for name, data in export(form, video.name, times, read_trace(source, times), rater or "").items():
        with replacing(target / name) as partial:
            partial.write_bytes(data)
        log.info("%s", target / name)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
