"""From a few annotated videos to a corrected zero-shot model."""

from iaca.pipelines.adaptation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
