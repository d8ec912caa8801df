"""Confusion of the quadrants of the plane: is the kind of affect right, whatever its exact value?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.evaluation.analysis.regions import GOLD, complete
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.metrics import DIMENSIONS, Array

NEUTRAL = "neutral"
QUADRANTS = ("positive active", "negative active", "negative passive", "positive passive", NEUTRAL)
QUADRANT_COLUMNS = ("annotated", "predicted", "frames", "share")


def quadrant(valence: Array, arousal: Array, band: float) -> npt.NDArray[np.str_]:
    """Name of the quadrant of each of (n,) pairs, counted from the upper right against the clock.

    Args:
        valence, arousal: (n,) in [-1, 1].
        band: where |valence| or |arousal| is below it, the pair lies too close to an axis to have a quadrant: neutral.
    """
    side = np.where(valence >= 0, "positive", "negative")
    half = np.where(arousal >= 0, "active", "passive")
    named = np.char.add(np.char.add(side, " "), half)
    return np.where((np.abs(valence) < band) | (np.abs(arousal) < band), NEUTRAL, named)


def quadrant_confusion(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """How often each annotated quadrant was predicted as each.

    Args:
        table: joined predictions (valence, arousal, valence_gold, arousal_gold); frames with all four count.
        config: the neutral band.

    Returns:
        One row per pair of `QUADRANTS`, none where there is no frame: `annotated`, `predicted`, `frames`, and `share`,
        the frames over all of that annotated quadrant (NaN where it has none).
    """
    known = complete(table)
    if known.empty:
        return pd.DataFrame(columns=list(QUADRANT_COLUMNS))
    gold, predicted = (
        quadrant(known[v].to_numpy(np.float64), known[a].to_numpy(np.float64), config.neutral_band)
        for v, a in (GOLD, DIMENSIONS)
    )
    rows = []
    for annotated in QUADRANTS:
        counts = [int(((gold == annotated) & (predicted == other)).sum()) for other in QUADRANTS]
        total = sum(counts)
        rows += [
            (annotated, other, count, count / total if total else float("nan"))
            for other, count in zip(QUADRANTS, counts, strict=True)
        ]
    return pd.DataFrame(rows, columns=list(QUADRANT_COLUMNS))
