"""From a corpus on disk to clips and timelines."""

from iaca.pipelines.ingestion.pipeline import create_features_pipeline, create_folder_pipeline, create_pipeline

__all__ = ["create_features_pipeline", "create_folder_pipeline", "create_pipeline"]
