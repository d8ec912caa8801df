"""Agreement of predicted and annotated valence and arousal, in the conventions of the field.

CCC follows Lin (1989) with biased (1/N) variances and covariance in float64: the convention of the Aff-Wild2
challenges and of `audmetric`. What is undefined is NaN, never an exception and never a silent 0 in a mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.errors import InputError

Array = npt.NDArray[np.float64]
DIMENSIONS = ("valence", "arousal")
METRIC_NAMES = ("ccc", "pcc", "rmse", "sagr")


def ccc(prediction: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Concordance correlation coefficient, 2 cov / (var_x + var_y + (mean_x - mean_y)^2), biased moments.

    Args:
        prediction: (n,) predicted values.
        gold: (n,) annotated values. Pairs without annotation (NaN) are the caller's to mask.

    Returns:
        Agreement in [-1, 1]. A constant against a varying sequence gives 0; two constants, or n < 2, give NaN.

    Raises:
        InputError: if the lengths differ.
    """
    x, y = _pair(prediction, gold)
    if x.size < 2 or (_constant(x) and _constant(y)):
        return float("nan")
    if _constant(x) or _constant(y):
        return 0.0
    x_mean, y_mean = x.mean(), y.mean()
    covariance = np.mean((x - x_mean) * (y - y_mean))
    spread = np.mean((x - x_mean) ** 2) + np.mean((y - y_mean) ** 2) + (x_mean - y_mean) ** 2
    return float(2 * covariance / spread) if spread > 0 else float("nan")


def pcc(prediction: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Pearson's correlation in [-1, 1] of two (n,) sequences; NaN where either is constant or n < 2."""
    x, y = _pair(prediction, gold)
    if x.size < 2 or _constant(x) or _constant(y):
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt(np.mean(x**2)) * np.sqrt(np.mean(y**2))
    return float(np.clip(np.mean(x * y) / norm, -1, 1)) if norm > 0 else float("nan")


def rmse(prediction: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Root mean squared error of two (n,) sequences, in the unit of the annotation; NaN for n = 0."""
    x, y = _pair(prediction, gold)
    return float(np.sqrt(np.mean((x - y) ** 2))) if x.size else float("nan")


def sagr(prediction: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Sign agreement: share in [0, 1] of the n pairs whose signs are the same; NaN for n = 0."""
    x, y = _pair(prediction, gold)
    return float(np.mean(np.sign(x) == np.sign(y))) if x.size else float("nan")


METRICS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], float]] = {
    "ccc": ccc,
    "pcc": pcc,
    "rmse": rmse,
    "sagr": sagr,
}


def join_labels(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Predictions beside their annotation: one row per row of `labels`.

    Args:
        predictions: clip, frame, valence, arousal and whatever else the model wrote, one row per decoded frame.
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.

    Returns:
        `predictions` with valence_gold, arousal_gold and partition. An annotated frame that has no prediction
        stays in the table with NaN, so that it can be counted.

    Raises:
        InputError: if a frame of a clip occurs twice in either table.
    """
    for name, table in (("predictions", predictions), ("labels", labels)):
        repeated = table.loc[table.duplicated(["clip", "frame"]), ["clip", "frame"]]
        if len(repeated):
            clip, frame = repeated.iloc[0]
            raise InputError(f"the {name} hold frame {frame} of clip {clip} more than once")
    gold = labels.rename(columns={name: f"{name}_gold" for name in DIMENSIONS})
    columns = ["clip", "frame", *(f"{name}_gold" for name in DIMENSIONS), "partition"]
    return gold[[name for name in columns if name in gold]].merge(predictions, on=["clip", "frame"], how="left")


def pooled_metrics(table: pd.DataFrame) -> dict[str, float]:
    """All annotated frames of the table as one sequence per dimension: the headline of the field.

    Args:
        table: valence, arousal, valence_gold, arousal_gold; each dimension is masked by its own finite pairs.

    Returns:
        `<metric>_valence`, `<metric>_arousal` for ccc, pcc, rmse, sagr; `ccc_mean`, P = (CCC_V + CCC_A) / 2;
        `frames_valence`, `frames_arousal`, the pairs behind them, and `unpredicted`, the annotated frames for which
        there was no prediction.
    """
    scores: dict[str, float] = {}
    for name in DIMENSIONS:
        x, y = valid_pairs(table, name)
        scores |= {f"{metric}_{name}": function(x, y) for metric, function in METRICS.items()}
        scores[f"frames_{name}"] = x.size
    scores["ccc_mean"] = (scores["ccc_valence"] + scores["ccc_arousal"]) / 2
    scores["unpredicted"] = _unpredicted(table)
    return scores


def per_video(table: pd.DataFrame) -> pd.DataFrame:
    """`pooled_metrics` of every clip by itself: one row per clip, sorted by clip, with its partition if known."""
    rows = []
    for clip, rows_of_clip in table.groupby("clip", sort=True):
        partition = {"partition": rows_of_clip["partition"].iloc[0]} if "partition" in table else {}
        rows.append({"clip": clip, **partition, **pooled_metrics(rows_of_clip)})
    return pd.DataFrame(rows)


def video_means(videos: pd.DataFrame) -> dict[str, float]:
    """The mean over videos of each CCC of a `per_video` table, under its own name, and how many videos stand behind it.

    A video whose CCC is undefined (constant annotation) is left out of the mean and of the count.
    """
    scores: dict[str, float] = {}
    for name in ("ccc_valence", "ccc_arousal", "ccc_mean"):
        values = videos[name].dropna() if name in videos else pd.Series(dtype=float)
        scores[f"video_{name}"] = float(values.mean()) if len(values) else float("nan")
    scores["videos"] = len(videos)
    scores["videos_scored"] = int(videos["ccc_mean"].notna().sum()) if "ccc_mean" in videos else 0
    return scores


def valid_pairs(table: pd.DataFrame, dimension: str) -> tuple[Array, Array]:
    """The (n,) predictions and annotations of one dimension for which both are finite, in float64."""
    x = table[dimension].to_numpy(np.float64)
    y = table[f"{dimension}_gold"].to_numpy(np.float64)
    valid = np.isfinite(x) & np.isfinite(y)
    return x[valid], y[valid]


def _unpredicted(table: pd.DataFrame) -> int:
    lost = np.zeros(len(table), bool)
    for name in DIMENSIONS:
        lost |= np.isfinite(table[f"{name}_gold"].to_numpy(float)) & ~np.isfinite(table[name].to_numpy(float))
    return int(lost.sum())


def _pair(prediction: npt.ArrayLike, gold: npt.ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(prediction, np.float64).ravel(), np.asarray(gold, np.float64).ravel()
    if x.size != y.size:
        raise InputError(f"{x.size} predictions against {y.size} annotations: the two must be of one length")
    return x, y


def _constant(x: Array) -> bool:
    return bool(x.min() == x.max())
