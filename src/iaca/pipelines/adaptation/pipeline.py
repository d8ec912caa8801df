"""Adapt the zero-shot model to annotated clips."""

from kedro.pipeline import Node, Pipeline

from iaca.inference.adaptation import adapt_model
from iaca.pipelines.training.pipeline import from_corpus


def create_pipeline() -> Pipeline:
    """From an annotated corpus to an adapted model and its scores on held-out subjects.

    corpus -> ingestion, preprocessing, embedding -> clips, embeddings, timelines, corpus_card
    clips, embeddings, timelines, corpus_card -> [adapt] -> adapted_model, adaptation_scores

    `--tags adaptation` runs only the last node, on existing embeddings.
    """
    return from_corpus(
        Pipeline(
            [
                Node(
                    adapt_model,
                    ["clips", "embeddings", "timelines", "corpus_card", "params:adaptation"],
                    ["adapted_model", "adaptation_scores"],
                    name="adapt_model",
                )
            ],
            tags=["model", "adaptation"],
        )
    )
