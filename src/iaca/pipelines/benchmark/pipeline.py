"""Compare models over seeds and corruptions, on the cached embeddings."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.benchmark.nodes import (
    compare_models,
    draw_benchmark,
    plan_runs,
    plan_scores,
    plan_scores_of_features,
    write_page,
)
from iaca.pipelines.benchmark.signal import plan_spoilt

FIGURES = ["benchmark_summary_figure", "benchmark_differences_figure"]
SCORING = ["training_index", "events", "params:training", "params:benchmark"]


def create_pipeline(signal: bool = True) -> Pipeline:
    """Embeddings to a table of models x seeds x corruptions. What is done when it is stopped is not done again.

    embeddings, training_index -> [train] -> benchmark_runs ----\\
    embeddings, faces, audio -> [spoil] -> spoilt_embeddings ----> [score] -> benchmark_scores
    embeddings, events -----------------------------------------/
    benchmark_scores -> [compare] -> benchmark_results, benchmark_summary, benchmark_gates
    benchmark_summary, benchmark_gates -> [draw], [write] -> benchmark_*_figure, benchmark_page

    Args:
        signal: False for a corpus that has neither sound nor faces, of which nothing can be spoilt.
    """
    training, benchmark = "params:training", "params:benchmark"
    written = ["benchmark_summary", "benchmark_gates", "training_index", "corpus_card", training, benchmark]
    return Pipeline(
        [
            Node(
                plan_runs,
                ["embeddings", "training_index", "corpus_card", "checkpoints", training, benchmark],
                "benchmark_runs",
                name="train_benchmark",
            ),
            *(_scoring_of_media() if signal else _scoring_of_features()),
            Node(
                compare_models,
                ["benchmark_scores", benchmark],
                ["benchmark_results", "benchmark_summary", "benchmark_gates"],
                name="compare_models",
            ),
            Node(draw_benchmark, ["benchmark_summary", benchmark], FIGURES, name="draw_benchmark"),
            Node(
                write_page,
                [*written, "spoilt_embeddings"] if signal else written,
                "benchmark_page",
                name="write_benchmark",
            ),
        ],
        tags="benchmark",
    )


def _scoring_of_media() -> list[Node]:
    media = ["embeddings", "faces", "audio", "clips", "training_index", "params:embedding", "params:benchmark"]
    return [
        Node(plan_spoilt, media, "spoilt_embeddings", name="spoil_signal"),
        Node(
            plan_scores,
            ["benchmark_runs", "embeddings", "spoilt_embeddings", *SCORING],
            "benchmark_scores",
            name="score_benchmark",
        ),
    ]


def _scoring_of_features() -> list[Node]:
    inputs = ["benchmark_runs", "embeddings", *SCORING]
    return [Node(plan_scores_of_features, inputs, "benchmark_scores", name="score_benchmark")]
