"""The parts of a model by name, and what the configuration must know of each before anything heavy is imported.

A new temporal encoder, cross-attention or gate is one module with a class and one line here (docs/guide/extending.md).
Every class is built as `Class(config)`. Letters: b batch, t steps, d width, k ways of a gate.

temporal    forward(x (b, t, d), presence (b, t), masks) -> (b, t, d)
attention   forward(x_a (b, t, d), x_v (b, t, d), masks) -> cross-attended pair, (b, t, d) twice
gate        forward(raw, crossed, masks) -> fused features, weights;  `labels`: what the k weights of each gate weigh
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        home: `module:Class`, imported when a model is built.
        heads: it splits the width into `FusionConfig.heads`.
        halves: it splits the width in two.
        odd_kernel: it is centred on a step, by a kernel of odd length.
        length: the number of steps is in its weights.
        stage2: of a gate: it has a second stage.
        own_features: of a gate: stage 1 weighs self-attended features, or raw ones where it is told to.
        reliability: of a gate: how far each modality is trusted is learned, from the features and quality cues.
    """

    home: str
    heads: bool = False
    halves: bool = False
    odd_kernel: bool = False
    length: bool = False
    stage2: bool = False
    own_features: bool = False
    reliability: bool = False

    def build(self, config: Any) -> Any:
        """An instance for a `FusionConfig`."""
        module, name = self.home.split(":")
        return getattr(import_module(module), name)(config)


TEMPORAL: dict[str, Part] = {
    "tcn": Part("iaca.fusion.temporal:TemporalConvolution", odd_kernel=True),
    "lstm": Part("iaca.fusion.temporal:BidirectionalLSTM", halves=True),
    "transformer": Part("iaca.fusion.temporal:TemporalTransformer", heads=True),
    "none": Part("iaca.fusion.temporal:NoTemporal"),
}

ATTENTION: dict[str, Part] = {
    "ca": Part("iaca.fusion.cross:CrossAttention"),
    "jca": Part("iaca.fusion.joint:JointAttention", heads=True),
    "jca_fixed": Part("iaca.fusion.joint:JointAttention", length=True),
    "rjca": Part("iaca.fusion.joint:JointAttention", heads=True),
    "mha": Part("iaca.fusion.cross:MultiHeadCrossAttention", heads=True),
    "lfan": Part("iaca.fusion.leader:LeaderFollower"),
}

GATES: dict[str, Part] = {
    "dca": Part("iaca.fusion.gates:Gating"),
    "iaca": Part("iaca.fusion.gates:Gating", stage2=True, own_features=True),
    "iaca_plus": Part("iaca.fusion.gates:Gating", stage2=True, own_features=True, reliability=True),
}
