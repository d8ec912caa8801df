"""The ResNet-50 of EMO-AffectNet, `FER_static_ResNet50_AffectNet.pt`.

E. Ryumina, D. Dresvyanskiy, A. Karpov, *In search of a robust facial expressions recognition model* (2022). It came
from Keras: strides sit on the first 1x1 convolution of a block, pictures are padded unevenly, the epsilon of batch
normalisation is 1e-3.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50

from iaca.encoders.checkpoint import load
from iaca.encoders.options import NoOptions
from iaca.encoders.visual_parts.images import resize

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")
SIDE = 224
MEAN_BGR = (91.4953, 103.8827, 131.0912)
NAMES = (("conv_layer_s2_same", "conv1.1"), ("batch_norm", "bn"), ("i_downsample", "downsample"))


class AffectNetResNet50(nn.Module):
    """Faces -> 512 features and seven expression logits, (n, 519)."""

    mean: Tensor

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.backbone, self.fc1, self.fc2 = backbone(), nn.Linear(2048, 512), nn.Linear(512, len(EXPRESSIONS))
        load(self, weights, rename=_own_name)
        self.register_buffer("mean", torch.tensor(MEAN_BGR)[:, None, None], persistent=False)
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, 519)."""
        pictures = resize(faces, SIDE).flip(1) - self.mean
        features = self.fc1(self.backbone(pictures)).relu()
        return torch.cat([features, self.fc2(features)], 1)


def backbone() -> ResNet:
    """torchvision's network, changed to the one of the file."""
    network: ResNet = resnet50(weights=None)
    network.conv1 = nn.Sequential(nn.ZeroPad2d((2, 3, 2, 3)), nn.Conv2d(3, 64, 7, stride=2, bias=False))
    network.maxpool.padding = 0
    for layer in (network.layer2, network.layer3, network.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-3
    network.fc = nn.Identity()
    return network


def _own_name(name: str) -> str:
    if name.startswith(("fc1.", "fc2.", "backbone.")):
        return name
    for theirs, ours in NAMES:
        name = name.replace(theirs, ours)
    return f"backbone.{name}"
