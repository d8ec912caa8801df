"""The tables of a result: models compared with intervals, the headline, scores by video, and smoothed predictions.

Smoothing is a separate step that is reported but never part of the headline. Its windows are seconds on the clip's own
clock, so a variable frame rate does not change their width. Both ends of a clip are mirrored about its first and last
frame. A frame without a prediction (NaN) stays without one and does not enter the windows of other frames.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.errors import InputError, counted
from iaca.evaluation.config import FilterStep
from iaca.evaluation.metrics import (
    DIMENSIONS,
    SCORES,
    Array,
    ClipStatistics,
    Interval,
    are_few,
    clip_statistics,
    difference_of,
    few_sentence,
    intervals_of,
    join_labels,
    per_video,
    pooled_metrics,
    rows_by_clip,
    video_means,
)

SCORED_COLUMNS = ("clip", "frame", *DIMENSIONS)
"""What a score needs of predictions."""
PARTITIONS = ("train", "validation", "test")
POSTPROCESSING_COLUMNS = ("partition", "step", *SCORES, "difference", "low", "high")
UNFILTERED = "none"
BLOCK = 2048  # frames per step: bounds the memory of the (frames, window) arrays
SIGMA_PER_WIDTH = 1 / np.sqrt(8 * np.log(2))  # sigma of a Gaussian whose full width at half maximum is 1
SLACK_S = 1e-6  # times are rounded; a frame exactly at the edge of a window must be inside

# Models and videos


def comparison(
    predictions_by_model: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    main: str | None = None,
    replicates: int = 2000,
    seed: int = 0,
    subjects: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Score every model on every annotated partition, with intervals and the paired difference to the main model.

    Args:
        predictions_by_model: name of the model -> its predictions (clip, frame, valence, arousal, ...).
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.
        main: model to compare the others with; by default the first.
        replicates, seed: of the bootstrap over clips. All models share the same resamples.
        subjects: clip -> subject; by default every clip is a subject of its own.

    Returns:
        One row per model and partition: clips, subjects, `few` (`metrics.are_few`: no interval), the columns of
        `pooled_metrics`, `<ccc>_low` and `<ccc>_high` (95 %), `video_<ccc>` (mean over videos, a different number), and
        `difference_<ccc>`, `_low`, `_high`: model minus main model (exactly 0 for the main model). <ccc> is
        ccc_valence, ccc_arousal, ccc_mean.

    Raises:
        InputError: if there is no model, the main model is not among them, or nothing is annotated.
    """
    if not predictions_by_model:
        raise InputError("there are no predictions to compare")
    main = next(iter(predictions_by_model)) if main is None else main
    if main not in list(predictions_by_model):
        raise InputError(f"no predictions of the main model {main}; given are {', '.join(predictions_by_model)}")
    golds = {partition: _gold_of(labels, partition) for partition in annotated_partitions(labels)}
    # one after the other: a mapping may read each when it is asked for
    scored = {model: _scored(predictions_by_model[model], golds) for model in predictions_by_model}
    rows = []
    for partition in golds:
        for model, parts in scored.items():
            own = parts[partition]
            count, few = _subjects_of(own.statistics.clips, subjects)
            row = _with_intervals(own, scored[main][partition].statistics, replicates, seed)
            rows.append(
                {"model": model, "partition": partition, "main": model == main}
                | {"clips": len(own.statistics.clips), "subjects": count, "few": few}
                | _without_intervals(row, few)
            )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Scored:
    """What is kept of a model in a partition: sums of its annotated clips, pooled scores, means over videos."""

    statistics: ClipStatistics
    pooled: dict[str, float]
    means: dict[str, float]


def _scored(predictions: pd.DataFrame, golds: Mapping[str, pd.DataFrame]) -> dict[str, _Scored]:
    tables = ((name, join_labels(predictions[list(SCORED_COLUMNS)], gold)) for name, gold in golds.items())
    return {
        name: _Scored(clip_statistics(table), pooled_metrics(table), video_means(per_video(table)))
        for name, table in tables
    }


def _gold_of(labels: pd.DataFrame, partition: str) -> pd.DataFrame:
    columns = [name for name in labels if name in ("clip", "frame", "partition", *DIMENSIONS)]
    return labels.loc[labels["partition"] == partition, columns]


def annotated_partitions(labels: pd.DataFrame) -> list[str]:
    """Partitions with an annotated frame: train, validation, test, then any others by name.

    Raises:
        InputError: if no frame is annotated.
    """
    annotated = labels.loc[labels[list(DIMENSIONS)].notna().any(axis=1), "partition"].dropna().unique()
    if not len(annotated):
        raise InputError("no frame of the labels is annotated, so nothing can be evaluated")
    return [name for name in PARTITIONS if name in annotated] + sorted(set(annotated) - set(PARTITIONS))


def _subjects_of(clips: Sequence[str], subjects: Mapping[str, str] | None) -> tuple[int, bool]:
    """Number of subjects of these clips, and whether clips or subjects are too few for an interval."""
    count = len({(subjects or {}).get(clip, clip) for clip in clips})
    return count, are_few(len(clips), count)


def _without_intervals(row: dict[str, float], few: bool) -> dict[str, float]:
    return {name: np.nan if few and name.endswith(("_low", "_high")) else value for name, value in row.items()}


def _with_intervals(own: _Scored, main: ClipStatistics, replicates: int, seed: int) -> dict[str, float]:
    """The scores of a model, each CCC with its interval and its difference to the main model's."""
    intervals = intervals_of(own.statistics, replicates, seed)
    differences = difference_of(own.statistics, main, replicates, seed)
    row = dict(own.pooled)
    for score in SCORES:
        row |= {f"{score}_low": intervals[score].low, f"{score}_high": intervals[score].high}
        row |= _difference_columns(score, differences[score])
    return row | {name: value for name, value in own.means.items() if name != "videos"}


def _difference_columns(score: str, difference: Interval) -> dict[str, float]:
    return {
        f"difference_{score}": difference.estimate,
        f"difference_{score}_low": difference.low,
        f"difference_{score}_high": difference.high,
    }


def is_ranked(table: pd.DataFrame, partition: str) -> bool:
    """Whether a `comparison` has enough clips and subjects in a partition to rank its models and clips."""
    return not table.loc[table["partition"] == partition, "few"].any()


def too_few(row: Mapping[Hashable, Any]) -> str:
    """Why a row of a `comparison` has no interval and no rank; "" if it has."""
    return few_sentence(row["clips"], row["subjects"]) if row["few"] else ""


def headline(table: pd.DataFrame, model: str | None = None) -> dict[str, str | float | int | None]:
    """The main numbers of one model as a flat dictionary for JSON (undefined is None).

    Args:
        table: a `comparison`.
        model: name of the model; by default the main one.

    Returns:
        `model`, and for each partition `<partition>_<column>`: pooled CCC with interval, PCC, RMSE, SAGR, the mean
        over videos, and the numbers of clips and frames.

    Raises:
        InputError: if the comparison has no such model.
    """
    rows = table[table["main"]] if model is None else table[table["model"] == model]
    if rows.empty:
        raise InputError(f"the comparison has no row of the model {model}")
    flat: dict[str, str | float | int | None] = {"model": str(rows["model"].iloc[0])}
    for row in rows.to_dict("records"):
        for name, value in row.items():
            if name not in ("model", "partition", "main", "few") and not str(name).startswith("difference_"):
                flat[f"{row['partition']}_{name}"] = _json_number(value)
    return flat


def score_lines(metrics: Mapping[str, Any]) -> list[str]:
    """One line per partition of a `headline`: `test (9 clips): CCC 0.743 [0.701, 0.775], valence 0.740 [...], ...`.

    The interval is the 95 % bootstrap interval over clips; a line says where there are too few for one.
    """
    lines = []
    for partition in (name.removesuffix("_clips") for name in metrics if name.endswith("_clips")):
        scores = []
        for part, label in (("mean", "CCC"), ("valence", "valence"), ("arousal", "arousal")):
            name = f"{partition}_ccc_{part}"
            score, low, high = (metrics.get(name + end) for end in ("", "_low", "_high"))
            interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
            scores.append(f"{label} undefined" if score is None else f"{label} {score:.3f}{interval}")
        few = "; too few clips for an interval" if metrics.get(f"{partition}_ccc_mean_low") is None else ""
        lines.append(f"{partition} ({counted(metrics[f'{partition}_clips'], 'clip')}): {', '.join(scores)}{few}")
    return lines


def _json_number(value: object) -> float | int | None:
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)  # type: ignore[arg-type]
    return number if np.isfinite(number) else None


def video_table(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Score every annotated clip by itself: clip, partition, metrics and frame counts; best mean CCC first."""
    table = per_video(join_labels(predictions[list(SCORED_COLUMNS)], labels))
    annotated = table[(table["frames_valence"] + table["frames_arousal"]) > 0]
    return annotated.sort_values(["ccc_mean", "clip"], ascending=[False, True], ignore_index=True)


def best_and_worst(
    videos: pd.DataFrame, partition: str, shown: int, ranked: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The best and the worst clips of a partition by mean CCC, best and worst first; no clip is in both.

    Args:
        videos: a `video_table`; clips with an undefined CCC are left out.
        partition: partition of the clips.
        shown: most clips in each. The middle one of an odd number of clips is among the best.
        ranked: if False, all clips (at most twice `shown`) are in the first table by name, none in the second.
    """
    if videos.empty:
        return videos, videos
    scored = videos[videos["partition"] == partition].dropna(subset=["ccc_mean"])
    scored = scored.sort_values("ccc_mean", ascending=False)
    if not ranked:
        return scored.sort_values("clip").head(2 * shown), scored.head(0)
    best = scored.head(min(shown, (len(scored) + 1) // 2))
    return best, scored.iloc[len(best) :].tail(shown).iloc[::-1]


# Smoothing


def postprocessing_table(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    steps: tuple[FilterStep, ...],
    replicates: int = 2000,
    seed: int = 0,
    subjects: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Score the predictions of one model after each filter, applied alone.

    Args:
        predictions: clip, frame, time_s, valence, arousal.
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.
        steps: filters to try.
        replicates, seed: of the bootstrap over clips.
        subjects: clip -> subject; by default every clip is a subject of its own.

    Returns:
        Per annotated partition one row `none` (the headline) and one per step: partition, step, ccc_valence,
        ccc_arousal, ccc_mean; `difference` of ccc_mean to `none` and the bounds `low`, `high` of its paired 95 %
        interval (NaN for too few clips or subjects).
    """
    rows = []
    for partition in annotated_partitions(labels):
        gold = _gold_of(labels, partition)
        raw = predictions.loc[predictions["clip"].isin(gold["clip"].unique()), [*SCORED_COLUMNS, "time_s"]]
        unfiltered = clip_statistics(join_labels(raw, gold))
        _, few = _subjects_of(unfiltered.clips, subjects)
        for step in (None, *steps):
            joined = join_labels(raw if step is None else postprocess(raw, step), gold)
            scores = pooled_metrics(joined)
            change = difference_of(clip_statistics(joined), unfiltered, replicates, seed)["ccc_mean"]
            name = UNFILTERED if step is None else step.name
            own = {score: scores[score] for score in SCORES}
            low, high = (np.nan, np.nan) if few else (change.low, change.high)
            difference = {"difference": change.estimate, "low": low, "high": high}
            rows.append({"partition": partition, "step": name, **own, **difference})
    return pd.DataFrame(rows, columns=list(POSTPROCESSING_COLUMNS))


def postprocess(predictions: pd.DataFrame, step: FilterStep) -> pd.DataFrame:
    """Apply one filter to every clip of the predictions (clip, time_s, valence, arousal, ...) separately.

    Only valence and arousal change; rows keep their order. The input is not modified.

    Raises:
        InputError: if a frame has no finite time.
    """
    values = predictions[list(DIMENSIONS)].to_numpy(np.float64, copy=True)
    if step.filter == "clip":
        values = np.clip(values, -1, 1)
    else:
        filter_clips(values, predictions, step)
    return predictions.assign(**dict(zip(DIMENSIONS, values.T, strict=True)))


def filter_clips(values: Array, predictions: pd.DataFrame, step: FilterStep) -> None:
    """Filter values (n, d), one row per row of the predictions (clip, time_s), in place, each clip separately.

    Raises:
        InputError: if a frame has no finite time.
    """
    time_s = predictions["time_s"].to_numpy(np.float64)
    for clip, rows in rows_by_clip(predictions["clip"]).items():
        if not np.isfinite(time_s[rows]).all():
            raise InputError(f"a prediction of clip {clip} has no time", remedy="give each row its time_s")
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        values[rows] = filtered(time_s[rows], values[rows], step)


def filtered(time_s: Array, values: Array, step: FilterStep) -> Array:
    """Filter one clip with a moving window.

    `mean` and `gaussian` weight a frame by its duration, half the gap to each neighbour, so a stretch with a higher
    frame rate gets no extra weight; `median` counts frames.

    Args:
        time_s: (n,) ascending.
        values: (n, d), NaN where there is no prediction.
        step: `mean`, `gaussian` or `median`.

    Returns:
        (n, d), NaN where `values` is.
    """
    width = step.width_s or 0.0
    sigma = width * SIGMA_PER_WIDTH
    reach = SLACK_S + (3 * sigma if step.filter == "gaussian" else width / 2)
    times, source = _mirrored(time_s, reach)
    weights = _durations(times)
    first, end = np.searchsorted(times, time_s - reach), np.searchsorted(times, time_s + reach, side="right")
    result = np.full_like(values, np.nan)
    for start in range(0, len(time_s), BLOCK):
        block = slice(start, start + BLOCK)
        index = first[block, None] + np.arange(int((end - first)[block].max()))
        inside = index < end[block, None]
        index = np.minimum(index, len(times) - 1)
        window = values[source[index]]  # (block, window, d)
        window[~inside] = np.nan
        weight = weights[index]
        if step.filter == "gaussian":
            weight = weight * np.exp(-((times[index] - time_s[block, None]) ** 2) / (2 * sigma**2))
        result[block] = _median(window) if step.filter == "median" else _average(window, weight)
    return np.where(np.isfinite(values), result, np.nan)


def _average(window: Array, weight: Array) -> Array:
    weights = np.where(np.isfinite(window), weight[..., None], 0)
    with np.errstate(invalid="ignore"):  # a window without values gives NaN
        return np.asarray(np.where(weights > 0, window * weights, 0).sum(1) / weights.sum(1))


def _median(window: Array) -> Array:
    ordered = np.sort(window, axis=1)  # NaN last
    known = np.isfinite(window).sum(1, keepdims=True)
    middle = [np.take_along_axis(ordered, np.maximum(k, 0), 1)[:, 0] for k in ((known - 1) // 2, known // 2)]
    return np.asarray((middle[0] + np.where(known[:, 0] > 0, middle[1], np.nan)) / 2)


def _mirrored(time_s: Array, reach: float) -> tuple[Array, NDArray[np.intp]]:
    """Times (s) with up to `reach` mirrored about the first and the last frame, and the source frame of each time."""
    own = np.arange(len(time_s))
    before = own[1:][time_s[1:] <= time_s[0] + reach][::-1]
    after = own[:-1][time_s[:-1] >= time_s[-1] - reach][::-1]
    times = np.concatenate([2 * time_s[0] - time_s[before], time_s, 2 * time_s[-1] - time_s[after]])
    return times, np.concatenate([before, own, after])


def _durations(times: Array) -> Array:
    """Duration of each frame (s): half the gap to each neighbour, at the ends the full gap; always above 0."""
    if len(times) < 2:
        return np.ones(len(times))
    gaps = np.diff(times)
    halves: Array = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
    return np.maximum(halves, 1e-9)
