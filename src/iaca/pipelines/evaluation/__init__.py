"""From models to predictions, metrics and the report."""

from iaca.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
