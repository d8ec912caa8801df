"""Faces as networks want them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))


class Normalise(nn.Module):
    """Scale faces to a side and bring their channels to the mean and deviation of a network's training.

    Args:
        side: px.
        statistics: mean and deviation of each channel, as parts of full scale.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, side: int, statistics: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET):
        super().__init__()
        self.side = side
        mean, deviation = (255 * torch.tensor(values)[:, None, None] for values in statistics)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("scale", 1 / deviation, persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 -> (n, 3, side, side) float32, laid out with the channels last."""
        images = resize(faces, self.side)
        return (images - self.mean) * self.scale


def resize(faces: Tensor, side: int) -> Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, side, side) float32 in 0..255; bilinear, smoothed where it is made smaller."""
    images = faces.permute(0, 3, 1, 2).float()
    if images.shape[-2:] != (side, side):
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return images.contiguous(memory_format=torch.channels_last)
