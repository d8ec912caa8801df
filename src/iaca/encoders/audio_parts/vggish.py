"""VGGish: S. Hershey et al., *CNN Architectures for Large-Scale Audio Classification* (2017).

The layout of its weights is that of torchvggish. The rows are the network's 128 outputs, without the principal
components and the quantisation that YouTube-8M put behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn

from iaca.audio.features import VGGISH, LogMel, Sound
from iaca.encoders.audio import HOP, RATE, WindowEncoder
from iaca.encoders.checkpoint import load
from iaca.encoders.options import NoOptions

STAGES = ((64,), (128,), (256, 256), (512, 512))  # channels of the convolutions before each pooling
WIDTHS = (512 * 6 * 4, 4096, 4096, 128)


class VGGish(WindowEncoder):
    """128 features a step, of the 0.975 s that its 96 frames cover."""

    length = 96

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.centre_s = ((self.length - 1) * HOP + VGGISH.window) / 2 / RATE
        self.features, self.embeddings = _convolutions(), _linears()
        load(self, weights, drop=("pproc.",))
        self.eval()

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Blocks of log-mel (f, 64); frame i is of the 25 ms that begin at i * 10 ms."""
        return LogMel(VGGISH).blocks(samples)

    def forward(self, windows: Tensor) -> Tensor:
        """(b, 96, 64) -> (b, 128)."""
        maps = self.features(windows[:, None])  # b 512 6 4
        rows: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # time, band, channel: as it was trained
        return rows


def _convolutions() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 1
    for stage in STAGES:
        for width in stage:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _linears() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(WIDTHS):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)
