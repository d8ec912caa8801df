"""What the injected corruption teaches the judgement of `iaca_plus`: training knows which modality it spoilt [ours].

Only the judgement, which explains. What the model does about it is left to the loss: a gate that was told to turn away
from whatever is spoilt threw away what still helped (docs/engineering/experiments.md).

Letters: b batch, t steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from iaca.modalities import MODALITIES

RARE = 0.05  # share of the observed steps below which a class no longer weighs a half


def gate_supervision(gates: Mapping[str, Tensor], corrupted: Tensor, present: Tensor, padding: Tensor) -> Tensor:
    """How far the judgements `reliability_audio` and `reliability_visual` are from what is known of the corruption.

    Cross-entropy of (trusted, doubted), clean and corrupted observed steps weighing a half each; the mean over the
    modalities that have such a gate.

    Args:
        gates: of a `FusionOutput`, (b, t, 2) each.
        corrupted: (b, t, 2) bool (audio, visual), of a `Sample`.
        present: (b, t, 2) bool (audio, visual), True where that modality was observed.
        padding: (b, t) bool, True where the step exists.

    Returns:
        Scalar >= 0, float32 or better. Where no step qualifies: exactly zero, with a gradient of zeros.
    """
    observed = present & padding[..., None]  # (b, t, 2)
    corrupted = corrupted & observed
    supervised = [(gates[f"reliability_{m}"], i) for i, m in enumerate(MODALITIES) if f"reliability_{m}" in gates]
    terms = [_balanced_cross_entropy(gate, corrupted[..., i], observed[..., i]) for gate, i in supervised]
    return torch.stack(terms).mean() if terms else torch.zeros((), device=corrupted.device)


def _balanced_cross_entropy(weights: Tensor, corrupted: Tensor, observed: Tensor) -> Tensor:
    """Cross-entropy of (trusted, doubted) (b, t, 2) against corruption (b, t), both classes weighing the same.

    A class that has less than `RARE` of the observed steps weighs less in proportion: a few steps never steer a batch.
    """
    loss = _negative_log(weights)  # (b, t, 2)
    fewest = RARE * observed.sum()
    halves = [
        torch.where(steps, loss[..., i], 0.0).sum() / torch.maximum(steps.sum(), fewest).clamp(min=1.0)
        for i, steps in enumerate((observed & ~corrupted, corrupted))
    ]
    return torch.stack(halves).mean()


def _negative_log(weights: Tensor) -> Tensor:
    """-log of weights in float32 or better, finite for a weight of zero."""
    exact = weights.to(torch.promote_types(weights.dtype, torch.float32))
    return -exact.clamp(min=torch.finfo(torch.float32).tiny).log()
