"""Compare models over seeds and corruptions, on the cached embeddings."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.benchmark.nodes import (
    compare_models,
    draw_benchmark,
    plan_corrupted_embeddings,
    plan_runs,
    plan_scores,
    write_comparison,
    write_page,
)
from iaca.pipelines.training.pipeline import from_corpus

TRAINING, BENCHMARK, INGESTION = "params:training", "params:benchmark", "params:ingestion"


def create_pipeline() -> Pipeline:
    """From a corpus to a table of models x seeds x corruptions. An interrupted run continues where it stopped.

    corpus -> ingestion, preprocessing, embedding -> embeddings, timelines, faces, audio, clips, events
    embeddings, timelines, clips -> [index steps] -> training_index
    embeddings, timelines, training_index -> [plan runs] -> benchmark_runs \\
    embeddings, faces, audio -> [plan corrupted] -> spoilt_embeddings ------> [plan scores] -> benchmark_scores
    embeddings, timelines, events ------------------------------------------/
    benchmark_scores -> [compare] -> benchmark_results, benchmark_summary, benchmark_gates, benchmark_certainty
    benchmark_summary, benchmark_gates, benchmark_certainty -> [draw], [write] -> benchmark_*_figure, benchmark_page
    benchmark_results -> [write comparison] -> paper_comparison, paper_latex, paper_figure

    Run when a dataset is saved, unless it is up to date: `benchmark_runs` trains each model with each seed,
    `spoilt_embeddings` corrupts sound and faces and embeds them again, `benchmark_scores` scores each run.

    `--tags benchmark` runs only the nodes of the benchmark, on existing embeddings.
    """
    return from_corpus(Pipeline([*_computing(), *_reporting()], tags="benchmark"))


def _computing() -> list[Node]:
    return [
        Node(
            plan_runs,
            ["embeddings", "timelines", "training_index", "corpus_card", "checkpoints", TRAINING, BENCHMARK],
            "benchmark_runs",
            name="plan_benchmark_runs-trained_on_save",
        ),
        Node(
            plan_corrupted_embeddings,
            {
                **_named("embeddings", "faces", "audio", "clips", "training_index"),
                "embedding": "params:embedding",
                "benchmark": BENCHMARK,
                "ingestion": INGESTION,
            },
            "spoilt_embeddings",
            name="plan_corrupted-embedded_on_save",
        ),
        Node(
            plan_scores,
            {
                "runs": "benchmark_runs",
                "corrupted": "spoilt_embeddings",
                **_named("embeddings", "timelines", "training_index", "events"),
                "training": TRAINING,
                "benchmark": BENCHMARK,
                "ingestion": INGESTION,
            },
            "benchmark_scores",
            name="plan_benchmark_scores-scored_on_save",
        ),
    ]


def _named(*datasets: str) -> dict[str, str]:
    """Datasets whose names are those of the function's arguments."""
    return {dataset: dataset for dataset in datasets}


def _reporting() -> list[Node]:
    tables = ["benchmark_summary", "benchmark_gates", "benchmark_certainty", "training_index", "corpus_card"]
    return [
        Node(
            compare_models,
            ["benchmark_scores", "training_index", BENCHMARK],
            ["benchmark_results", "benchmark_summary", "benchmark_gates", "benchmark_certainty"],
            name="compare_models",
        ),
        Node(
            draw_benchmark,
            ["benchmark_summary", BENCHMARK],
            ["benchmark_summary_figure", "benchmark_differences_figure"],
            name="draw_benchmark",
        ),
        Node(
            write_comparison,
            ["benchmark_results", "training_index", "corpus_card", BENCHMARK],
            ["paper_comparison", "paper_latex", "paper_figure"],
            name="write_comparison",
        ),
        Node(write_page, [*tables, TRAINING, BENCHMARK, "spoilt_embeddings"], "benchmark_page", name="write_benchmark"),
    ]
