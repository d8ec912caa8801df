"""Predict the evaluated partitions, score them, and show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from iaca.engine import ClipPaths
from iaca.evaluation.config import EvaluationConfig
from iaca.pipelines.training.nodes import MAIN
from iaca.training.choice import ModelChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iaca.training import TrainedModel
else:  # Kedro reads these annotations at run time, to find typed parameters; torch is not imported for that
    Figure = TrainedModel = Any


def predict_partitions(
    model: TrainedModel, embeddings: ClipPaths, training_index: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """Predictions of one model for every clip of the evaluated partitions, one row per decoded frame."""
    from iaca.encoders import read_embedding
    from iaca.training import BuiltModel, predict_clip, prediction_table

    built = BuiltModel.of(model)
    clips = training_index.loc[training_index["partition"].isin(config.partitions), "clip"]
    tables = []
    for clip in clips:
        embedding = read_embedding(embeddings[clip])
        prediction = predict_clip(built, embedding)
        tables.append(prediction_table(clip, embedding, prediction, built.model.gate_labels))
    return pd.concat(tables, ignore_index=True)


def predict_baselines(
    training_runs: ClipPaths, embeddings: ClipPaths, training_index: pd.DataFrame, config: EvaluationConfig
) -> dict[str, pd.DataFrame]:
    """The same for each baseline, by name."""
    from iaca.training import load_model

    return {
        run: predict_partitions(load_model(path), embeddings, training_index, config)
        for run, path in training_runs.items()
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
    from iaca.evaluation.tables import comparison, headline, video_table

    scored = labels[labels["partition"].isin(config.partitions)]
    main = fusion.preset if not fusion.changes else f"{fusion.preset} (changed)"
    others = {name: load() for name, load in sorted(baselines.items()) if name != main}
    tables = {main: predictions, **others}
    table = comparison(tables, scored, replicates=config.replicates, seed=config.seed)
    metrics = headline(table)
    short = {k: v for k, v in metrics.items() if k.endswith(("_ccc_valence", "_ccc_arousal", "_ccc_mean"))}
    return table, video_table(predictions, scored), metrics, short


def score_postprocessing(predictions: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig) -> pd.DataFrame:
    """What smoothing would change in the main model's scores, beside the headline."""
    from iaca.evaluation.postprocess import postprocessing_table

    scored = labels[labels["partition"].isin(config.partitions)]
    return postprocessing_table(predictions, scored, config.postprocessing, config.replicates, config.seed)


def score_gates(
    predictions: pd.DataFrame, events: pd.DataFrame, labels: pd.DataFrame, config: EvaluationConfig
) -> pd.DataFrame:
    """How well the gate across modalities tells the corrupted one, per kind of event, in the shown partition."""
    from iaca.evaluation.events import gate_auroc

    shown = labels.loc[labels["partition"] == config.shown, "clip"].unique()
    return gate_auroc(predictions[predictions["clip"].isin(shown)], events[events["clip"].isin(shown)])


def draw_figures(
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    comparison: pd.DataFrame,
    events: pd.DataFrame,
    history: pd.DataFrame,
    config: EvaluationConfig,
) -> tuple[Figure, ...]:
    """Every figure of the report, in the order of the pipeline's outputs."""
    from iaca.evaluation.figures import report_figures
    from iaca.evaluation.report import FIGURES
    from iaca.evaluation.style import new_figure

    history = history[history["model"] == MAIN]
    drawn = report_figures(predictions, labels, comparison, config.shown, events, history)
    missing = "Not drawn: needs ground-truth events and a model with gates across modalities"
    return tuple(drawn.get(name) or new_figure(8, 1, FIGURES[name][0], missing) for name in FIGURES)


def write_report(
    comparison: pd.DataFrame,
    summary: pd.DataFrame,
    problems: pd.DataFrame,
    videos: pd.DataFrame,
    gates: pd.DataFrame,
    model: TrainedModel,
    config: EvaluationConfig,
    **figures: bytes,
) -> str:
    """The self-contained HTML page."""
    from iaca.evaluation.report import ReportData, render_report

    return render_report(
        ReportData(
            title=f"{config.title}: {model.metadata['corpus']}",
            comparison=comparison,
            corpus=summary,
            videos=videos,
            partition=config.shown,
            problems=problems,
            gate_auroc=gates,
            figures={name.removesuffix("_figure"): picture for name, picture in figures.items()},
            facts={
                **model.config.model_dump(mode="json", exclude_none=True),
                **{name: value for name, value in model.metadata.items() if name not in ("history", "caveat")},
            },
            note=model.metadata["caveat"],
        )
    )
