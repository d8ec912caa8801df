"""Other ways in which published code computes "the CCC", only for comparison with numbers that were made with them.

None of them is the headline, which is `metrics.pooled_metrics`: biased (1/N) moments, all frames pooled. With x the
predictions, y the annotation, s_xy, s_xx, s_yy the sums of products of deviations from the means, d the difference of
the means:

    official     2 s_xy/N     / (s_xx/N     + s_yy/N     + d^2)
    unbiased     2 s_xy/(N-1) / (s_xx/(N-1) + s_yy/(N-1) + d^2)     larger in magnitude where d is not 0
    avec         2 s_xy/N     / (s_xx/(N-1) + s_yy/(N-1) + d^2)     smaller in magnitude: (N-1)/N for x = y
    numpy_mix    2 s_xy/(N-1) / (s_xx/N     + s_yy/N     + d^2)     larger in magnitude: N/(N-1) for x = y

The four differ by a factor of about 1/N: nothing for a pooled partition, much for short clips. `zero_filled` and
`video_mean` differ in what enters, and by much more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from iaca.evaluation.metrics import DIMENSIONS, Array, ccc, per_video, valid_pairs, video_means

Scores = dict[str, float]


def unbiased(table: pd.DataFrame) -> Scores:
    """Pooled, covariance and variances all divided by N-1: `torchmetrics`, and the default of R's `yardstick`."""
    return _pooled(table, lambda x, y: _ccc(x, y, covariance_ddof=1, variance_ddof=1))


def avec(table: pd.DataFrame) -> Scores:
    """Pooled, covariance divided by N, variances by N-1: `calc_scores.py` of the AVEC 2018 and 2019 baselines.

    Its authors chose the variances to be those of Matlab's `nanvar`; the covariance is a plain mean.
    """
    return _pooled(table, lambda x, y: _ccc(x, y, covariance_ddof=0, variance_ddof=1))


def numpy_mix(table: pd.DataFrame) -> Scores:
    """Pooled, `numpy.cov` (N-1) over `numpy.var` (N), each at its default: the opposite mix, and it can exceed 1."""
    return _pooled(table, lambda x, y: _ccc(x, y, covariance_ddof=1, variance_ddof=0))


def zero_filled(table: pd.DataFrame) -> Scores:
    """Pooled by the official formula, with 0 for every annotated frame that has no prediction.

    That is what code does that gives zeros to frames without a face or to clips that failed, and scores them.
    """
    return _pooled(table.fillna(dict.fromkeys(DIMENSIONS, 0.0)), ccc)


def video_mean(table: pd.DataFrame) -> Scores:
    """Mean over videos of each video's own CCC by the official formula; undefined ones (constant) are left out."""
    means = video_means(per_video(table))
    return {name: means[f"video_{name}"] for name in ("ccc_valence", "ccc_arousal", "ccc_mean")}


CONVENTIONS: dict[str, Callable[[pd.DataFrame], Scores]] = {
    "unbiased": unbiased,
    "avec": avec,
    "numpy_mix": numpy_mix,
    "zero_filled": zero_filled,
    "video_mean": video_mean,
}
"""Name -> function from a joined table (clip, valence, arousal, valence_gold, arousal_gold; NaN where there is no
prediction or no annotation) to ccc_valence, ccc_arousal, ccc_mean."""


def _pooled(table: pd.DataFrame, score: Callable[[Array, Array], float]) -> Scores:
    scores = {f"ccc_{name}": score(*valid_pairs(table, name)) for name in DIMENSIONS}
    return scores | {"ccc_mean": (scores["ccc_valence"] + scores["ccc_arousal"]) / 2}


def _ccc(x: Array, y: Array, covariance_ddof: int, variance_ddof: int) -> float:
    """NaN and 0 where `metrics.ccc` has them, so that only the divisors differ."""
    agreement = ccc(x, y)
    if not np.isfinite(agreement) or agreement == 0:
        return agreement
    covariance = np.sum((x - x.mean()) * (y - y.mean())) / (x.size - covariance_ddof)
    spread = np.var(x, ddof=variance_ddof) + np.var(y, ddof=variance_ddof) + (x.mean() - y.mean()) ** 2
    return float(2 * covariance / spread)
