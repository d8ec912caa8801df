"""Adapt the zero-shot model to annotated clips."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.adaptation.nodes import adapt_model
from iaca.pipelines.training.pipeline import from_corpus


def create_pipeline() -> Pipeline:
    """A corpus with annotations to an adapted model and its scores on subjects left out.

    corpus -> ingestion, preprocessing, embedding -> clips, embeddings, timelines, corpus_card
    clips, embeddings, timelines, corpus_card -> [adapt] -> adapted_model, adaptation_scores

    The last node alone, on embeddings that are there: `--tags adaptation`.
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
