"""Every model during every kind of event: does weighing help where one modality is corrupted?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from iaca.evaluation.analysis.regions import plane_rmse
from iaca.evaluation.bootstrap import paired_difference
from iaca.evaluation.events import truth_masks
from iaca.evaluation.metrics import join_labels, pooled_metrics

EVENT_SCORE_COLUMNS = (
    "modality",
    "kind",
    "model",
    "main",
    "clips",
    "frames",
    "ccc_mean",
    "rmse",
    "difference_ccc_mean",
    "difference_ccc_mean_low",
    "difference_ccc_mean_high",
)


def event_scores(
    predictions_by_model: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    events: pd.DataFrame,
    replicates: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Pooled CCC and RMSE of every model within the frames of each kind of event.

    Args:
        predictions_by_model: name -> predictions (clip, frame, time_s, valence, arousal); the first is the main model.
        labels: clip, frame, valence, arousal of the clips to score.
        events: clip, modality, kind, start_s, end_s.
        replicates, seed: of the bootstrap over the clips that hold such an event.

    Returns:
        One row per modality, kind and model, kinds without an annotated frame left out: `clips`, annotated `frames`,
        `ccc_mean`, `rmse` over both dimensions, and `difference_ccc_mean` to the main model with its paired 95 %
        interval (NaN where one clip leaves it undefined).
    """
    joined = {name: join_labels(table, labels) for name, table in predictions_by_model.items()}
    main = next(iter(joined))
    rows = []
    for (modality, kind), mask in truth_masks(joined[main], events).items():
        chosen = joined[main].loc[mask, ["clip", "frame"]]
        inside = {name: chosen.merge(table, on=["clip", "frame"]) for name, table in joined.items()}
        scores = {name: pooled_metrics(table) for name, table in inside.items()}
        if not scores[main]["frames_valence"]:
            continue
        for name, table in inside.items():
            difference = paired_difference(table, inside[main], replicates, seed)["ccc_mean"]
            spread = (difference.estimate, difference.low, difference.high)
            rows.append(
                {"modality": modality, "kind": kind, "model": name, "main": name == main}
                | {"clips": table["clip"].nunique(), "frames": scores[name]["frames_valence"]}
                | {"ccc_mean": scores[name]["ccc_mean"], "rmse": plane_rmse(table)}
                | dict(zip(EVENT_SCORE_COLUMNS[-3:], spread, strict=True))
            )
    return pd.DataFrame(rows, columns=list(EVENT_SCORE_COLUMNS))
