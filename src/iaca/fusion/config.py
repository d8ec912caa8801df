"""What a fusion model is made of. Free of torch, so that parameters are checked before anything heavy is imported."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from iaca.config import Parameters

Modality = Literal["audio", "visual"]
MODALITIES: tuple[Modality, ...] = ("audio", "visual")


def _default_attention(given: dict[str, Any]) -> Literal["jca", "none"]:
    return "jca" if len(given.get("modalities", MODALITIES)) == 2 else "none"


def _default_gate(given: dict[str, Any]) -> Literal["iaca", "none"]:
    return "none" if given.get("attention") == "none" else "iaca"


def _default_stage2(given: dict[str, Any]) -> Literal["modalities", "none"]:
    return "modalities" if given.get("gate") == "iaca" else "none"


class FusionConfig(Parameters):
    """Architecture of a fusion model; the defaults are what the project's study measured best.

    Fields that do not apply take the value that says so: one modality alone has no attention and no gate, no attention
    (concatenation) has no gate, and only `iaca` has a second stage. Asking for them explicitly is refused.

    Attributes:
        audio_dim, visual_dim: width of the cached embeddings, D_a and D_v.
        modalities: what the model listens to; one of them alone is a unimodal baseline.
        width: model width d.
        temporal: per-modality encoder over time [paper: TCN]; `none` leaves each step by itself.
        temporal_layers, kernel: its depth, and the odd kernel of the TCN (steps; dilation doubles per layer).
        normalisation: of each step before attention: LayerNorm [ours], unit length [sibling], or none.
        attention: `ca` [paper], `jca` (free of length) [ours], `jca_fixed`, `rjca` [sibling], `mha`, or `none`.
        layers: stacked layers of `rjca` and `jca_fixed`; the others have one.
        length: steps per sequence, baked into the weights of `jca_fixed`, and of it alone.
        heads: attention heads of `mha`, of the temporal transformer and of the self-attention; must divide `width`.
        gate: `none` concatenates, `dca` [sibling], `iaca` [paper].
        stage1_source: what `iaca` weighs against the cross-attended features: self-attended ones, or the raw ones.
        stage2: of `iaca`: gate across the modalities, a second gate within each of them, or none.
        temperature: T of every gate; published: 0.1.
        gate_init: `zero` starts every gate undecided; `default` is torch's, which saturates at T = 0.1.
        dropout: probability, in every residual branch and in the head.
    """

    audio_dim: int = Field(ge=1, le=65536)
    visual_dim: int = Field(ge=1, le=65536)
    modalities: tuple[Modality, ...] = MODALITIES
    width: int = Field(default=128, ge=1, le=4096)
    temporal: Literal["tcn", "lstm", "transformer", "none"] = "tcn"
    temporal_layers: int = Field(default=3, ge=1, le=16)
    kernel: int = Field(default=5, ge=1, le=129)
    normalisation: Literal["layer", "l2", "none"] = "layer"
    attention: Literal["none", "ca", "jca", "jca_fixed", "rjca", "mha"] = Field(default_factory=_default_attention)
    layers: int = Field(default=2, ge=1, le=16)
    length: int | None = Field(default=None, ge=1, le=8192)
    heads: int = Field(default=4, ge=1, le=64)
    gate: Literal["none", "dca", "iaca"] = Field(default_factory=_default_gate)
    stage1_source: Literal["self", "raw"] = "self"
    stage2: Literal["modalities", "hierarchical", "none"] = Field(default_factory=_default_stage2)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gate_init: Literal["zero", "default"] = "zero"
    dropout: float = Field(default=0.2, ge=0, lt=1)

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
        return [
            (alone and self.attention != "none", f"{attention} needs both, but modalities={list(self.modalities)}"),
            (self.gate != "none" and self.attention == "none", f"{gate} weighs attended features, but {attention}"),
            (self.gate != "iaca" and self.stage2 != "none", f"stage2={self.stage2!r} is a part of iaca, but {gate}"),
            (self.gate == "none" and self.stage1_source != "self", f"stage1_source='raw' feeds a gate, but {gate}"),
        ]

    def _clashing_sizes(self) -> list[tuple[bool, str]]:
        fixed, temporal, width = self.attention == "jca_fixed", f"temporal={self.temporal!r}", f"width={self.width}"
        return [
            (
                fixed and self.length is None,
                "attention='jca_fixed' has the steps in its weights, but length is not given",
            ),
            (
                not fixed and self.length is not None,
                f"length={self.length} is for jca_fixed, not attention={self.attention!r}",
            ),
            (self.temporal == "lstm" and self.width % 2 == 1, f"{temporal} halves the width, but {width} is odd"),
            (
                self.temporal == "tcn" and self.kernel % 2 == 0,
                f"{temporal} is centred, but kernel={self.kernel} is even",
            ),
            (self.uses_heads and self.width % self.heads > 0, f"heads={self.heads} does not divide {width}"),
        ]

    @property
    def self_attends(self) -> bool:
        """Whether self-attended features are made: stage 1 of `iaca`, unless it is told to weigh raw ones."""
        return self.gate == "iaca" and self.stage1_source == "self"

    @property
    def uses_heads(self) -> bool:
        """Whether any part has several attention heads."""
        return self.temporal == "transformer" or self.attention == "mha" or self.self_attends

    @property
    def dims(self) -> dict[Modality, int]:
        """Embedding width of each modality, whether or not the model listens to it."""
        return {"audio": self.audio_dim, "visual": self.visual_dim}
