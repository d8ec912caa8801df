"""Predict, score, analyse, draw, report."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.evaluation.nodes import (
    ANALYSIS_FIGURES,
    FIGURE,
    SCORE_FIGURES,
    analyse_errors,
    analyse_events,
    draw_analysis,
    draw_figures,
    find_failures,
    predict_baselines,
    predict_partitions,
    score_certainty,
    score_gates,
    score_models,
    score_postprocessing,
    score_tasks,
    write_report,
)

CONFIG = "params:evaluation"


def create_pipeline() -> Pipeline:
    """From models to the report.

    model, embeddings           -> [predict] -> predictions ----------\\
    baseline_models, embeddings -> [predict] -> baseline_predictions --> [score] -> comparison, per_video, metrics
    predictions, labels         -> [score postprocessing] -> postprocessing
    predictions, labels         -> [score tasks] -> multitask
    predictions, events         -> [score gates] -> gate_scores
    predictions, labels, events -> [score certainty] -> coverage, inconsistency_scores
    predictions, labels, events -> [analyse] -> calibration, regions, quadrants, event_response, event_scores
    those, comparison           -> [find failures] -> failures_found
    all of them                 -> [draw] -> *_figure -> [report] -> report, model_card

    No dataset runs tasks when it is saved: each node does its own work. `--tags report` writes the page again, as after
    a benchmark, `--tags evaluation` does all the rest.
    """
    numbers = Pipeline([*_predicting(), *_scoring(), *_drawing()], tags="evaluation")
    return numbers + Pipeline([_report()], tags="report")


def _predicting() -> list[Node]:
    inputs = ["embeddings", "training_index", CONFIG]
    return [
        Node(predict_partitions, ["model", *inputs], "predictions", name="predict_partitions"),
        Node(
            predict_baselines,
            ["model", "baseline_models", *inputs],
            "baseline_predictions",
            name="predict_baselines",
        ),
    ]


def _scoring() -> list[Node]:
    tables = ["comparison", "per_video", "regions", "quadrants", "event_scores"]
    return [
        Node(
            score_models,
            ["model", "predictions", "baseline_predictions", "labels", "training_index", "coverage", CONFIG],
            ["comparison", "per_video", "metrics", "headline"],
            name="score_models",
        ),
        Node(
            score_postprocessing,
            ["predictions", "labels", "training_index", CONFIG],
            "postprocessing",
            name="score_postprocessing",
        ),
        Node(
            score_tasks, ["model", "predictions", "labels", "training_index", CONFIG], "multitask", name="score_tasks"
        ),
        Node(score_gates, ["predictions", "events", "labels", CONFIG], "gate_scores", name="score_gates"),
        Node(
            score_certainty,
            ["predictions", "labels", "events", "training_index", CONFIG],
            ["coverage", "inconsistency_scores"],
            name="score_certainty",
        ),
        Node(
            analyse_errors,
            ["predictions", "labels", CONFIG],
            ["calibration", "regions", "quadrants"],
            name="analyse_errors",
        ),
        Node(
            analyse_events,
            ["predictions", "baseline_predictions", "labels", "events", "training_index", CONFIG],
            ["event_response", "event_scores"],
            name="analyse_events",
        ),
        Node(find_failures, [*tables, CONFIG], "failures_found", name="find_failures"),
    ]


def _drawing() -> list[Node]:
    return [
        Node(
            draw_figures,
            ["model", "predictions", "labels", "comparison", "events", CONFIG],
            _named(SCORE_FIGURES),
            name="draw_figures",
        ),
        Node(
            draw_analysis,
            ["calibration", "regions", "quadrants", "event_response", CONFIG],
            _named(ANALYSIS_FIGURES),
            name="draw_analysis",
        ),
    ]


def _report() -> Node:
    tables = (
        "comparison", "calibration", "regions", "quadrants", "event_response", "event_scores", "postprocessing",
        "multitask",
    )  # fmt: skip
    return Node(
        write_report,
        {
            "model": "model",
            "predictions": "predictions",
            "benchmark": "benchmark_found",
            "faces": "params:faces",
            "config": CONFIG,
            "corpus": "corpus_summary",
            "problems": "ingestion_problems",
            "videos": "per_video",
            "gate_auroc": "gate_scores",
            "coverage": "coverage",
            "inconsistency": "inconsistency_scores",
            "failures": "failures_found",
            **{name: name for name in tables},
            **_named((*SCORE_FIGURES, *ANALYSIS_FIGURES)),
        },
        ["report", "model_card"],
        name="write_report",
    )


def _named(slots: tuple[str, ...]) -> dict[str, str]:
    return {slot + FIGURE: slot + FIGURE for slot in slots}
