"""From a corpus on disk to clips and timelines."""

from iaca.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
