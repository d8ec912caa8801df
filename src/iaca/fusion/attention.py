"""The pluggable cross-attentions by name. Each maps (x_a, x_v, masks) to the cross-attended pair, (b, t, d) both ways.

A new variant is one module with that signature, one entry here, and its name in `FusionConfig.attention`.
"""

from __future__ import annotations

from torch import nn

from iaca.fusion.cross import CrossAttention, MultiHeadCrossAttention
from iaca.fusion.joint import JointAttention

ATTENTION: dict[str, type[nn.Module]] = {
    "ca": CrossAttention,
    "jca": JointAttention,
    "jca_fixed": JointAttention,
    "rjca": JointAttention,
    "mha": MultiHeadCrossAttention,
}
