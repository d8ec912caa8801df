"""Where in the valence-arousal plane the errors are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iaca.evaluation.analysis.calibration import cell_of, edges_of
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.metrics import DIMENSIONS

GOLD = tuple(f"{name}_gold" for name in DIMENSIONS)
REGION_COLUMNS = (
    "valence_low",
    "valence_high",
    "arousal_low",
    "arousal_high",
    "frames",
    "clips",
    "rmse",
    "rmse_valence",
    "rmse_arousal",
    "bias_valence",
    "bias_arousal",
    "few",
)


def region_errors(table: pd.DataFrame, config: AnalysisConfig) -> pd.DataFrame:
    """RMSE and bias in each cell of a grid over the plane of the *annotated* values.

    Args:
        table: joined predictions (clip, valence, arousal, valence_gold, arousal_gold); frames with all four count.
        config: cells along each side, and how many frames are few.

    Returns:
        One row per cell that holds a frame: its edges, `frames`, `clips`; `rmse_<dimension>`, `bias_<dimension>` (mean
        of predicted - annotated), `rmse` = sqrt((rmse_valence^2 + rmse_arousal^2) / 2); and `few`: fewer frames than
        `few_frames`. A model that shrinks towards the middle has a positive bias on the left and below, and a
        negative one on the right and above.
    """
    known = complete(table)
    valence, arousal = (cell_of(known[name].to_numpy(np.float64), config.cells) for name in GOLD)
    rows = []
    for place, inside in known.groupby(arousal * config.cells + valence, sort=True):
        row, column = divmod(int(place), config.cells)  # type: ignore[call-overload]
        edges = (*edges_of(column, config.cells), *edges_of(row, config.cells))
        few = len(inside) < config.few_frames
        rows.append(dict(zip(REGION_COLUMNS[:4], edges, strict=True)) | _errors(inside) | {"few": few})
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS))


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in which both dimensions are annotated and predicted."""
    return table.dropna(subset=[*DIMENSIONS, *GOLD])


def plane_rmse(table: pd.DataFrame) -> float:
    """`rmse` of `region_errors`, over all complete rows; NaN where there is none."""
    known = complete(table)
    error = known[list(DIMENSIONS)].to_numpy(np.float64) - known[list(GOLD)].to_numpy(np.float64)
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")


def _errors(inside: pd.DataFrame) -> dict[str, float | int]:
    found: dict[str, float | int] = {"frames": len(inside), "clips": int(inside["clip"].nunique())}
    for name in DIMENSIONS:
        error = inside[name].to_numpy(np.float64) - inside[f"{name}_gold"].to_numpy(np.float64)
        found[f"rmse_{name}"] = float(np.sqrt(np.mean(error**2)))
        found[f"bias_{name}"] = float(error.mean())
    return found | {"rmse": plane_rmse(inside)}
