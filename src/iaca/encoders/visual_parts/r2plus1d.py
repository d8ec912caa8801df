"""R(2+1)D-18 over clips of faces: 8 faces at dilation 4 in the published line of models for Aff-Wild2.

Architecture: D. Tran et al., *A Closer Look at Spatiotemporal Convolutions for Action Recognition* (2018).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.video import r2plus1d_18

from iaca.encoders.checkpoint import load
from iaca.encoders.options import ClipOptions
from iaca.encoders.visual_parts.images import KINETICS, Normalise


class R2Plus1D(nn.Module):
    """Clips of faces -> 512 features pooled over time and picture."""

    def __init__(self, options: ClipOptions, weights: Path | None):
        super().__init__()
        self.prepare, self.backbone = Normalise(options.side, KINETICS), r2plus1d_18(weights=None)
        self.backbone.fc = nn.Identity()
        load(self.backbone, weights, drop=("fc.", "head."))
        self.eval()

    def forward(self, clips: Tensor) -> Tensor:
        """(n, k, h, w, 3) uint8 RGB -> (n, 512)."""
        pictures = self.prepare(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])  # n k 3 s s
        volume = pictures.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)  # n 3 k s s
        rows: Tensor = self.backbone(volume)
        return rows
