"""Embed faces and sound, one step per decoded frame."""

from kedro.pipeline import Node, Pipeline

from iaca.pipelines.embedding.nodes import plan_embeddings


def create_pipeline() -> Pipeline:
    """Faces, sound and timelines to one safetensors file per clip.

    faces, audio, timelines -> [embed clips] -> embeddings
    """
    inputs = ["faces", "audio", "timelines", "params:embedding"]
    return Pipeline([Node(plan_embeddings, inputs, "embeddings", name="embed_clips")], tags="data")
