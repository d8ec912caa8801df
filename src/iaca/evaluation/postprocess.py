"""Smoothing of predictions as a step of its own, and what it would change: reported, never part of the headline.

Windows are seconds on the clip's own clock, so that a variable frame rate neither widens nor narrows them. At both ends
the clip is mirrored about its first and last frame. A frame without a prediction (NaN) stays without one and does not
enter the windows of others.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.evaluation.bootstrap import SCORES, paired_difference
from iaca.evaluation.config import FilterStep
from iaca.evaluation.metrics import DIMENSIONS, Array, join_labels, pooled_metrics
from iaca.evaluation.tables import annotated_partitions

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
