"""ResNet-18 over log-mel spectrograms: the audio line of the published models for Aff-Wild2.

64 bands by 107 frames of 10 ms, brought to mean 0 and deviation 1, as in R. G. Praveen et al., *A Joint
Cross-Attention Model for Audio-Visual Fusion in Dimensional Emotion Recognition* (2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import resnet18

from iaca.audio.features import PAPER, LogMel, Sound
from iaca.encoders.audio import HOP, RATE, WindowEncoder
from iaca.encoders.checkpoint import load
from iaca.encoders.options import WindowOptions

SILENT_DB = 0.1  # deviation below which a window holds nothing to be scaled up


class LogMelResNet18(WindowEncoder):
    """512 features a step. The first convolution sees one channel; there are no published weights."""

    def __init__(self, options: WindowOptions, weights: Path | None):
        super().__init__()
        self.length, self.centre_s = options.frames, (options.frames // 2) * HOP / RATE
        self.backbone = resnet18(weights=None)
        self.backbone.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.backbone.fc = nn.Identity()
        load(self.backbone, weights, drop=("fc.", "head."))
        self.eval()

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Blocks of log-mel (f, 64) in dB."""
        return LogMel(PAPER).blocks(samples)

    def forward(self, windows: Tensor) -> Tensor:
        """(b, length, 64) -> (b, 512)."""
        mean, deviation = windows.mean((1, 2), keepdim=True), windows.std((1, 2), keepdim=True)
        picture = ((windows - mean) / deviation.clamp_min(SILENT_DB)).transpose(1, 2)[:, None]  # b 1 64 length
        rows: Tensor = self.backbone(picture)
        return rows
