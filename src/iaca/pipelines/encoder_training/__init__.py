"""Fine-tune an encoder on the train partition."""

from iaca.pipelines.encoder_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
