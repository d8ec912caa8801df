"""How well predicted valence and arousal agree with their annotation, and how certain the scores are.

The CCC follows Lin (1989) with biased (1/N) variances and covariance in float64, as the Aff-Wild2 challenges and
`audmetric` compute it. An undefined value is NaN, never an exception and never a silent 0 in a mean.

Intervals come from a percentile bootstrap over clips. Frames of one video are not independent samples, so whole clips
are drawn with replacement and their frames pooled. A pooled CCC needs only n, sum x, sum y, sum x^2, sum y^2 and
sum xy, which add up over clips: a replicate is one row of a matrix product, whatever the number of frames.

Other published code computes "the CCC" differently. `CONVENTIONS` reproduces those variants, only for comparison with
scores computed that way; the headline is always `pooled_metrics`. With x the predictions, y the annotation, s_xy, s_xx,
s_yy the sums of products of deviations from the means, and d the difference of the means:

    official     2 s_xy/N     / (s_xx/N     + s_yy/N     + d^2)
    unbiased     2 s_xy/(N-1) / (s_xx/(N-1) + s_yy/(N-1) + d^2)     larger in magnitude where d is not 0
    avec         2 s_xy/N     / (s_xx/(N-1) + s_yy/(N-1) + d^2)     smaller in magnitude: (N-1)/N for x = y
    numpy_mix    2 s_xy/(N-1) / (s_xx/N     + s_yy/N     + d^2)     larger in magnitude: N/(N-1) for x = y

The four differ by a factor of about 1/N: negligible for a pooled partition, noticeable for short clips. `zero_filled`
and `video_mean` use other frames or another average, and differ by much more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.errors import InputError, counted

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Scores = dict[str, float]
DIMENSIONS = ("valence", "arousal")
GOLD = ("valence_gold", "arousal_gold")
SCORES = ("ccc_valence", "ccc_arousal", "ccc_mean")
MIN_CLIPS, MIN_SUBJECTS = 3, 2  # fewer give no interval and no ranking


def are_few(clips: int, subjects: int) -> bool:
    """Whether these annotated clips and subjects are too few for an interval or a ranking."""
    return clips < MIN_CLIPS or subjects < MIN_SUBJECTS


def few_sentence(clips: int, subjects: int) -> str:
    """`Too few: 1 clip of 1 subject. Intervals and rankings need at least ...`."""
    return (
        f"Too few: {counted(clips, 'clip')} of {counted(subjects, 'subject')}. "
        f"Intervals and rankings need at least {MIN_CLIPS} annotated clips of {MIN_SUBJECTS} subjects."
    )


# Metrics of two sequences


def ccc(prediction: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Concordance correlation coefficient, 2 cov / (var_x + var_y + (mean_x - mean_y)^2), biased moments.

    Args:
        prediction: (n,) predicted values.
        gold: (n,) annotated values. The caller masks pairs without annotation (NaN).

    Returns:
        Agreement in [-1, 1]: 0 if one sequence is constant and the other varies, NaN if both are constant or n < 2.

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
    """Pearson's correlation in [-1, 1] of two (n,) sequences; NaN if either is constant or n < 2."""
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
    """Sign agreement: share of the n pairs that have the same sign, in [0, 1]; NaN for n = 0."""
    x, y = _pair(prediction, gold)
    return float(np.mean(np.sign(x) == np.sign(y))) if x.size else float("nan")


def _pair(prediction: npt.ArrayLike, gold: npt.ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(prediction, np.float64).ravel(), np.asarray(gold, np.float64).ravel()
    if x.size != y.size:
        raise InputError(f"{x.size} predictions against {y.size} annotations: both must have the same length")
    return x, y


def _constant(x: Array) -> bool:
    return bool(x.min() == x.max())


METRICS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], float]] = {
    "ccc": ccc,
    "pcc": pcc,
    "rmse": rmse,
    "sagr": sagr,
}

METRIC_NAMES = tuple(METRICS)

# Metrics of tables


def join_labels(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Join predictions to their annotation: one row per row of `labels`.

    Args:
        predictions: clip, frame, valence, arousal and any other columns, one row per decoded frame.
        labels: clip, frame, valence, arousal (NaN = not annotated), partition.

    Returns:
        `predictions` with valence_gold, arousal_gold and partition. An annotated frame without a prediction stays in
        the table as NaN, so that it can be counted.

    Raises:
        InputError: if either table has a frame of a clip twice.
    """
    names = pd.Index(list(dict.fromkeys(name for t in (predictions, labels) for name in t["clip"].unique())))
    span = 1 + max((int(t["frame"].max()) for t in (labels, predictions) if len(t)), default=0)
    wanted, given = (_keys(table, names, span) for table in (labels, predictions))
    for what, table, keys in (("predictions", predictions, given), ("labels", labels, wanted)):
        _require_unique(what, table, keys)
    gold = labels.rename(columns={name: f"{name}_gold" for name in DIMENSIONS})
    columns = ["clip", "frame", *(f"{name}_gold" for name in DIMENSIONS), "partition"]
    gold = gold[[name for name in columns if name in gold]].reset_index(drop=True)
    found = _taken(predictions.drop(columns=["clip", "frame"]), _rows_of(wanted, given))
    return pd.concat([gold, found], axis=1)


def rows_by_clip(clips: pd.Series) -> dict[str, Counts]:
    """Clip -> (n,) the positions of its rows, ascending; sorted by clip."""
    number, names = pd.factorize(clips, sort=True)
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(number, minlength=len(names)))[:-1]) if len(names) else []
    return dict(zip(map(str, names), parts, strict=True))


def _keys(table: pd.DataFrame, names: pd.Index, span: int) -> Counts:
    """(n,) a number that identifies the clip and the frame of each row."""
    clips = table["clip"]
    if isinstance(clips.dtype, pd.CategoricalDtype):
        number = names.get_indexer(pd.Index(clips.cat.categories))[clips.cat.codes.to_numpy()]
    else:
        number = names.get_indexer(pd.Index(clips))
    return np.asarray(number * span + table["frame"].to_numpy(np.int64))


def _require_unique(what: str, table: pd.DataFrame, keys: Counts) -> None:
    if (np.diff(keys) > 0).all():  # as this project writes them
        return
    repeated = table.loc[pd.Series(keys, table.index).duplicated(), ["clip", "frame"]]
    if len(repeated):
        clip, frame = repeated.iloc[0]
        raise InputError(f"the {what} contain frame {frame} of clip {clip} more than once")


def _rows_of(wanted: Counts, given: Counts) -> Counts | slice:
    """For each wanted key the row that has it among the given ones, -1 if none has; a slice if they follow each
    other."""
    if not len(given) or not len(wanted):
        return np.full(len(wanted), -1)
    start = int(np.argmax(given == wanted[0]))
    if np.array_equal(given[start : start + len(wanted)], wanted):
        return slice(start, start + len(wanted))
    order = np.argsort(given, kind="stable")
    row = order[np.minimum(np.searchsorted(given, wanted, sorter=order), len(given) - 1)]
    return np.where(given[row] == wanted, row, -1)


def _taken(table: pd.DataFrame, rows: Counts | slice) -> pd.DataFrame:
    """These rows of a table, numbered from 0; empty where a row is -1. Those of a slice are not copied."""
    if isinstance(rows, slice):
        return table.iloc[rows].reset_index(drop=True)
    return table.reset_index(drop=True).reindex(rows).reset_index(drop=True)


def pooled_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Score all annotated frames of the table as one sequence per dimension: the headline number of the field.

    Args:
        table: valence, arousal, valence_gold, arousal_gold; each dimension uses its own finite pairs.

    Returns:
        `<metric>_valence`, `<metric>_arousal` for ccc, pcc, rmse, sagr; `ccc_mean`, P = (CCC_V + CCC_A) / 2;
        `frames_valence`, `frames_arousal`, the number of pairs scored; and `unpredicted`, the number of annotated
        frames without a prediction.
    """
    scores: dict[str, float] = {}
    for name in DIMENSIONS:
        x, y = valid_pairs(table, name)
        scores |= {f"{metric}_{name}": function(x, y) for metric, function in METRICS.items()}
        scores[f"frames_{name}"] = x.size
    scores["ccc_mean"] = (scores["ccc_valence"] + scores["ccc_arousal"]) / 2
    scores["unpredicted"] = _unpredicted(table)
    return scores


def _unpredicted(table: pd.DataFrame) -> int:
    missing = np.zeros(len(table), bool)
    for name in DIMENSIONS:
        missing |= np.isfinite(table[f"{name}_gold"].to_numpy(float)) & ~np.isfinite(table[name].to_numpy(float))
    return int(missing.sum())


def valid_pairs(table: pd.DataFrame, dimension: str) -> tuple[Array, Array]:
    """The (n,) predictions and annotations of one dimension where both are finite, in float64."""
    x = table[dimension].to_numpy(np.float64)
    y = table[f"{dimension}_gold"].to_numpy(np.float64)
    valid = np.isfinite(x) & np.isfinite(y)
    return x[valid], y[valid]


def per_video(table: pd.DataFrame) -> pd.DataFrame:
    """`pooled_metrics` of each clip: one row per clip, sorted by clip, with its partition if the table has it."""
    rows, used = [], [name for name in ("clip", "partition", *DIMENSIONS, *GOLD) if name in table]
    for clip, rows_of_clip in table[used].groupby("clip", sort=True):
        partition = {"partition": rows_of_clip["partition"].iloc[0]} if "partition" in table else {}
        rows.append({"clip": clip, **partition, **pooled_metrics(rows_of_clip)})
    return pd.DataFrame(rows)


def video_means(videos: pd.DataFrame) -> dict[str, float]:
    """Mean over videos of each CCC of a `per_video` table.

    Returns:
        `video_ccc_valence`, `video_ccc_arousal`, `video_ccc_mean`; `videos`; and `videos_scored`. A video whose CCC is
        undefined (constant annotation) counts neither in a mean nor in `videos_scored`.
    """
    scores: dict[str, float] = {}
    for name in SCORES:
        values = videos[name].dropna() if name in videos else pd.Series(dtype=float)
        scores[f"video_{name}"] = float(values.mean()) if len(values) else float("nan")
    scores["videos"] = len(videos)
    scores["videos_scored"] = int(videos["ccc_mean"].notna().sum()) if "ccc_mean" in videos else 0
    return scores


# Intervals: bootstrap over clips


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % interval; `low` and `high` are NaN for fewer than `MIN_CLIPS` clips."""

    estimate: float
    low: float
    high: float


def bootstrap_ccc(
    table: pd.DataFrame, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Pooled ccc_valence, ccc_arousal and ccc_mean with their percentile intervals over clips.

    Args:
        table: clip, valence, arousal, valence_gold, arousal_gold.
        replicates: number of resamples of the clips.
        seed: the same seed gives the same resamples, for every model on the same clips.
        level: coverage of the interval, in (0, 1).
    """
    return intervals_of(clip_statistics(table), replicates, seed, level)


def intervals_of(
    statistics: ClipStatistics, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """`bootstrap_ccc` of a table of which only the sums of each clip are known."""
    return _intervals(lambda counts: pooled_ccc(statistics, counts), len(statistics.clips), replicates, seed, level)


def paired_difference(
    table: pd.DataFrame, reference: pd.DataFrame, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """`difference_of` two joined tables."""
    return difference_of(clip_statistics(table), clip_statistics(reference), replicates, seed, level)


def difference_of(
    first: ClipStatistics, second: ClipStatistics, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """CCC of the first minus CCC of the second, both on the same resamples of the clips: a paired comparison.

    Raises:
        InputError: if the two do not have the same clips.
    """
    if first.clips != second.clips:
        unshared = sorted(set(first.clips) ^ set(second.clips))
        raise InputError(
            f"the two models were not run on the same clips; only in one of them: {', '.join(unshared[:3])}"
        )

    def difference(counts: Counts) -> Array:
        return pooled_ccc(first, counts) - pooled_ccc(second, counts)

    return _intervals(difference, len(first.clips), replicates, seed, level)


def _intervals(
    score: Callable[[Counts], Array], clips: int, replicates: int, seed: int, level: float
) -> dict[str, Interval]:
    if not clips:
        return {name: Interval(np.nan, np.nan, np.nan) for name in SCORES}
    estimates = score(np.ones((1, clips), np.int64))[0]
    bounds = np.full((2, len(SCORES)), np.nan)
    if clips >= MIN_CLIPS:  # one clip gives an interval of width 0, two give three different resamples
        values = score(resamples(clips, replicates, seed))
        for k in range(len(SCORES)):
            defined = values[np.isfinite(values[:, k]), k]
            if defined.size:
                bounds[:, k] = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return {name: Interval(float(estimates[k]), *map(float, bounds[:, k])) for k, name in enumerate(SCORES)}


@dataclass(frozen=True)
class ClipStatistics:
    """The sums from which the pooled CCC is computed, for each of c clips and both dimensions (valence, arousal).

    Attributes:
        clips: names of the clips, in the order of the first axis.
        sums: (c, 2, 6) n, sum x, sum y, sum x^2, sum y^2, sum xy; x and y are shifted by `centre` against rounding.
        lowest, highest: (c, 2, 2) extremes of x and of y; they identify a constant sequence exactly.
        centre: (2,) shift of each dimension; it does not change the CCC.
    """

    clips: tuple[str, ...]
    sums: Array
    lowest: Array
    highest: Array
    centre: Array


def clip_statistics(table: pd.DataFrame, clips: tuple[str, ...] | None = None) -> ClipStatistics:
    """Compute the sufficient statistics of each clip.

    Args:
        table: joined predictions (clip, valence, arousal, valence_gold, arousal_gold), any number of frames per clip.
        clips: clips to include, in this order; by default `annotated_clips`. A clip that the table lacks has zero
            frames.
    """
    names = annotated_clips(table) if clips is None else clips
    centre = np.array([_mean_or_zero(valid_pairs(table, dimension)[1]) for dimension in DIMENSIONS])
    sums = np.zeros((len(names), 2, 6))
    lowest, highest = np.full((len(names), 2, 2), np.inf), np.full((len(names), 2, 2), -np.inf)
    number = {name: i for i, name in enumerate(names)}
    for name, rows in table[["clip", *DIMENSIONS, *GOLD]].groupby("clip"):
        if name not in number:
            continue
        i = number[str(name)]
        for k, dimension in enumerate(DIMENSIONS):
            x, y = valid_pairs(rows, dimension)
            if x.size:
                lowest[i, k], highest[i, k] = (x.min(), y.min()), (x.max(), y.max())
                x, y = x - centre[k], y - centre[k]
                sums[i, k] = x.size, x.sum(), y.sum(), x @ x, y @ y, x @ y
    return ClipStatistics(names, sums, lowest, highest, centre)


def annotated_clips(table: pd.DataFrame) -> tuple[str, ...]:
    """The clips of joined predictions that are annotated in valence or arousal, sorted. One that has only expressions
    or action units says nothing about the CCC, and must not count as one of the clips that an interval rests on."""
    annotated = table[list(GOLD)].notna().any(axis=1)
    return tuple(sorted(table.loc[annotated, "clip"].unique()))


def _mean_or_zero(values: Array) -> float:
    return float(values.mean()) if values.size else 0.0


def resamples(clips: int, replicates: int, seed: int) -> Counts:
    """Draw bootstrap resamples: (replicates, clips) counts of each clip, `clips` draws with replacement per row."""
    drawn = np.random.default_rng(seed).integers(0, clips, (replicates, clips))
    offset = np.arange(replicates)[:, None] * clips
    return np.bincount((drawn + offset).ravel(), minlength=replicates * clips).reshape(replicates, clips)


def pooled_ccc(statistics: ClipStatistics, counts: Counts) -> Array:
    """Pooled CCC of each resample.

    Args:
        statistics: of c clips.
        counts: (r, c) how often each clip is included.

    Returns:
        (r, 3) CCC of valence, of arousal, and their mean; NaN and 0 by the rules of `ccc`.
    """
    n, x, y, xx, yy, xy = np.moveaxis(np.einsum("rc,cks->rks", counts.astype(np.float64), statistics.sums), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (xx - x * x / n) / n + (yy - y * y / n) / n + ((x - y) / n) ** 2
        values = 2 * (xy - x * y / n) / n / spread
    constant = _constant_samples(statistics, counts)
    values = np.where(constant.any(axis=2), 0.0, values)
    values = np.where((n < 2) | constant.all(axis=2), np.nan, values)
    return np.column_stack([values, values.mean(axis=1)])


def _constant_samples(statistics: ClipStatistics, counts: Counts) -> npt.NDArray[np.bool_]:
    """Whether x and y (last axis) are constant in each resample and dimension: (r, 2, 2)."""
    drawn = (counts > 0)[:, :, None, None]
    lowest = np.where(drawn, statistics.lowest, np.inf).min(axis=1)
    highest = np.where(drawn, statistics.highest, -np.inf).max(axis=1)
    return np.asarray(lowest >= highest)


# Conventions of other published code


def unbiased(table: pd.DataFrame) -> Scores:
    """Pooled; covariance and variances divided by N-1, as in `torchmetrics` and by default in R's `yardstick`."""
    return _pooled(table, lambda x, y: _ccc(x, y, covariance_ddof=1, variance_ddof=1))


def avec(table: pd.DataFrame) -> Scores:
    """Pooled; covariance divided by N, variances by N-1, as in `calc_scores.py` of the AVEC 2018 and 2019 baselines.

    Its authors matched the variances to Matlab's `nanvar`; the covariance is a plain mean.
    """
    return _pooled(table, lambda x, y: _ccc(x, y, covariance_ddof=0, variance_ddof=1))


def numpy_mix(table: pd.DataFrame) -> Scores:
    """Pooled; `numpy.cov` (N-1) over `numpy.var` (N), each with its default: the opposite mix, which can exceed 1."""
    return _pooled(table, lambda x, y: _ccc(x, y, covariance_ddof=1, variance_ddof=0))


def zero_filled(table: pd.DataFrame) -> Scores:
    """Pooled by the official formula, with 0 for every annotated frame without a prediction.

    Some code writes zeros for frames without a face and for failed clips, and scores them.
    """
    return _pooled(table.fillna(dict.fromkeys(DIMENSIONS, 0.0)), ccc)


def video_mean(table: pd.DataFrame) -> Scores:
    """Mean of each video's CCC by the official formula; videos with an undefined CCC (constant) are left out."""
    means = video_means(per_video(table))
    return {name: means[f"video_{name}"] for name in SCORES}


def _pooled(table: pd.DataFrame, score: Callable[[Array, Array], float]) -> Scores:
    scores = {f"ccc_{name}": score(*valid_pairs(table, name)) for name in DIMENSIONS}
    return scores | {"ccc_mean": (scores["ccc_valence"] + scores["ccc_arousal"]) / 2}


def _ccc(x: Array, y: Array, covariance_ddof: int, variance_ddof: int) -> float:
    """CCC with other divisors; NaN and 0 follow the rules of `ccc`."""
    official = ccc(x, y)
    if not np.isfinite(official) or official == 0:
        return official
    covariance = np.sum((x - x.mean()) * (y - y.mean())) / (x.size - covariance_ddof)
    spread = np.var(x, ddof=variance_ddof) + np.var(y, ddof=variance_ddof) + (x.mean() - y.mean()) ** 2
    return float(2 * covariance / spread)


CONVENTIONS: dict[str, Callable[[pd.DataFrame], Scores]] = {
    "unbiased": unbiased,
    "avec": avec,
    "numpy_mix": numpy_mix,
    "zero_filled": zero_filled,
    "video_mean": video_mean,
}
"""Name -> function from a joined table (clip, valence, arousal, valence_gold, arousal_gold; NaN = no prediction or no
annotation) to ccc_valence, ccc_arousal, ccc_mean."""
