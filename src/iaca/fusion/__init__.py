"""Fusion models of the cross-attention family: the reference implementation of IACA and its relatives.

Read `model.py` first, then in the order of the data: `temporal.py`, `attention.py`, `gates.py`, `iaca_plus.py`.
`config.py` says what a model is made of and names the members of the family.
"""

from iaca.fusion.config import PRESETS, FusionConfig, preset
from iaca.fusion.model import FusionModel, FusionOutput

__all__ = ["PRESETS", "FusionConfig", "FusionModel", "FusionOutput", "preset"]
