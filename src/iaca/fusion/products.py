"""Products with what is pointwise around them put into a small matrix, where it costs nothing.

Letters: b batch, t steps, d and e widths.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def affine(layer: nn.Module, x: Tensor, of_weight: float, of_bias: float) -> Tensor:
    """x (of_weight W) + of_bias b, W and b being those of a `torch.nn.Linear`: (b, t, d) -> (b, t, e)."""
    weight, bias = layer.parameters()
    return F.linear(x, weight * of_weight, bias * of_bias)


def mixed(layer: nn.Module, x: Tensor, scale: float) -> Tensor:
    """scale (X^T W + b)^T, a map over time: (b, t, d) -> (b, t, d). From the left, so that X is not transposed."""
    weight, bias = (parameter * scale for parameter in layer.parameters())  # (t, t), (t,)
    return torch.baddbmm(bias[:, None].expand_as(x), weight.expand(x.shape[0], -1, -1), x)


def add_product(offset: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """offset + x W: a bias of each step's own.

    Args:
        offset: (b, t, e).
        x: (b, t, d).
        weight: (e, d), as `torch.nn.Linear` holds it.

    Returns:
        (b, t, e).
    """
    return torch.addmm(offset.flatten(0, 1), x.flatten(0, 1), weight.T).view_as(offset)


def half_tanh_(z: Tensor) -> Tensor:
    """tanh(z / 2) / 2 = sigmoid(z) - 1/2, to about 1e-7; overwrites z. A third of the time of tanh on a processor."""
    if torch.finfo(z.dtype).bits < 32:  # too coarse around 1/2
        return z.mul_(0.5).tanh_() * 0.5
    return z.sigmoid_() - 0.5
