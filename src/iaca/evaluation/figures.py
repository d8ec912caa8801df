"""The pictures of a report, drawn from the same tables as its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from iaca.evaluation.analysis.plots import calibration_plot, quadrant_plot, region_plot
from iaca.evaluation.analysis.response_plot import response_plot
from iaca.evaluation.config import AnalysisConfig
from iaca.evaluation.events import gate_auroc, has_modality_gates
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.plots import affect_plane, comparison_dots, learning_curve
from iaca.evaluation.tables import best_and_worst, video_table
from iaca.evaluation.timelines import gate_distribution, gates_beside_events, traces


def report_figures(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    comparison: pd.DataFrame,
    partition: str = "validation",
    events: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    clips: Sequence[str] | None = None,
    shown_videos: int = 3,
) -> dict[str, Figure]:
    """Every figure the tables allow, by the slots of `report.FIGURES`.

    Args:
        predictions: of the main model.
        labels: clip, frame, valence, arousal, partition.
        comparison: `tables.comparison`.
        partition: which partition the figures of scores and of traces show.
        events: ground truth of corruption, where there is one; needed for the figures of the gates.
        history: of the training, where there is one.
        clips: which clips to draw gates of; by default the first three annotated ones (with events, if any).
        shown_videos: how many of the best and of the worst clips are drawn.
    """
    gold = labels[labels["partition"] == partition]
    table = join_labels(predictions, gold)
    figures = {
        "comparison": comparison_dots(comparison, partition),
        "affect_plane": affect_plane(table),
        **_extremes(predictions, gold, table, partition, shown_videos),
    }
    if history is not None and len(history):
        figures["learning_curve"] = learning_curve(history)
    if events is not None and len(events) and has_modality_gates(predictions):
        chosen = list(clips) if clips is not None else _clips(table, events)
        inside = predictions[predictions["clip"].isin(gold["clip"].unique())]
        figures["gates"] = gates_beside_events(inside, events, chosen)
        if len(gate_auroc(inside, events)):
            figures["gate_distribution"] = gate_distribution(inside, events)
    return figures


def analysis_figures(
    calibration: pd.DataFrame,
    regions: pd.DataFrame,
    quadrants: pd.DataFrame,
    event_response: pd.DataFrame,
    config: AnalysisConfig,
) -> dict[str, Figure]:
    """The figures of `iaca.evaluation.analysis`, by the slots of `report.FIGURES`; none of an empty table."""
    figures = {}
    if len(calibration):
        figures["calibration"] = calibration_plot(calibration)
    if len(regions):
        figures["regions"] = region_plot(regions, config)
    if len(quadrants):
        figures["quadrants"] = quadrant_plot(quadrants, config)
    if len(event_response):
        figures["event_response"] = response_plot(event_response)
    return figures


def _extremes(
    predictions: pd.DataFrame, gold: pd.DataFrame, table: pd.DataFrame, partition: str, shown: int
) -> dict[str, Figure]:
    """Traces of the clips that agree best and worst."""
    figures = {}
    ends = best_and_worst(video_table(predictions, gold), partition, shown)
    for name, videos in zip(("best", "worst"), ends, strict=True):
        if len(videos):
            first = videos.iloc[0]
            finding = f"{name.capitalize()} agreement: {first['clip']}, mean CCC {first['ccc_mean']:.2f}"
            figures[f"{name}_traces"] = traces(table, list(videos["clip"]), finding)
    return figures


def _clips(table: pd.DataFrame, events: pd.DataFrame | None, shown: int = 3) -> list[str]:
    """Clips with both an annotation and a prediction, those with an event first, then by name."""
    usable = table.dropna(subset=["valence_gold", "valence"])["clip"].unique()
    eventful = set() if events is None else set(events["clip"])
    return sorted(map(str, usable), key=lambda clip: (clip not in eventful, clip))[:shown]
