"""Every pipeline under its own name; `__default__` runs from the demo corpus to the report."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from iaca.pipelines import demo_corpus, embedding, evaluation, inference, ingestion, preprocessing, training


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by name, in the order in which they chain."""
    chain = {
        "demo_corpus": demo_corpus.create_pipeline(),
        "ingestion": ingestion.create_pipeline(),
        "preprocessing": preprocessing.create_pipeline(),
        "embedding": embedding.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
    }
    return {**chain, "inference": inference.create_pipeline(), "__default__": sum(chain.values(), Pipeline([]))}
