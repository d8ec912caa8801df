"""From embeddings to a comparison of models over seeds and corruptions."""

from iaca.pipelines.benchmark.pipeline import create_pipeline

__all__ = ["create_pipeline"]
