"""Draw the results, and put them into a page and a card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from iaca.evaluation.benchmark.found import BenchmarkFound
from iaca.evaluation.config import EvaluationConfig
from iaca.evaluation.figures import analysis_figures, report_figures
from iaca.evaluation.report import FIGURES, ReportData, render_report
from iaca.evaluation.report.card import CardData, render_card
from iaca.evaluation.report.provenance import origins
from iaca.evaluation.style import new_figure
from iaca.faces.config import FaceConfig
from iaca.pipelines.training.nodes import MAIN
from iaca.training import TrainedModel
from iaca.training.settings import KEY, training_settings_of

FIGURE = "_figure"
SCORE_FIGURES = (
    "comparison", "learning_curve", "affect_plane", "best_traces", "worst_traces", "gates", "gate_distribution",
)  # fmt: skip
ANALYSIS_FIGURES = ("calibration", "regions", "quadrants", "event_response")


def draw_figures(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    comparison: pd.DataFrame,
    events: pd.DataFrame,
    history: pd.DataFrame,
    config: EvaluationConfig,
) -> dict[str, Figure]:
    """The figures of scores, traces and gates, by the names of the pipeline's outputs."""
    history = history[history["model"] == MAIN]
    listed = config.analysis.listed
    return _all_of(
        SCORE_FIGURES,
        report_figures(predictions, labels, comparison, config.shown, events, history, shown_videos=listed),
    )


def draw_analysis(
    calibration: pd.DataFrame,
    regions: pd.DataFrame,
    quadrants: pd.DataFrame,
    event_response: pd.DataFrame,
    config: EvaluationConfig,
) -> dict[str, Figure]:
    """The figures of the analysis, by the names of the pipeline's outputs."""
    drawn = analysis_figures(calibration, regions, quadrants, event_response, config.analysis)
    return _all_of(ANALYSIS_FIGURES, drawn)


def write_report(
    model: TrainedModel,
    benchmark: BenchmarkFound,
    faces: FaceConfig,
    config: EvaluationConfig,
    **found: Any,
) -> tuple[str, str]:
    """The self-contained HTML page and the model card, of the same tables.

    Args:
        model: the main model.
        benchmark: what an earlier one left; shown where it is of the same corpus.
        faces, config: of the run.
        found: every other table of `ReportData` by its name, and pictures by `<slot>_figure`.
    """
    pictures = {name.removesuffix(FIGURE): picture for name, picture in found.items() if name.endswith(FIGURE)}
    tables = {name: table for name, table in found.items() if not name.endswith(FIGURE)}
    metadata = model.metadata
    parameters = sum(weight.numel() for weight in model.weights.values())
    data = ReportData(
        title=f"{config.title}: {metadata['corpus']}",
        partition=config.shown,
        benchmark=benchmark.of(metadata["corpus"]),
        analysis=config.analysis,
        figures=pictures,
        facts={"weights": parameters, **model_facts(model)},
        note=metadata["caveat"],
        **tables,
    )
    card = CardData(data, metadata["corpus"], metadata["preset"], origins(metadata, faces), parameters)
    return render_report(data), render_card(card)


def model_facts(model: TrainedModel) -> dict[str, object]:
    """What a model file says of itself: architecture, origin, and the settings of its training as `training.NAME`."""
    known = {name: value for name, value in model.metadata.items() if name not in ("history", "caveat", KEY)}
    settings = {f"{KEY}.{name}": value for name, value in training_settings_of(model).items()}
    return {**model.config.model_dump(mode="json", exclude_none=True), **known, **settings}


def _all_of(slots: Sequence[str], drawn: dict[str, Figure]) -> dict[str, Figure]:
    """A picture for every slot: the catalog holds all of them, and what could not be drawn says so."""
    missing = "Not drawn: the data or the model hold nothing to show here"
    return {
        slot + FIGURE: drawn[slot] if slot in drawn else new_figure(8, 1, FIGURES[slot].title, missing)
        for slot in slots
    }
