"""Predict the evaluated partitions, score them, and look for what fails."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iaca.encoders import read_embedding
from iaca.engine import ClipPaths
from iaca.evaluation.analysis.calibration import calibration
from iaca.evaluation.analysis.event_response import event_response
from iaca.evaluation.analysis.event_scores import event_scores
from iaca.evaluation.analysis.failures import Results, failures
from iaca.evaluation.analysis.quadrants import quadrant_confusion
from iaca.evaluation.analysis.regions import region_errors
from iaca.evaluation.config import EvaluationConfig
from iaca.evaluation.events import gate_auroc
from iaca.evaluation.metrics import join_labels
from iaca.evaluation.postprocess import postprocessing_table
from iaca.evaluation.tables import comparison, headline, video_table
from iaca.pipelines.training.nodes import MAIN
from iaca.training import BuiltModel, TrainedModel, load_model, predict_clip, prediction_table
from iaca.training.choice import ModelChoice


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
    """The same for each baseline, by name."""
    return {
        run: predict_partitions(load_model(training_runs.whole(run)), embeddings, training_index, config)
        for run in training_runs
        if run != MAIN
    }


def score_models(
    predictions: pd.DataFrame,
    baselines: dict[str, Any],
    labels: pd.DataFrame,
    fusion: ModelChoice,
    config: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """The comparison with intervals, every video by itself, the main model's metrics, and its headline."""
    scored = labels[labels["partition"].isin(config.partitions)]
    tables = _by_name(predictions, baselines, fusion)
    table = comparison(tables, scored, replicates=config.replicates, seed=config.seed)
    metrics = headline(table)
    short = {k: v for k, v in metrics.items() if k.endswith(("_ccc_valence", "_ccc_arousal", "_ccc_mean"))}
    return table, video_table(predictions, scored), metrics, short


def score_postprocessing(predictions: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig) -> pd.DataFrame:
    """What smoothing would change in the main model's scores, beside the headline."""
    scored = labels[labels["partition"].isin(config.partitions)]
    return postprocessing_table(predictions, scored, config.postprocessing, config.replicates, config.seed)


def score_gates(
    predictions: pd.DataFrame, events: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """How well the gate across modalities tells the corrupted one, per kind of event, in the shown partition."""
    shown = labels.loc[labels["partition"] == config.shown, "clip"].unique()
    return gate_auroc(predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)])


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
    """How the gates answer to events, and every model within them, in the shown partition."""
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
    """What fails, by rules, from the tables on disk."""
    return failures(Results(comparison, videos, regions, quadrants, event_scores, config.shown, config.analysis))


def _by_name(main: pd.DataFrame, baselines: dict[str, Any], fusion: ModelChoice) -> dict[str, pd.DataFrame]:
    """Predictions of every model, the main one first."""
    name = fusion.preset if not fusion.changes else f"{fusion.preset} (changed)"
    return {name: main, **{other: load() for other, load in sorted(baselines.items()) if other != name}}
