"""From clips to aligned faces and 16 kHz sound."""

from iaca.pipelines.preprocessing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
