"""Prediction on any video: `Predictor`, and what is drawn of its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iaca.inference.config import InferenceConfig

if TYPE_CHECKING:
    from iaca.inference.predictor import Analysis, Predictor

__all__ = ["Analysis", "InferenceConfig", "Predictor"]


def __getattr__(name: str) -> Any:
    """Import torch only when a predictor is asked for."""
    if name == "Analysis":
        from iaca.inference.predictor import Analysis

        return Analysis
    if name == "Predictor":
        from iaca.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
