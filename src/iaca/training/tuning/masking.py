"""Windows of sound of which a part is hidden.

As the masks of D. S. Park et al., *SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition*
(2019), one in time and one in frequency; what they hide becomes the window's mean there.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked(windows: Tensor, time: float, bands: float, random: torch.Generator) -> Tensor:
    """Hide a stretch of each window and a group of its neighbouring bands, of a width and at a place that are drawn.

    Args:
        windows: (n, length, k bands) of a front end, or (n, length) samples, which have no bands.
        time: largest share of the length that is hidden.
        bands: largest share of the bands that are hidden.
        random: on the CPU, so that every device draws the same.

    Returns:
        As `windows`: hidden frames hold each band's mean over the window, hidden bands the mean of the whole window,
        hidden samples their mean.
    """
    draw = torch.rand(len(windows), 4, generator=random).to(windows.device)
    hidden = _span(windows.shape[1], time, draw[:, :2])
    if windows.ndim == 2:
        return torch.where(hidden, windows.mean(1, keepdim=True), windows)
    gone = _span(windows.shape[2], bands, draw[:, 2:])
    changed = torch.where(hidden[:, :, None], windows.mean(1, keepdim=True), windows)
    return torch.where(gone[:, None, :], windows.mean((1, 2), keepdim=True), changed)


def _span(length: int, most: float, draw: Tensor) -> Tensor:
    """(n, length) bool: a run of places, up to the share `most` of all, as drawn by (n, 2) numbers in [0, 1)."""
    width = (draw[:, 0] * most * length).round()
    first = (draw[:, 1] * (length - width + 1)).floor()
    place = torch.arange(length, device=draw.device)
    return (place >= first[:, None]) & (place < (first + width)[:, None])
