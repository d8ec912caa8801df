"""Residual networks over single faces, in torchvision's layout.

Architecture: K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition* (2016).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from iaca.encoders.checkpoint import load
from iaca.encoders.options import FaceOptions
from iaca.encoders.visual_parts.images import Normalise


class FaceResNet(nn.Module):
    """Faces -> features pooled over the picture."""

    def __init__(self, options: FaceOptions, backbone: nn.Module, weights: Path | None):
        super().__init__()
        self.prepare, self.backbone = Normalise(options.side), backbone
        self.backbone.fc = nn.Identity()
        load(self.backbone, weights, drop=("fc.", "head."))
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, dim)."""
        rows: Tensor = self.backbone(self.prepare(faces))
        return rows


class ResNet18(FaceResNet):
    """512 features a face."""

    def __init__(self, options: FaceOptions, weights: Path | None):
        super().__init__(options, resnet18(weights=None), weights)


class ResNet50(FaceResNet):
    """2048 features a face."""

    def __init__(self, options: FaceOptions, weights: Path | None):
        super().__init__(options, resnet50(weights=None), weights)
