"""From faces and sound to embeddings."""

from iaca.pipelines.embedding.pipeline import create_pipeline

__all__ = ["create_pipeline"]
