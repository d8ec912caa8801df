"""Embed faces and sound, one step per decoded frame."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.embedding.nodes import plan_embeddings


def create_pipeline() -> Pipeline:
    """From faces, sound and timelines to one safetensors file per clip. A corpus of features supplies its own tables.

    faces, audio, timelines, or corpus, clips -> [plan embeddings] -> embeddings

    Run when a dataset is saved: `embeddings` embeds each clip that is new or has changed.
    """
    inputs = ["faces", "audio", "timelines", "params:embedding", "params:ingestion", "corpus", "clips"]
    inputs.append("params:encoders")
    return Pipeline([Node(plan_embeddings, inputs, "embeddings", name="plan_embeddings-embedded_on_save")], tags="data")
