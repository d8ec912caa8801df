"""Training of fusion models, their files, and their predictions.

The function `train` lives in the module of its name: `from iaca.training.train import train`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from iaca.training.config import CorruptionConfig, LossConfig, TrainingConfig

if TYPE_CHECKING:
    from iaca.training.loss import ccc_loss
    from iaca.training.model_file import TrainedModel, load_model, save_model
    from iaca.training.predict import BuiltModel, ClipPrediction, predict_clip, prediction_table

__all__ = [
    "BuiltModel",
    "ClipPrediction",
    "CorruptionConfig",
    "LossConfig",
    "TrainedModel",
    "TrainingConfig",
    "ccc_loss",
    "load_model",
    "predict_clip",
    "prediction_table",
    "save_model",
]

_HOMES = {
    "loss": ("ccc_loss",),
    "model_file": ("TrainedModel", "load_model", "save_model"),
    "predict": ("BuiltModel", "ClipPrediction", "predict_clip", "prediction_table"),
}


def __getattr__(name: str) -> Any:
    """Import torch and Lightning only when something of theirs is asked for."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"iaca.training.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
