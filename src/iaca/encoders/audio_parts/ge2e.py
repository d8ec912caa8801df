"""GE2E voice encoder: who speaks, and how, in 256 numbers of unit length.

L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, *Generalized End-to-End Loss for Speaker Verification* (2018). Weights:
`pretrained.pt` of the package Resemblyzer (Apache-2.0); front end and loudness as there, silences are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from iaca.audio.features import BLOCK, Sound, frame_blocks
from iaca.encoders.audio import HOP, RATE, WindowEncoder
from iaca.encoders.checkpoint import load
from iaca.encoders.options import NoOptions

BANDS, WIDTH, LAYERS, FFT = 40, 256, 3, 400
TARGET_DB = -30.0  # quieter sound is raised to this level (RMS)


class GE2E(WindowEncoder):
    """256 features a step, of 160 frames: 1.6 s."""

    length = 160
    bands: Tensor

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options
        self.centre_s = (
            self.length * HOP / RATE / 2
        )  # a whole number of frames: no step is rounded up and the next down
        self.lstm = nn.LSTM(BANDS, WIDTH, LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)
        bands = torchaudio.functional.melscale_fbanks(
            FFT // 2 + 1, 0.0, RATE / 2, BANDS, RATE, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("bands", bands, persistent=False)
        load(self, weights, drop=("similarity_",))
        self.eval()

    def frames_of(self, samples: Sound) -> Iterator[Tensor]:
        """Blocks of mel power (f, 40), not its logarithm."""
        window, louder = torch.hann_window(FFT), gain(samples)
        for frames in frame_blocks(samples, FFT, HOP, FFT // 2, 1 + len(samples) // HOP, BLOCK):
            yield torch.fft.rfft(louder * frames * window).abs().square() @ self.bands.cpu()

    def forward(self, windows: Tensor) -> Tensor:
        """(b, 160, 40) -> (b, 256) of unit length."""
        _, (hidden, _) = self.lstm(windows)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=1)


def gain(samples: Sound) -> float:
    """By what a sound is multiplied, so that its RMS level is at least `TARGET_DB`; read block by block."""
    step = BLOCK * HOP
    energy = sum(float(samples[at : at + step].double().square().sum()) for at in range(0, len(samples), step))
    level = 10 * math.log10(max(energy / max(len(samples), 1), 1e-10))
    return float(10 ** (max(TARGET_DB - level, 0) / 20))
