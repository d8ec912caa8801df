"""EfficientNet-B0 over single faces: torchvision's, and the valence-arousal one of EmotiEffLib.

Architecture: M. Tan, Q. Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks* (2019).
`enet_b0_8_va_mtl`: A. Savchenko, *Video-based frame-level facial analysis of affective behavior on mobile devices
using EfficientNets* (2022). Its layout is that of `tf_efficientnet_b0` in timm: strided convolutions are padded
unevenly, and the epsilon of batch normalisation is 1e-3.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import EfficientNet, efficientnet_b0

from iaca.encoders.checkpoint import load
from iaca.encoders.options import FaceOptions, NoOptions
from iaca.encoders.visual_parts.images import Normalise

OUTPUTS = 10  # eight expressions, valence, arousal
FIRST = {"conv_dw": "0.0", "bn1": "0.1", "se.conv_reduce": "1.fc1", "se.conv_expand": "1.fc2", "conv_pw": "2.0",
         "bn2": "2.1"}  # fmt: skip
OTHERS = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "se.conv_reduce": "2.fc1",
          "se.conv_expand": "2.fc2", "conv_pwl": "3.0", "bn3": "3.1"}  # fmt: skip
ENDS = {"conv_stem": "features.0.0", "bn1": "features.0.1", "conv_head": "features.8.0", "bn2": "features.8.1",
        "classifier.0": "classifier", "classifier": "classifier"}  # fmt: skip


class EfficientNetB0(nn.Module):
    """Faces -> 1280 features pooled over the picture."""

    def __init__(self, options: FaceOptions, weights: Path | None):
        super().__init__()
        self.prepare, self.backbone = Normalise(options.side), efficientnet_b0(weights=None)
        self.backbone.classifier = nn.Identity()
        load(self.backbone, weights, drop=("classifier.", "head."))
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 1280)."""
        rows: Tensor = self.backbone(self.prepare(faces))
        return rows


class EmotiEffNetB0(nn.Module):
    """Faces -> 1280 features, eight expression logits, valence and arousal: (n, 1290)."""

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.prepare, self.backbone = Normalise(224), padded_like_tensorflow(efficientnet_b0(weights=None))
        self.backbone.classifier = nn.Linear(1280, OUTPUTS)
        load(self.backbone, weights, rename=torchvision_name)
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 1290)."""
        features = self.backbone.features(self.prepare(faces)).mean((2, 3))
        return torch.cat([features, self.backbone.classifier(features)], 1)


class PaddedConv2d(nn.Conv2d):
    """A strided convolution over an even side, one pixel more padded behind than before."""

    def forward(self, x: Tensor) -> Tensor:
        before = (self.kernel_size[0] - 2) // 2
        after = self.kernel_size[0] - 2 - before
        return super().forward(nn.functional.pad(x, (before, after, before, after)))


def padded_like_tensorflow(network: EfficientNet) -> EfficientNet:
    """torchvision's network with the padding and the epsilon of the one that was trained in TensorFlow."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-3
        elif isinstance(part, nn.Conv2d) and part.stride == (2, 2):
            part.__class__, part.padding = PaddedConv2d, (0, 0)
    return network


def torchvision_name(name: str) -> str:
    """The name in torchvision's layout of a tensor in timm's; others stay as they are."""
    head, _, field = name.rpartition(".")
    if block := re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(.+)", head):
        stage, index, part = int(block[1]), block[2], block[3]
        places = FIRST if stage == 0 else OTHERS
        return f"features.{stage + 1}.{index}.block.{places.get(part, part)}.{field}"
    return f"{ENDS.get(head, head)}.{field}"
