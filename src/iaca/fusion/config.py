"""What a fusion model is made of. Free of torch, so that parameters are checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from iaca.fusion.registry import ATTENTION, GATES, TEMPORAL, Part
from iaca.parameters import MODALITIES, Modality, Parameters

NONE = "none"
_ABSENT = Part("")


def _default_attention(given: dict[str, Any]) -> str:
    return "jca" if len(given.get("modalities", MODALITIES)) == 2 else NONE


def _default_gate(given: dict[str, Any]) -> str:
    return NONE if given.get("attention") == NONE else "iaca"


def _default_stage2(given: dict[str, Any]) -> Literal["modalities", "none"]:
    return "modalities" if GATES.get(str(given.get("gate")), _ABSENT).stage2 else "none"


def _default_repair(given: dict[str, Any]) -> bool:
    return GATES.get(str(given.get("gate")), _ABSENT).reliability


class FusionConfig(Parameters):
    """Architecture of a fusion model; the defaults are what the project's study measured best.

    Fields that do not apply take the value that says so: one modality alone has no attention and no gate, no attention
    (concatenation) has no gate, and only `iaca` and `iaca_plus` have a second stage. Asking for them explicitly is
    refused.

    Attributes:
        audio_dim, visual_dim: width of the cached embeddings, D_a and D_v.
        modalities: what the model listens to; one of them alone is a unimodal baseline.
        width: model width d.
        input_norm: `l2` brings each embedding to unit length before anything else [sibling: DCA].
        temporal: per-modality encoder over time [paper: TCN]; `none` leaves each step by itself.
        temporal_layers, kernel: its depth, and the odd kernel of the TCN (steps; dilation doubles per layer).
        normalisation: of each step before attention: LayerNorm [ours], unit length [sibling], or none.
        attention: `ca` [paper], `jca` (free of length) [ours], `jca_fixed`, `rjca` [sibling], `mha`, `lfan`, or `none`.
        layers: stacked layers of `rjca` and `jca_fixed`; the others have one.
        length: steps per sequence, baked into the weights of `jca_fixed`, and of it alone.
        heads: of `mha`, of the temporal transformer, of the self-attention and, with `locality`, of `jca` and `rjca`;
            must divide `width`.
        locality: joint and self-attention prefer near steps, by a slope learned per head [ours].
        gate: `none` concatenates, `dca` [sibling], `iaca` [paper], `iaca_plus` [ours].
        stage1_source: what stage 1 weighs against the cross-attended features: self-attended ones, or the raw ones.
        stage2: of `iaca`: gate across the modalities, a second gate within each of them, or none.
        repair: fill gaps from what was observed around them, before the temporal encoder; on in `iaca_plus` [ours].
        cues: names of the per-step quality cues that `iaca_plus` reads, in the order of `forward`'s `quality`.
        temperature: T of every gate; published: 0.1.
        gate_init: `zero` starts every gate undecided; `default` is torch's, which saturates at T = 0.1.
        context: over the fused features, before the head: a BiLSTM [sibling: DCA], or none.
        head: `joint` predicts valence and arousal from one hidden layer, `separate` from one each [sibling: DCA].
        dropout: probability, in every residual branch and in the head.
    """

    audio_dim: int = Field(ge=1, le=65536)
    visual_dim: int = Field(ge=1, le=65536)
    modalities: tuple[Modality, ...] = MODALITIES
    width: int = Field(default=128, ge=1, le=4096)
    input_norm: Literal["none", "l2"] = "none"
    temporal: str = "tcn"
    temporal_layers: int = Field(default=3, ge=1, le=16)
    kernel: int = Field(default=5, ge=1, le=129)
    normalisation: Literal["layer", "l2", "none"] = "layer"
    attention: str = Field(default_factory=_default_attention)
    layers: int = Field(default=2, ge=1, le=16)
    length: int | None = Field(default=None, ge=1, le=8192)
    heads: int = Field(default=4, ge=1, le=64)
    locality: bool = True
    gate: str = Field(default_factory=_default_gate)
    stage1_source: Literal["self", "raw"] = "self"
    stage2: Literal["modalities", "hierarchical", "none"] = Field(default_factory=_default_stage2)
    repair: bool = Field(default_factory=_default_repair)
    cues: tuple[str, ...] = Field(default=(), max_length=64)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gate_init: Literal["zero", "default"] = "zero"
    context: Literal["none", "lstm"] = "none"
    head: Literal["joint", "separate"] = "joint"
    dropout: float = Field(default=0.2, ge=0, lt=1)

    @field_validator("temporal", "attention", "gate")
    @classmethod
    def _known(cls, name: str, info: Any) -> str:
        registry: Mapping[str, Part] = {"temporal": TEMPORAL, "attention": ATTENTION, "gate": GATES}[info.field_name]
        if name != NONE and name not in registry:
            choices = ", ".join(dict.fromkeys((NONE, *registry)))
            raise ValueError(f"there is no {info.field_name} named {name!r}; choose one of {choices}")
        return name

    @field_validator("modalities")
    @classmethod
    def _in_canonical_order(cls, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if not modalities or len(set(modalities)) < len(modalities):
            raise ValueError(f"modalities must be audio, visual, or both, each once; got {list(modalities)}")
        return tuple(m for m in MODALITIES if m in modalities)

    @model_validator(mode="after")
    def _refuse_clashes(self) -> Self:
        clashes = [message for clash, message in (*self._clashing_parts(), *self._clashing_sizes()) if clash]
        if clashes:
            raise ValueError("; ".join(clashes))
        return self

    def _clashing_parts(self) -> list[tuple[bool, str]]:
        alone, attention, gate = len(self.modalities) == 1, f"attention={self.attention!r}", f"gate={self.gate!r}"
        part = GATES.get(self.gate, _ABSENT)
        raw, cues = self.stage1_source == "raw", f"cues={list(self.cues)}"
        return [
            (alone and self.attention != NONE, f"{attention} needs both, but modalities={list(self.modalities)}"),
            (self.gate != NONE and self.attention == NONE, f"{gate} weighs attended features, but {attention}"),
            (self.stage2 != "none" and not part.stage2, f"stage2={self.stage2!r} is a part of iaca, but {gate}"),
            (self.gate == NONE and raw, f"stage1_source='raw' feeds a gate, but {gate}"),
            (bool(self.cues) and not part.reliability, f"{cues} are read by iaca_plus, but {gate}"),
            (len(set(self.cues)) < len(self.cues), f"{cues} name one cue twice"),
        ]

    def _clashing_sizes(self) -> list[tuple[bool, str]]:
        fixed = ATTENTION.get(self.attention, _ABSENT).length
        temporal, odd = TEMPORAL[self.temporal], self.width % 2 == 1
        encoder, width, heads = f"temporal={self.temporal!r}", f"width={self.width}", f"heads={self.heads}"
        return [
            (
                fixed and self.length is None,
                f"attention={self.attention!r} has the steps in its weights, but length is not given",
            ),
            (
                not fixed and self.length is not None,
                f"length={self.length} is for jca_fixed, not attention={self.attention!r}",
            ),
            (temporal.halves and odd, f"{encoder} halves the width, but {width} is odd"),
            (self.context == "lstm" and odd, f"context='lstm' halves the width, but {width} is odd"),
            (
                temporal.odd_kernel and self.kernel % 2 == 0,
                f"{encoder} is centred, but kernel={self.kernel} is even",
            ),
            (self.uses_heads and self.width % self.heads > 0, f"{heads} does not divide {width}"),
        ]

    @property
    def self_attends(self) -> bool:
        """Whether self-attended features are made: stage 1 of `iaca`, unless it is told to weigh raw ones."""
        return GATES.get(self.gate, _ABSENT).own_features and self.stage1_source == "self"

    @property
    def learns_reliability(self) -> bool:
        """Whether how far each modality is trusted is learned."""
        return GATES.get(self.gate, _ABSENT).reliability

    @property
    def uses_heads(self) -> bool:
        """Whether any part has several attention heads."""
        parts = (TEMPORAL[self.temporal], ATTENTION.get(self.attention, _ABSENT))
        return self.self_attends or any(part.heads for part in parts)

    @property
    def dims(self) -> dict[Modality, int]:
        """Embedding width of each modality, whether or not the model listens to it."""
        return {"audio": self.audio_dim, "visual": self.visual_dim}
