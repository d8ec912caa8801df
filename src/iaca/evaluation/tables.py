"""The tables of a result: models side by side with intervals, the headline, and every video by itself.

Smoothing of predictions as a step of its own, and what it would change: reported, never part of the headline.

Windows are seconds on the clip's own clock, so that a variable frame rate neither widens nor narrows them. At both ends
the clip is mirrored about its first and last frame. A frame without a prediction (NaN) stays without one and does not
enter the windows of others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.evaluation.config import FilterStep
from iaca.evaluation.metrics import (
    DIMENSIONS,
    SCORES,
    Array,
    Interval,
    bootstrap_ccc,
    join_labels,
    paired_difference,
    per_video,
    pooled_metrics,
    video_means,
)

PARTITIONS = ("train", "validation", "test")


def comparison(
    predictions_by_model: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    main: str | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every model on every annotated partition, with intervals and the paired difference to the main model.

    Args:
        predictions_by_model: name of the model -> its predictions (clip, frame, valence, arousal, ...).
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.
        main: the model the others are compared with; by default the first one.
        replicates, seed: of the bootstrap over clips. All models see the same resamples.

    Returns:
        One row per model and partition: clips, the columns of `pooled_metrics`, `<ccc>_low` and `<ccc>_high` (95 %),
        `video_<ccc>` (mean over videos, a different number), and `difference_<ccc>`, `_low`, `_high`, the model minus
        the main one (exactly 0 for the main model). <ccc> is ccc_valence, ccc_arousal, ccc_mean.

    Raises:
        InputError: if there is no model, the main model is not among them, or nothing is annotated.
    """
    if not predictions_by_model:
        raise InputError("there are no predictions to compare")
    main = next(iter(predictions_by_model)) if main is None else main
    if main not in predictions_by_model:
        raise InputError(f"no predictions of the main model {main}; there are {', '.join(predictions_by_model)}")
    rows = []
    for partition in annotated_partitions(labels):
        gold = labels[labels["partition"] == partition]
        tables = {model: join_labels(table, gold) for model, table in predictions_by_model.items()}
        for model, table in tables.items():
            rows.append(
                {"model": model, "partition": partition, "main": model == main}
                | _row(table, tables[main], replicates, seed)
            )
    return pd.DataFrame(rows)


def annotated_partitions(labels: pd.DataFrame) -> list[str]:
    """Partitions with at least one annotated frame: train, validation, test, then any others by name.

    Raises:
        InputError: if no frame is annotated at all.
    """
    annotated = labels.loc[labels[list(DIMENSIONS)].notna().any(axis=1), "partition"].dropna().unique()
    if not len(annotated):
        raise InputError("no frame of the labels is annotated: there is nothing to evaluate against")
    return [name for name in PARTITIONS if name in annotated] + sorted(set(annotated) - set(PARTITIONS))


def headline(table: pd.DataFrame, model: str | None = None) -> dict[str, str | float | int | None]:
    """The main numbers of one model as a flat dictionary that JSON can hold (undefined is None).

    Args:
        table: a `comparison`.
        model: by default the main model.

    Returns:
        `model`, and for each partition `<partition>_<column>` of the pooled CCC with interval, PCC, RMSE, SAGR, the
        mean over videos and the numbers of clips and frames.
    """
    rows = table[table["main"]] if model is None else table[table["model"] == model]
    if rows.empty:
        raise InputError(f"the comparison holds no row of the model {model}")
    flat: dict[str, str | float | int | None] = {"model": str(rows["model"].iloc[0])}
    for row in rows.to_dict("records"):
        for name, value in row.items():
            if name not in ("model", "partition", "main") and not str(name).startswith("difference_"):
                flat[f"{row['partition']}_{name}"] = _plain(value)
    return flat


def video_table(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Every annotated clip by itself: clip, partition, its metrics and frame counts; best mean CCC first."""
    table = per_video(join_labels(predictions, labels))
    annotated = table[(table["frames_valence"] + table["frames_arousal"]) > 0]
    return annotated.sort_values(["ccc_mean", "clip"], ascending=[False, True], ignore_index=True)


def best_and_worst(videos: pd.DataFrame, partition: str, shown: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first and last clips of a partition by mean CCC, best and worst first; none is in both.

    Args:
        videos: a `video_table`; clips without a defined CCC are left out.
        partition: whose clips.
        shown: at most so many of either. Of an odd number of clips the middle one counts to the best.
    """
    if videos.empty:
        return videos, videos
    scored = videos[videos["partition"] == partition].dropna(subset=["ccc_mean"])
    scored = scored.sort_values("ccc_mean", ascending=False)
    best = scored.head(min(shown, (len(scored) + 1) // 2))
    return best, scored.iloc[len(best) :].tail(shown).iloc[::-1]


def _row(table: pd.DataFrame, main: pd.DataFrame, replicates: int, seed: int) -> dict[str, float]:
    intervals = bootstrap_ccc(table, replicates, seed)
    differences = paired_difference(table, main, replicates, seed)
    row: dict[str, float] = {"clips": int(table["clip"].nunique()), **pooled_metrics(table)}
    for score in SCORES:
        row |= {f"{score}_low": intervals[score].low, f"{score}_high": intervals[score].high}
        row |= _difference_columns(score, differences[score])
    means = video_means(per_video(table))
    return row | {name: means[name] for name in means if name != "videos"}


def _difference_columns(score: str, difference: Interval) -> dict[str, float]:
    return {
        f"difference_{score}": difference.estimate,
        f"difference_{score}_low": difference.low,
        f"difference_{score}_high": difference.high,
    }


def _plain(value: object) -> float | int | None:
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)  # type: ignore[arg-type]
    return number if np.isfinite(number) else None


COLUMNS = ("partition", "step", *SCORES, "difference", "low", "high")
NONE = "none"
BLOCK = 2048  # frames at once, against the memory of (frames, window) arrays
SIGMA_PER_WIDTH = 1 / np.sqrt(8 * np.log(2))  # of a Gaussian of full width 1 at half maximum
SLACK_S = 1e-6  # times are rounded: a frame at the very edge of a window is in it


def postprocessing_table(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    steps: tuple[FilterStep, ...],
    replicates: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How each filter by itself would change the pooled scores of one model.

    Args:
        predictions: clip, frame, time_s, valence, arousal.
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.
        steps: the filters.
        replicates, seed: of the bootstrap over clips.

    Returns:
        Per annotated partition a row `none` (the headline) and one per step: partition, step, ccc_valence, ccc_arousal,
        ccc_mean; `difference` of ccc_mean to `none` with the bounds `low`, `high` of its paired 95 % interval.
    """
    tried = {NONE: predictions} | {step.name: postprocess(predictions, step) for step in steps}
    rows = []
    for partition in annotated_partitions(labels):
        gold = labels[labels["partition"] == partition]
        raw = join_labels(predictions, gold)
        for name, table in tried.items():
            joined = join_labels(table, gold)
            scores, change = pooled_metrics(joined), paired_difference(joined, raw, replicates, seed)["ccc_mean"]
            own = {score: scores[score] for score in SCORES}
            difference = {"difference": change.estimate, "low": change.low, "high": change.high}
            rows.append({"partition": partition, "step": name, **own, **difference})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def postprocess(predictions: pd.DataFrame, step: FilterStep) -> pd.DataFrame:
    """The predictions (clip, time_s, valence, arousal, ...) with one filter applied to every clip by itself.

    Rows keep their order, columns other than valence and arousal their values. Nothing is changed in place.

    Raises:
        InputError: a frame has no finite time.
    """
    values = predictions[list(DIMENSIONS)].to_numpy(np.float64, copy=True)
    if step.filter == "clip":
        values = np.clip(values, -1, 1)
    else:
        time_s = predictions["time_s"].to_numpy(np.float64)
        for clip, found in predictions.groupby("clip").indices.items():
            rows = np.asarray(found)
            if not np.isfinite(time_s[rows]).all():
                raise InputError(f"a prediction of clip {clip} has no time", remedy="give each row its time_s")
            rows = rows[np.argsort(time_s[rows], kind="stable")]
            values[rows] = filtered(time_s[rows], values[rows], step)
    return predictions.assign(**dict(zip(DIMENSIONS, values.T, strict=True)))


def filtered(time_s: Array, values: Array, step: FilterStep) -> Array:
    """One clip through a moving window.

    The two averages weigh a frame by the time it stands for, half the gap to either neighbour, so that a stretch of
    more frames per second has no more say; the median counts frames.

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
    with np.errstate(invalid="ignore"):  # a window without any value: NaN
        return np.asarray(np.where(weights > 0, window * weights, 0).sum(1) / weights.sum(1))


def _median(window: Array) -> Array:
    ordered = np.sort(window, axis=1)  # NaN last
    known = np.isfinite(window).sum(1, keepdims=True)
    middle = [np.take_along_axis(ordered, np.maximum(k, 0), 1)[:, 0] for k in ((known - 1) // 2, known // 2)]
    return np.asarray((middle[0] + np.where(known[:, 0] > 0, middle[1], np.nan)) / 2)


def _mirrored(time_s: Array, reach: float) -> tuple[Array, NDArray[np.intp]]:
    """Times with the clip's ends mirrored about its first and last frame as far as `reach`, and whose they are."""
    own = np.arange(len(time_s))
    before = own[1:][time_s[1:] <= time_s[0] + reach][::-1]
    after = own[:-1][time_s[:-1] >= time_s[-1] - reach][::-1]
    times = np.concatenate([2 * time_s[0] - time_s[before], time_s, 2 * time_s[-1] - time_s[after]])
    return times, np.concatenate([before, own, after])


def _durations(times: Array) -> Array:
    """Half the gap to either neighbour (s), at the ends the one gap; above 0, also for frames at one time."""
    if len(times) < 2:
        return np.ones(len(times))
    gaps = np.diff(times)
    halves: Array = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
    return np.maximum(halves, 1e-9)
