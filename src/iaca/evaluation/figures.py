"""The pictures of a report, drawn from the same tables as its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from iaca.evaluation.events import gate_auroc, has_modality_gates
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.plots import affect_plane, comparison_dots, learning_curve
from iaca.evaluation.timelines import gate_distribution, gates_beside_events, traces


def report_figures(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    comparison: pd.DataFrame,
    partition: str = "validation",
    events: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    clips: Sequence[str] | None = None,
) -> dict[str, Figure]:
    """Every figure the tables allow, by the slots of `report.FIGURES`.

    Args:
        predictions: of the main model.
        labels: clip, frame, valence, arousal, partition.
        comparison: `tables.comparison`.
        partition: which partition the figures of scores and of traces show.
        events: ground truth of corruption, where there is one; needed for the figures of the gates.
        history: of the training, where there is one.
        clips: which clips to draw over time; by default the first three annotated ones (with events, if any).
    """
    gold = labels[labels["partition"] == partition]
    table = join_labels(predictions, gold)
    chosen = list(clips) if clips is not None else _clips(table, events)
    figures = {
        "comparison": comparison_dots(comparison, partition),
        "affect_plane": affect_plane(table),
        "traces": traces(table, chosen),
    }
    if history is not None and len(history):
        figures["learning_curve"] = learning_curve(history)
    if events is not None and len(events) and has_modality_gates(predictions):
        inside = predictions[predictions["clip"].isin(gold["clip"].unique())]
        figures["gates"] = gates_beside_events(inside, events, chosen)
        if len(gate_auroc(inside, events)):
            figures["gate_distribution"] = gate_distribution(inside, events)
    return figures


def _clips(table: pd.DataFrame, events: pd.DataFrame | None, shown: int = 3) -> list[str]:
    """Clips with both an annotation and a prediction, those with an event first, then by name."""
    usable = table.dropna(subset=["valence_gold", "valence"])["clip"].unique()
    eventful = set() if events is None else set(events["clip"])
    return sorted(map(str, usable), key=lambda clip: (clip not in eventful, clip))[:shown]
