"""From embeddings to a fusion model."""

from iaca.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
