"""How sure a pooled CCC is: percentile bootstrap over videos, exact and cheap.

Frames of one video are no independent samples, so whole clips are drawn with replacement and their frames pooled. A
pooled CCC needs only n, sum x, sum y, sum x^2, sum y^2 and sum xy, and those add up over clips: a replicate is one
row of a matrix product, however many frames there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.errors import InputError
from iaca.evaluation.metrics import DIMENSIONS, Array, valid_pairs

SCORES = ("ccc_valence", "ccc_arousal", "ccc_mean")
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval; `low` and `high` are NaN where fewer than two clips leave it undefined."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class ClipStatistics:
    """What the pooled CCC needs to know of each of c clips, per dimension (valence, arousal).

    Attributes:
        clips: names of the clips, in the order of the first axis.
        sums: (c, 2, 6) n, sum x, sum y, sum x^2, sum y^2, sum xy; x and y are shifted by `centre` against rounding.
        lowest, highest: (c, 2, 2) extremes of x and of y, which tell a constant sequence exactly.
        centre: (2,) the shift of each dimension; CCC is invariant to it.
    """

    clips: tuple[str, ...]
    sums: Array
    lowest: Array
    highest: Array
    centre: Array


def clip_statistics(table: pd.DataFrame, clips: tuple[str, ...] | None = None) -> ClipStatistics:
    """Sufficient statistics of each clip of a joined table (clip, valence, arousal, valence_gold, arousal_gold).

    Args:
        table: predictions beside their annotation, any number of frames per clip.
        clips: which clips and in which order; by default those of the table, sorted. A clip that is absent is empty.
    """
    names = tuple(sorted(table["clip"].unique())) if clips is None else clips
    centre = np.array([_mean_or_zero(valid_pairs(table, dimension)[1]) for dimension in DIMENSIONS])
    sums = np.zeros((len(names), 2, 6))
    lowest, highest = np.full((len(names), 2, 2), np.inf), np.full((len(names), 2, 2), -np.inf)
    groups = dict(tuple(table.groupby("clip")))
    for i, name in enumerate(names):
        for k, dimension in enumerate(DIMENSIONS):
            x, y = valid_pairs(groups[name], dimension) if name in groups else (np.empty(0), np.empty(0))
            if x.size:
                lowest[i, k], highest[i, k] = (x.min(), y.min()), (x.max(), y.max())
                x, y = x - centre[k], y - centre[k]
                sums[i, k] = x.size, x.sum(), y.sum(), x @ x, y @ y, x @ y
    return ClipStatistics(names, sums, lowest, highest, centre)


def resamples(clips: int, replicates: int, seed: int) -> Counts:
    """How often each clip was drawn: (replicates, clips) counts, every row drawn `clips` times with replacement."""
    drawn = np.random.default_rng(seed).integers(0, clips, (replicates, clips))
    offset = np.arange(replicates)[:, None] * clips
    return np.bincount((drawn + offset).ravel(), minlength=replicates * clips).reshape(replicates, clips)


def pooled_ccc(statistics: ClipStatistics, counts: Counts) -> Array:
    """Pooled CCC of each resample.

    Args:
        statistics: of c clips.
        counts: (r, c) how often each clip enters.

    Returns:
        (r, 3) CCC of valence, of arousal, and their mean; NaN and 0 by the rules of `metrics.ccc`.
    """
    n, x, y, xx, yy, xy = np.moveaxis(np.einsum("rc,cks->rks", counts.astype(np.float64), statistics.sums), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (xx - x * x / n) / n + (yy - y * y / n) / n + ((x - y) / n) ** 2
        values = 2 * (xy - x * y / n) / n / spread
    constant = _constant(statistics, counts)
    values = np.where(constant.any(axis=2), 0.0, values)
    values = np.where((n < 2) | constant.all(axis=2), np.nan, values)
    return np.column_stack([values, values.mean(axis=1)])


def bootstrap_ccc(
    table: pd.DataFrame, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Pooled CCC with its percentile interval over videos, for ccc_valence, ccc_arousal and ccc_mean.

    Args:
        table: clip, valence, arousal, valence_gold, arousal_gold.
        replicates: number of resamples of the clips.
        seed: the same seed gives the same resamples, for every model on the same clips.
        level: coverage of the interval, in (0, 1).
    """
    statistics = clip_statistics(table)
    return _intervals(lambda counts: pooled_ccc(statistics, counts), len(statistics.clips), replicates, seed, level)


def paired_difference(
    table: pd.DataFrame, reference: pd.DataFrame, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """CCC of `table` minus CCC of `reference`, both on the same resamples of the clips: a paired comparison.

    Raises:
        InputError: if the two tables do not hold the same clips.
    """
    first, second = clip_statistics(table), clip_statistics(reference)
    if first.clips != second.clips:
        odd = sorted(set(first.clips) ^ set(second.clips))
        raise InputError(f"the two models were not run on the same clips: {', '.join(odd[:3])} is in one of them only")

    def difference(counts: Counts) -> Array:
        return pooled_ccc(first, counts) - pooled_ccc(second, counts)

    return _intervals(difference, len(first.clips), replicates, seed, level)


def _intervals(
    score: Callable[[Counts], Array], clips: int, replicates: int, seed: int, level: float
) -> dict[str, Interval]:
    if not clips:
        return {name: Interval(np.nan, np.nan, np.nan) for name in SCORES}
    whole = score(np.ones((1, clips), np.int64))[0]
    bounds = np.full((2, len(SCORES)), np.nan)
    if clips > 1:  # every resample of a single clip is that clip: an interval of width 0 would claim certainty
        values = score(resamples(clips, replicates, seed))
        for k in range(len(SCORES)):
            defined = values[np.isfinite(values[:, k]), k]
            if defined.size:
                bounds[:, k] = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return {name: Interval(float(whole[k]), *map(float, bounds[:, k])) for k, name in enumerate(SCORES)}


def _constant(statistics: ClipStatistics, counts: Counts) -> npt.NDArray[np.bool_]:
    """Whether x and y (last axis) of each resample and dimension take one value only: (r, 2, 2)."""
    drawn = (counts > 0)[:, :, None, None]
    lowest = np.where(drawn, statistics.lowest, np.inf).min(axis=1)
    highest = np.where(drawn, statistics.highest, -np.inf).max(axis=1)
    return np.asarray(lowest >= highest)


def _mean_or_zero(values: Array) -> float:
    return float(values.mean()) if values.size else 0.0
