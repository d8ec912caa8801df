"""From any video to its valence and arousal."""

from iaca.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
