"""What a pooled CCC needs to know of each clip: it adds up, so that no prediction has to be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import AnnotatedClip
from iaca.evaluation.bootstrap import ClipStatistics
from iaca.evaluation.metrics import DIMENSIONS

SUMS = ("n", "x", "y", "xx", "yy", "xy")
EXTREMES = ("x_min", "y_min", "x_max", "y_max")
ClipSums = dict[str, str | float]


def clip_sums(name: str, clip: AnnotatedClip, prediction: NDArray[np.float32]) -> list[ClipSums]:
    """Per dimension: n, sums of x (predicted) and y (annotated), of their squares and product, and their extremes.

    The steps that count are annotated, and had a face or sound in the *clean* clip: the same ones at every level of
    every corruption, so that nothing gets easier by going missing.

    Args:
        name: of the clip.
        clip: the clean clip.
        prediction: (t, 2) the model's answers to the clean or the corrupted one; NaN where it was trained on one
            dimension alone.
    """
    observed = clip.embedding.observed
    rows: list[ClipSums] = []
    for k, dimension in enumerate(DIMENSIONS):
        counts = observed & np.isfinite(clip.labels[:, k]) & np.isfinite(prediction[:, k])
        x, y = prediction[counts, k].astype(np.float64), clip.labels[counts, k].astype(np.float64)
        moments = (float(x.size), x.sum(), y.sum(), x @ x, y @ y, x @ y)
        extremes = (x.min(), y.min(), x.max(), y.max()) if x.size else (np.inf, np.inf, -np.inf, -np.inf)
        named = dict(zip((*SUMS, *EXTREMES), map(float, (*moments, *extremes)), strict=True))
        rows.append({"clip": name, "dimension": dimension, **named})
    return rows


def statistics(rows: Sequence[Mapping[str, Any]]) -> ClipStatistics:
    """The rows of `clip_sums` of several clips as `iaca.evaluation.bootstrap` takes them."""
    clips = tuple(row["clip"] for row in rows[:: len(DIMENSIONS)])

    def table(names: Sequence[str]) -> NDArray[np.float64]:
        return np.array([[row[name] for name in names] for row in rows]).reshape(len(clips), len(DIMENSIONS), -1)

    extremes = table(EXTREMES)
    return ClipStatistics(clips, table(SUMS), extremes[..., :2], extremes[..., 2:], np.zeros(len(DIMENSIONS)))
