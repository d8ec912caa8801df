"""Whether a predicted value means what it says: annotations by bins of the prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.metrics import DIMENSIONS, Array

CALIBRATION_COLUMNS = (
    "dimension",
    "low",
    "high",
    "frames",
    "clips",
    "predicted",
    "annotated",
    "annotated_q25",
    "annotated_q75",
    "few",
)


def calibration(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """Mean annotation beside mean prediction, in bins of the predicted value.

    Args:
        table: joined predictions (clip, valence, arousal, valence_gold, arousal_gold).
        config: number of bins, and how many frames are few.

    Returns:
        One row per dimension and bin that holds a frame, from low to high: edges `low`, `high` of the bin (values
        beyond [-1, 1] count to the outermost), `frames`, `clips`, means `predicted` and `annotated`, quartiles
        `annotated_q25`, `annotated_q75`, and `few`: fewer frames than `few_frames`. A calibrated model has
        `annotated` = `predicted` in each of them.
    """
    rows = []
    for dimension in DIMENSIONS:
        known = table.dropna(subset=[dimension, f"{dimension}_gold"])
        place = cell_of(known[dimension].to_numpy(np.float64), config.bins)
        for k, inside in known.groupby(place, sort=True):
            gold = inside[f"{dimension}_gold"].to_numpy(np.float64)
            rows.append(
                {
                    "dimension": dimension,
                    **dict(zip(("low", "high"), edges_of(int(k), config.bins), strict=True)),  # type: ignore[call-overload]
                    "frames": len(inside),
                    "clips": inside["clip"].nunique(),
                    "predicted": float(inside[dimension].to_numpy(np.float64).mean()),
                    "annotated": float(gold.mean()),
                    "annotated_q25": float(np.quantile(gold, 0.25)),
                    "annotated_q75": float(np.quantile(gold, 0.75)),
                    "few": len(inside) < config.few_frames,
                }
            )
    return pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS))


def cell_of(values: Array, cells: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Which of `cells` equal parts of [-1, 1] each of (n,) values lies in; an upper edge belongs to the next part."""
    return np.clip(np.floor((values + 1) / 2 * cells + 1e-9), 0, cells - 1).astype(np.int64)


def edges_of(cell: int, cells: int) -> tuple[float, float]:
    """(low, high) of one of those parts, rounded where the division leaves dust."""
    return round(2 * cell / cells - 1, 6), round(2 * (cell + 1) / cells - 1, 6)
