"""Random changes of faces that change nothing about what they express."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from iaca.training.tuning.config import EncoderTrainingConfig

LUMA = (0.299, 0.587, 0.114)


def augment(faces: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
    """Flip, crop and colour jitter, drawn for each sample; the faces of a clip are changed alike.

    Args:
        faces: (n, k, h, w, 3) uint8.
        config: how much.
        random: on the CPU, so that every device draws the same.

    Returns:
        As `faces`.
    """
    pictures = faces.flatten(0, 1).permute(0, 3, 1, 2).float()  # n*k 3 h w
    draw = torch.rand(len(faces), 7, generator=random).repeat_interleave(faces.shape[1], 0).to(faces.device)
    pictures = _jittered(_cropped(pictures, draw[:, :4], config), draw[:, 4:], config.jitter)
    return pictures.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).reshape(faces.shape)


def _cropped(pictures: Tensor, draw: Tensor, config: EncoderTrainingConfig) -> Tensor:
    """A square of a random size at a random place, mirrored or not, enlarged to the whole picture."""
    side = 1 - (1 - config.crop) * draw[:, 0]
    mirrored = torch.where(draw[:, 1] < config.flip, -1.0, 1.0)
    shift = (2 * draw[:, 2:4] - 1) * (1 - side)[:, None]
    theta = pictures.new_zeros(len(pictures), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = side * mirrored, side, shift
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    cut: Tensor = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    return cut


def _jittered(pictures: Tensor, draw: Tensor, most: float) -> Tensor:
    """Brightness, then contrast around the picture's mean, then saturation around its grey."""
    brightness, contrast, saturation = (1 + most * (2 * draw - 1)).T[:, :, None, None, None]
    pictures = pictures * brightness
    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = mean + contrast * (pictures - mean)
    grey = (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    changed: Tensor = grey + saturation * (pictures - grey)
    return changed
