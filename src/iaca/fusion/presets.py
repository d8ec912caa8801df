"""The named members of the family: what a table of models lists, each as its difference from the default."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from iaca.errors import InputError
from iaca.fusion.config import FusionConfig

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # baselines
        "audio": {"modalities": ("audio",)},
        "visual": {"modalities": ("visual",)},
        "concat": {"attention": "none"},
        # attention without gates
        "ca": {"attention": "ca", "gate": "none"},
        "jca": {"attention": "jca", "gate": "none"},
        "rjca": {"attention": "rjca", "gate": "none"},
        "mha": {"attention": "mha", "gate": "none"},
        # gated
        "dca": {"attention": "ca", "gate": "dca"},
        "iaca": {},
        "iaca_ca": {"attention": "ca"},
        "iaca_rjca": {"attention": "rjca"},
        # the published setting, kept for comparison: its gates saturate
        "iaca_paper": {"attention": "ca", "temperature": 0.1, "gate_init": "default", "normalisation": "l2"},
    }
)


def preset(name: str, audio_dim: int, visual_dim: int, **changes: Any) -> FusionConfig:
    """The configuration of a named model, `changes` on top.

    Raises:
        InputError: there is no model of that name.
        pydantic.ValidationError: the changes clash with the model.
    """
    if name not in PRESETS:
        raise InputError(f"there is no model named {name!r}", remedy=f"choose one of {', '.join(PRESETS)}")
    return FusionConfig(audio_dim=audio_dim, visual_dim=visual_dim, **{**PRESETS[name], **changes})
