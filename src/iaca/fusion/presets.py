"""The named members of the family: what a table of models lists, each as its difference from the default.

The `_paper` members are the published settings as far as they are known (`docs/reference/models.md` gives the sources),
kept for comparison: width 512, heavy dropout, gates that saturate, and in most of them a length in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from iaca.errors import InputError
from iaca.fusion.config import FusionConfig
from iaca.fusion.registry import GATES

_PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {"width": 512, "dropout": 0.6, "normalisation": "none", "locality": False}
)
_SPANS: Mapping[str, Any] = MappingProxyType(  # 16 spans of 32 frames each, read one after the other
    {**_PUBLISHED, "input_norm": "l2", "temporal": "lstm", "temporal_layers": 1, "attention": "jca_fixed", "length": 16,
     "context": "lstm", "head": "separate"}
)  # fmt: skip
_PUBLISHED_GATE: Mapping[str, Any] = MappingProxyType({"temperature": 0.1, "gate_init": "default"})

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # baselines
        "audio": {"modalities": ("audio",)},
        "visual": {"modalities": ("visual",)},
        "concat": {"attention": "none"},
        "lfan": {"attention": "lfan", "gate": "none"},
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
        "iaca_plus": {"gate": "iaca_plus"},
        # published settings
        "jca_paper": {**_SPANS, "gate": "none", "layers": 1},
        "rjca_paper": {**_SPANS, "gate": "none"},
        "dca_paper": {**_SPANS, **_PUBLISHED_GATE, "gate": "dca"},
        "iaca_paper": {**_PUBLISHED, **_PUBLISHED_GATE, "input_norm": "l2", "attention": "ca"},
        "grjca_paper": {
            **_PUBLISHED,
            **_PUBLISHED_GATE,
            "attention": "jca_fixed",
            "length": 300,
            "stage1_source": "raw",
            "stage2": "hierarchical",
        },
    }
)


def preset(name: str, audio_dim: int, visual_dim: int, cues: tuple[str, ...] = (), **changes: Any) -> FusionConfig:
    """The configuration of a named model, `changes` on top.

    Args:
        name: in `PRESETS`.
        audio_dim, visual_dim: widths of the embeddings.
        cues: names of the quality cues that the embeddings come with; a model that reads none is not given any.
        changes: fields of `FusionConfig`.

    Raises:
        InputError: there is no model of that name.
        pydantic.ValidationError: the changes clash with the model.
    """
    if name not in PRESETS:
        raise InputError(f"there is no model named {name!r}", remedy=f"choose one of {', '.join(PRESETS)}")
    fields = {**PRESETS[name], **changes}
    if cues and (gate := GATES.get(fields.get("gate", ""))) and gate.reliability:
        fields = {"cues": cues, **fields}
    return FusionConfig(audio_dim=audio_dim, visual_dim=visual_dim, **fields)
