"""Compare models over seeds and corruptions, on the cached embeddings."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.benchmark.nodes import (
    compare_models,
    draw_benchmark,
    plan_runs,
    plan_scores,
    plan_spoilt,
    write_page,
)
from iaca.pipelines.upstream import from_corpus

TRAINING, BENCHMARK, INGESTION = "params:training", "params:benchmark", "params:ingestion"


def create_pipeline() -> Pipeline:
    """A corpus to a table of models x seeds x corruptions. What is done when it is stopped is not done again.

    corpus -> ingestion, preprocessing, embedding -> embeddings, timelines, faces, audio, clips, events
    embeddings, timelines, clips -> [index steps] -> training_index
    embeddings, timelines, training_index -> [plan runs] -> benchmark_runs \\
    embeddings, faces, audio -> [plan spoilt] -> spoilt_embeddings ---------> [plan scores] -> benchmark_scores
    embeddings, timelines, events ------------------------------------------/
    benchmark_scores -> [compare] -> benchmark_results, benchmark_summary, benchmark_gates, benchmark_certainty
    benchmark_summary, benchmark_gates, benchmark_certainty -> [draw], [write] -> benchmark_*_figure, benchmark_page

    Run when a dataset is saved, where it is not up to date: `benchmark_runs` trains each model with each seed,
    `spoilt_embeddings` corrupts sound and faces and embeds them again, `benchmark_scores` scores each run.

    The nodes of the benchmark alone, on embeddings that are there: `--tags benchmark`.
    """
    return from_corpus(Pipeline([*_making(), *_telling()], tags="benchmark"))


def _making() -> list[Node]:
    media = ["faces", "audio", "clips", "training_index", "params:embedding", BENCHMARK, INGESTION]
    return [
        Node(
            plan_runs,
            ["embeddings", "timelines", "training_index", "corpus_card", "checkpoints", TRAINING, BENCHMARK],
            "benchmark_runs",
            name="plan_benchmark_runs-trained_on_save",
        ),
        Node(plan_spoilt, ["embeddings", *media], "spoilt_embeddings", name="plan_spoilt-embedded_on_save"),
        Node(
            plan_scores,
            [
                "benchmark_runs", "embeddings", "timelines", "spoilt_embeddings", "training_index", "events",
                TRAINING, BENCHMARK, INGESTION,
            ],
            "benchmark_scores",
            name="plan_benchmark_scores-scored_on_save",
        ),
    ]  # fmt: skip


def _telling() -> list[Node]:
    tables = ["benchmark_summary", "benchmark_gates", "benchmark_certainty", "training_index", "corpus_card"]
    return [
        Node(
            compare_models,
            ["benchmark_scores", BENCHMARK],
            ["benchmark_results", "benchmark_summary", "benchmark_gates", "benchmark_certainty"],
            name="compare_models",
        ),
        Node(
            draw_benchmark,
            ["benchmark_summary", BENCHMARK],
            ["benchmark_summary_figure", "benchmark_differences_figure"],
            name="draw_benchmark",
        ),
        Node(write_page, [*tables, TRAINING, BENCHMARK, "spoilt_embeddings"], "benchmark_page", name="write_benchmark"),
    ]
