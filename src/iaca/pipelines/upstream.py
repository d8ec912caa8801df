"""What the pipelines that begin at a corpus have in common."""

from kedro.pipeline import Pipeline

from iaca.pipelines import embedding, ingestion, preprocessing, training


def from_corpus(pipeline: Pipeline) -> Pipeline:
    """A pipeline and before it all that makes its inputs from the corpus: what is up to date is not made again."""
    parts = (ingestion, preprocessing, embedding, training)
    upstream = sum((part.create_pipeline() for part in parts), Pipeline([]))
    return upstream.to_outputs(*sorted(pipeline.inputs() & upstream.all_outputs())) + pipeline
