"""From any video to its valence and arousal over time. Importing this package loads no torch."""

from iaca.inference.config import InferenceConfig
from iaca.inference.predictor import Analysis, Predictor

__all__ = ["Analysis", "InferenceConfig", "Predictor"]
