"""Compare models over seeds and corruptions, on the cached embeddings."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.benchmark.nodes import compare_models, draw_benchmark, plan_runs, plan_scores, write_page

FIGURES = ["benchmark_summary_figure", "benchmark_differences_figure"]


def create_pipeline() -> Pipeline:
    """Embeddings to a table of models x seeds x corruptions. What is done when it is stopped is not done again.

    embeddings, training_index -> [train] -> benchmark_runs ----\\
    embeddings, events ------------------------------------------> [score] -> benchmark_scores
    benchmark_scores -> [compare] -> benchmark_results, benchmark_summary, benchmark_gates
    benchmark_summary, benchmark_gates -> [draw], [write] -> benchmark_*_figure, benchmark_page
    """
    training, benchmark = "params:training", "params:benchmark"
    return Pipeline(
        [
            Node(
                plan_runs,
                ["embeddings", "training_index", "corpus_card", "checkpoints", training, benchmark],
                "benchmark_runs",
                name="train_benchmark",
            ),
            Node(
                plan_scores,
                ["benchmark_runs", "embeddings", "training_index", "events", training, benchmark],
                "benchmark_scores",
                name="score_benchmark",
            ),
            Node(
                compare_models,
                ["benchmark_scores", benchmark],
                ["benchmark_results", "benchmark_summary", "benchmark_gates"],
                name="compare_models",
            ),
            Node(draw_benchmark, ["benchmark_summary", benchmark], FIGURES, name="draw_benchmark"),
            Node(
                write_page,
                ["benchmark_summary", "benchmark_gates", "training_index", "corpus_card", training, benchmark],
                "benchmark_page",
                name="write_benchmark",
            ),
        ],
        tags="benchmark",
    )
