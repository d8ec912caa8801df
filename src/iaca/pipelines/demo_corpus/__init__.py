"""The embedded demo corpus."""

from iaca.pipelines.demo_corpus.pipeline import create_pipeline

__all__ = ["create_pipeline"]
