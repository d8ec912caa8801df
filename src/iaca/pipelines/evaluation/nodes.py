"""Predict the evaluated partitions, score them, and look for what fails.

Draw the results, and put them into a page and a card.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from iaca.encoders import read_embedding
from iaca.engine import ClipPaths
from iaca.evaluation.benchmark_page import BenchmarkFound
from iaca.evaluation.certainty import coverage, coverage_metrics, inconsistency_auroc
from iaca.evaluation.config import EvaluationConfig
from iaca.evaluation.errors import Results, calibration, failures, quadrant_confusion, region_errors
from iaca.evaluation.events import event_response, event_scores, gate_auroc
from iaca.evaluation.figures import analysis_figures, report_figures
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.model_card import CardData, origins, render_card
from iaca.evaluation.report import FIGURES, ReportData, render_report
from iaca.evaluation.style import new_figure
from iaca.evaluation.tables import comparison, headline, postprocessing_table, video_table
from iaca.faces.config import FaceConfig
from iaca.pipelines.training.nodes import MAIN
from iaca.training.choice import ModelChoice
from iaca.training.model_file import SETTINGS_KEY, TrainedModel, load_model, training_settings_of
from iaca.training.predict import BuiltModel, predict_clip, prediction_table


def predict_partitions(
    model: TrainedModel, embeddings: ClipPaths, training_index: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """Predictions of one model for every clip of the evaluated partitions, one row per decoded frame."""
    built = BuiltModel.of(model)
    clips = training_index.loc[training_index["partition"].isin(config.partitions), "clip"]
    tables = []
    for clip in clips:
        embedding = read_embedding(embeddings.whole(clip))
        prediction = predict_clip(built, embedding)
        tables.append(prediction_table(clip, embedding, prediction, built.model.gate_labels))
    return pd.concat(tables, ignore_index=True)


def predict_baselines(
    training_runs: ClipPaths, embeddings: ClipPaths, training_index: pd.DataFrame, config: EvaluationConfig
) -> dict[str, pd.DataFrame]:
    """The predictions of each baseline, by name."""
    return {
        run: predict_partitions(load_model(training_runs.whole(run)), embeddings, training_index, config)
        for run in training_runs
        if run != MAIN
    }


def score_models(
    predictions: pd.DataFrame,
    baselines: dict[str, Any],
    labels: pd.DataFrame,
    training_index: pd.DataFrame,
    coverage: pd.DataFrame,
    fusion: ModelChoice,
    config: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """The comparison with intervals, every video by itself, the main model's metrics, and its headline."""
    scored = labels[labels["partition"].isin(config.partitions)]
    tables = _by_name(predictions, baselines, fusion)
    subjects = _subjects(training_index)
    table = comparison(tables, scored, replicates=config.replicates, seed=config.seed, subjects=subjects)
    metrics, covered = headline(table), coverage_metrics(coverage)
    short = {k: v for k, v in metrics.items() if k.endswith(("_ccc_valence", "_ccc_arousal", "_ccc_mean"))}
    return table, video_table(predictions, scored), metrics | covered, short | covered


def score_postprocessing(
    predictions: pd.DataFrame, labels: pd.DataFrame, training_index: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """What smoothing would change in the main model's scores."""
    scored = labels[labels["partition"].isin(config.partitions)]
    subjects = _subjects(training_index)
    return postprocessing_table(predictions, scored, config.postprocessing, config.replicates, config.seed, subjects)


def _subjects(training_index: pd.DataFrame) -> dict[str, str]:
    return dict(zip(training_index["clip"], training_index["subject"], strict=True))


def score_gates(
    predictions: pd.DataFrame, events: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """How well the gate across modalities detects the corrupted one, per kind of event, in the shown partition."""
    shown = labels.loc[labels["partition"] == config.shown, "clip"].unique()
    return gate_auroc(predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)])


def score_certainty(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    events: pd.DataFrame,
    training_index: pd.DataFrame,
    config: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coverage of the intervals; and how well inconsistency detects events, in the shown partition."""
    scored = labels[labels["partition"].isin(config.partitions)]
    subjects = _subjects(training_index)
    covered = coverage(predictions, scored, events, config.shown, subjects, config.replicates, config.seed)
    shown = labels.loc[labels["partition"] == config.shown, "clip"].unique()
    inside, known = predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)]
    return covered, inconsistency_auroc(inside, known, config.replicates, config.seed)


def analyse_errors(
    predictions: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Calibration, error by region of the plane and confusion of quadrants, in the shown partition."""
    table = join_labels(predictions, labels[labels["partition"] == config.shown])
    settings = config.analysis
    return calibration(table, settings), region_errors(table, settings), quadrant_confusion(table, settings)


def analyse_events(
    predictions: pd.DataFrame,
    baselines: dict[str, Any],
    labels: pd.DataFrame,
    events: pd.DataFrame,
    fusion: ModelChoice,
    config: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How the gates respond to events, and how every model scores within them, in the shown partition."""
    gold = labels[labels["partition"] == config.shown]
    shown = gold["clip"].unique()
    inside, known = predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)]
    scores = event_scores(_by_name(predictions, baselines, fusion), gold, known, config.replicates, config.seed)
    return event_response(inside, known, config.analysis), scores


def find_failures(
    comparison: pd.DataFrame,
    videos: pd.DataFrame,
    regions: pd.DataFrame,
    quadrants: pd.DataFrame,
    event_scores: pd.DataFrame,
    config: EvaluationConfig,
) -> pd.DataFrame:
    """What fails, found by rules from the tables."""
    return failures(Results(comparison, videos, regions, quadrants, event_scores, config.shown, config.analysis))


def _by_name(main: pd.DataFrame, baselines: dict[str, Any], fusion: ModelChoice) -> dict[str, pd.DataFrame]:
    """Predictions of every model, the main one first."""
    name = fusion.preset if not fusion.changes else f"{fusion.preset} (changed)"
    return {name: main, **{other: load() for other, load in sorted(baselines.items()) if other != name}}


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
    """The facts in a model file: architecture, origin, its calibration as `calibration.NAME`, and the settings of its
    training as `training.NAME`."""
    calibrated = {} if model.calibration is None else model.calibration.facts
    known = {name: value for name, value in model.metadata.items() if name not in ("history", "caveat", SETTINGS_KEY)}
    settings = {f"{SETTINGS_KEY}.{name}": value for name, value in training_settings_of(model).items()}
    known |= {f"calibration.{name}": fact for name, fact in calibrated.items()}
    return {**model.config.model_dump(mode="json", exclude_none=True), **known, **settings}


def _all_of(slots: Sequence[str], drawn: dict[str, Figure]) -> dict[str, Figure]:
    """A picture for every slot: the catalog holds all of them, and what could not be drawn says so."""
    missing = "Not drawn: the data or the model hold nothing to show here"
    return {
        slot + FIGURE: drawn[slot] if slot in drawn else new_figure(8, 1, FIGURES[slot].title, missing)
        for slot in slots
    }
