"""Leader-follower attention over modality tokens: a baseline of the field without gates.

Letters: b batch, t steps, d width, k = 2 modality tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iaca.fusion.config import FusionConfig
from iaca.fusion.dropout import ChannelDropout
from iaca.fusion.masks import Masks, log_presence


class LeaderFollower(nn.Module):
    """`lfan` [the field's baseline; form ours, after its description]: the face leads, the voice follows.

    At each step the modalities are k tokens X = [x_a, x_v] (k x d) that attend to each other:
    Y = softmax((X W_q)(X W_k)^T / sqrt(d) + log p) X W_v;  c_a = W_o [y_a ; y_v], what the team says;  c_v = x_v, the
    leader's own features. Both are concatenated before the head. Steps are independent: time is the encoder's matter.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        d = config.width
        self.to_qkv = nn.ModuleDict({m: nn.Linear(d, 3 * d) for m in config.modalities})
        self.out = nn.Linear(2 * d, d)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x_a: Tensor, x_v: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        """(b, t, d) twice -> (b, t, d) twice: the team's features, the leader's."""
        tokens = torch.stack([self.to_qkv["audio"](x_a), self.to_qkv["visual"](x_v)], dim=2)  # (b, t, k, 3d)
        query, key, value = tokens.chunk(3, dim=-1)  # (b, t, k, d)
        presence = torch.stack([log_presence(masks.audio), log_presence(masks.visual)], dim=-1)  # (b, t, k)
        scores = query @ key.transpose(-1, -2) / x_a.shape[-1] ** 0.5 + presence[..., None, :]  # (b, t, k, k)
        attended = torch.softmax(scores, dim=-1) @ value  # (b, t, k, d)
        return self.dropout(self.out(attended.flatten(2))), x_v
