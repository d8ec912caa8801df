"""Filling the gaps: what a modality would be at a step, from what was observed of it around that step [ours].

Letters: b batch, t steps, d width, n reaches, m a modality, r_m how far it counts (its presence, or its reliability).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iaca.fusion.config import FusionConfig
from iaca.fusion.masks import Masks

REACHES = (3.0, 10.0, 30.0, 100.0)  # steps, at the start
HIDDEN = 16
FAINT = 1e-3  # of a step's weight: what is known from less than that is nothing
DOUBT = -1.0  # logit of the token at the start: believe the neighbours


class Repair(nn.Module):
    """Normalised convolution (Knutsson and Westin, CVPR 1993) of each modality over what was observed of it.

    E_i = K_i (r x) / (K_i r),  K_i[s, u] = exp(-|s - u| / reach_i)                 an estimate for each of n reaches
    w = softmax(MLP[log K_1 r, ..., log K_n r])                                     over the estimates and the token
    x <- r x + (1 - r) (w_0 token + sum_i w_i E_i);   r <- r + (1 - r) (1 - w_0)

    Near the edge of a gap the neighbours are as good as the step itself, in the middle of a long one they say little:
    how fast, the data decide. What is filled in counts in every key and gate as far as it does not rest on the token.
    Without it the temporal encoder meets tokens at every gap, and a stream of which every second step is missing looks
    like no stream at all.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.fill = nn.ModuleDict({m: Fill() for m in config.modalities})

    def forward(
        self, embedded: dict[str, Tensor], tokens: dict[str, Tensor], masks: Masks
    ) -> tuple[dict[str, Tensor], Masks]:
        """Projected embeddings (b, t, d) and the absent token (d,) per modality -> both, repaired."""
        repaired, known = dict(embedded), {}
        for m, fill in self.fill.items():
            repaired[m], known[m] = fill(embedded[m], tokens[m], masks.of(m))
            known[m] = known[m] * masks.steps
        return repaired, replace(masks, **known)


class Fill(nn.Module):
    """The repair of one modality."""

    def __init__(self) -> None:
        super().__init__()
        n = len(REACHES)
        self.rate = nn.Parameter(torch.tensor([math.log(math.expm1(1.0 / reach)) for reach in REACHES]))
        choice = nn.Linear(HIDDEN, 1 + n)  # the token, and each reach
        with torch.no_grad():
            choice.bias.copy_(torch.tensor([DOUBT] + n * [0.0]))
        self.judge = nn.Sequential(nn.Linear(n, HIDDEN), nn.ReLU(), choice)

    def forward(self, x: Tensor, token: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """x (b, t, d), token (d,), presence (b, t) -> x and presence, repaired."""
        there = presence.to(x.dtype)  # r (b, t)
        kernel = self._kernel(x)  # K (n, t, t)
        mass = (there @ kernel).permute(1, 2, 0)  # K_i r (b, t, n)
        weights = torch.softmax(self.judge((mass + FAINT).log()), dim=-1)  # w (b, t, 1 + n)
        shares = weights[..., 1:] / (mass + FAINT)  # (b, t, n)
        taken = (shares.transpose(0, 1) @ kernel.transpose(0, 1)).transpose(0, 1)  # sum_i w_i K_i / K_i r (b, t, t)
        filled = weights[..., :1] * token + (taken * there[:, None]) @ x  # (b, t, d)
        known = presence + (1.0 - presence) * (1.0 - weights[..., 0]).to(presence.dtype)
        return there[..., None] * x + (1.0 - there[..., None]) * filled, known

    def _kernel(self, x: Tensor) -> Tensor:
        """How much a reach counts a step at each distance, (n, t, t)."""
        steps = torch.arange(x.shape[1], device=x.device)
        distance = (steps[:, None] - steps[None]).abs().to(self.rate.dtype)  # (t, t)
        return torch.exp(-F.softplus(self.rate)[:, None, None] * distance).to(x.dtype)
