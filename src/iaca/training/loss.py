"""The concordance correlation coefficient as a loss, pooled over all valid steps of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from iaca.errors import InputError

EPSILON = 1e-8  # keeps 0/0 of two constants at 0, with a finite gradient


def concordance(prediction: Tensor, gold: Tensor, valid: Tensor) -> Tensor:
    """CCC = 2 cov / (var_x + var_y + (mean_x - mean_y)^2), with biased (N) moments [Lin, 1989].

    Args:
        prediction, gold: (..., 2) valence, arousal; anything, NaN included, where not valid.
        valid: (...) bool, the steps that count, all taken as one sequence.

    Returns:
        (2,) in [-1, 1], float32 or better under any autocast; 0 for constants and where nothing is valid.

    Raises:
        InputError: shapes that do not fit each other.
    """
    if prediction.shape != gold.shape or prediction.shape[:-1] != valid.shape:
        shapes = f"prediction {tuple(prediction.shape)}, gold {tuple(gold.shape)}, valid {tuple(valid.shape)}"
        raise InputError(f"the shapes do not fit each other: {shapes}")
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    counts = valid.bool()[..., None]  # (..., 1)
    x = torch.where(counts, prediction.to(dtype), 0.0).flatten(0, -2)  # (n, 2); where() lets no gradient through
    y = torch.where(counts, gold.to(dtype), 0.0).flatten(0, -2)
    weight = counts.to(dtype).flatten(0, -2)  # (n, 1)
    total = weight.sum().clamp(min=1.0)
    mean_x, mean_y = x.sum(0) / total, y.sum(0) / total  # (2,)
    dx, dy = (x - mean_x) * weight, (y - mean_y) * weight  # (n, 2), centred first: float32 keeps its digits
    covariance, spread = (dx * dy).sum(0) / total, (dx.square() + dy.square()).sum(0) / total
    return 2 * covariance / (spread + (mean_x - mean_y).square() + EPSILON)


def ccc_loss(prediction: Tensor, gold: Tensor, valid: Tensor) -> Tensor:
    """1 - CCC, the mean over valence and arousal, each pooled over all valid steps of the batch.

    Args:
        prediction, gold: (b, t, 2) valence, arousal.
        valid: (b, t) bool. Other steps have exactly zero gradient, whatever stands there.

    Returns:
        Scalar in [0, 2]. Finite, with a finite gradient, on constant targets too.

    Raises:
        InputError: shapes that do not fit each other.
    """
    return (1.0 - concordance(prediction, gold, valid)).mean()
