"""Fusion models of the cross-attention family: the reference implementation of IACA and its relatives.

Read `model.py` first; then `streams.py`, `cross.py` and `joint.py`, `gates.py`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from iaca.fusion.config import FusionConfig
from iaca.fusion.presets import PRESETS, preset

if TYPE_CHECKING:
    from iaca.fusion.model import FusionModel, FusionOutput

__all__ = ["PRESETS", "FusionConfig", "FusionModel", "FusionOutput", "preset"]


def __getattr__(name: str) -> Any:
    """Import torch only when a model is asked for: configurations are read much more often than models are built."""
    if name in {"FusionModel", "FusionOutput"}:
        return getattr(import_module("iaca.fusion.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
