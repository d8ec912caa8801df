"""Adapt the zero-shot model to annotated clips."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.adaptation.nodes import adapt_model


def create_pipeline() -> Pipeline:
    """Embeddings with annotations to an adapted model and its scores on subjects left out.

    clips, embeddings, corpus_card -> [adapt] -> adapted_model, adaptation_scores
    """
    return Pipeline(
        [
            Node(
                adapt_model,
                ["clips", "embeddings", "corpus_card", "params:adaptation"],
                ["adapted_model", "adaptation_scores"],
                name="adapt_model",
            )
        ],
        tags="model",
    )
