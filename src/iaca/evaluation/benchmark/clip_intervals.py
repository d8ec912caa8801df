"""How much the clips decide: intervals over resamples of the partition's clips, the trained models held fixed.

Seeds share the test clips. An interval over seeds says whether another training run would agree; whether other clips
would is another question, and this module's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from iaca.evaluation.benchmark.collect import Scores
from iaca.evaluation.benchmark.paired import COVERAGE
from iaca.evaluation.benchmark.sums import statistics
from iaca.evaluation.bootstrap import SCORES, Counts, pooled_ccc, resamples
from iaca.evaluation.metrics import DIMENSIONS, Array

COLUMNS = ["model", "minus", "corruption", "level", "measure", "clips_low", "clips_high"]


def clip_intervals(scores: Scores, main: Sequence[str], replicates: int, seed: int = 0) -> pd.DataFrame:
    """Percentile intervals (95 %) of the CCC averaged over seeds, and of the differences of the main models.

    Args:
        scores: of every run; all have the same conditions on the same clips.
        main: models that the others are subtracted from.
        replicates: resamples, the same for every model and condition.
        seed: of the resamples.

    Returns:
        `COLUMNS`, as in `summary.summarise`; no rows where there is a single clip, of which nothing can be resampled.
    """
    first = next(iter(scores.values()))
    clips = len(first[0]["clips"]) // len(DIMENSIONS)
    rows: list[tuple[object, ...]] = []
    if clips > 1:
        counts = resamples(clips, replicates, seed)
        for i, condition in enumerate(first):
            resampled = _over_seeds(scores, i, counts)
            for model, minus, values in _compared(resampled, main):
                place = (model, minus, condition["corruption"], condition["level"])
                rows += [(*place, score, *_percentiles(column)) for score, column in zip(SCORES, values.T, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _over_seeds(scores: Scores, condition: int, counts: Counts) -> dict[str, Array]:
    """Model -> (r, 3) CCC on each resample, averaged over the model's seeds."""
    found: dict[str, list[Array]] = {}
    for (model, _), rows in scores.items():
        values = pooled_ccc(statistics(rows[condition]["clips"]), counts)
        found.setdefault(model, []).append(_with_mean_of_the_learned(values))
    return {model: np.mean(values, axis=0) for model, values in found.items()}


def _with_mean_of_the_learned(values: Array) -> Array:
    """(r, 3) valence, arousal, mean: a dimension that is undefined throughout was not learned, and has no say."""
    learned = [k for k in range(len(DIMENSIONS)) if np.isfinite(values[:, k]).any()]
    return np.column_stack([values[:, :-1], values[:, learned].mean(axis=1)]) if learned else values


def _compared(resampled: dict[str, Array], main: Sequence[str]) -> Iterator[tuple[str, str | None, Array]]:
    """(model, minus, values): every model by itself, then each main one minus every other."""
    yield from ((model, None, values) for model, values in resampled.items())
    for name in main:
        yield from ((name, other, resampled[name] - values) for other, values in resampled.items() if other != name)


def _percentiles(values: Array) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
