"""Predict, score, draw, report."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.evaluation.nodes import (
    draw_figures,
    predict_baselines,
    predict_partitions,
    score_gates,
    score_models,
    score_postprocessing,
    write_report,
)

FIGURES = ("comparison", "learning_curve", "affect_plane", "traces", "gates", "gate_distribution")


def create_pipeline() -> Pipeline:
    """Models to the report.

    model, embeddings           -> [predict] -> predictions ----------\\
    training_runs, embeddings   -> [predict] -> baseline_predictions --> [score] -> comparison, per_video, metrics
    predictions, labels         -> [score postprocessing] -> postprocessing
    predictions, events         -> [score gates] -> gate_scores
    all of them                 -> [draw] -> *_figure -> [report] -> report
    """
    config = "params:evaluation"
    figures = [f"{name}_figure" for name in FIGURES]
    return Pipeline(
        [
            Node(
                predict_partitions,
                ["model", "embeddings", "training_index", config],
                "predictions",
                name="predict_partitions",
            ),
            Node(
                predict_baselines,
                ["training_runs", "embeddings", "training_index", config],
                "baseline_predictions",
                name="predict_baselines",
            ),
            Node(
                score_models,
                ["predictions", "baseline_predictions", "labels", "params:fusion", config],
                ["comparison", "per_video", "metrics", "headline"],
                name="score_models",
            ),
            Node(
                score_postprocessing,
                ["predictions", "labels", config],
                "postprocessing",
                name="score_postprocessing",
            ),
            Node(score_gates, ["predictions", "events", "labels", config], "gate_scores", name="score_gates"),
            Node(
                draw_figures,
                ["predictions", "labels", "comparison", "events", "history", config],
                figures,
                name="draw_figures",
            ),
            Node(
                write_report,
                {
                    "comparison": "comparison",
                    "summary": "corpus_summary",
                    "problems": "ingestion_problems",
                    "videos": "per_video",
                    "gates": "gate_scores",
                    "model": "model",
                    "config": config,
                    **{name: name for name in figures},
                },
                "report",
                name="write_report",
            ),
        ],
        tags="report",
    )
