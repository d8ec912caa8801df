"""GE2E voice encoder: who speaks, and how, in 256 numbers of unit length.

L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, *Generalized End-to-End Loss for Speaker Verification* (2018). Weights:
`pretrained.pt` of the package Resemblyzer (Apache-2.0); front end and loudness as there, silences are kept.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from iaca.encoders.audio.windows import HOP, RATE, WindowEncoder
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

    def frames_of(self, samples: Tensor) -> Tensor:
        """Mel power (f, 40), not its logarithm."""
        spectrum = torch.stft(
            raised(samples), FFT, HOP, window=torch.hann_window(FFT), pad_mode="constant", return_complex=True
        )
        return spectrum.abs().square().T @ self.bands.cpu()

    def forward(self, windows: Tensor) -> Tensor:
        """(b, 160, 40) -> (b, 256) of unit length."""
        _, (hidden, _) = self.lstm(windows)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=1)


def raised(samples: Tensor) -> Tensor:
    """Samples whose RMS level is at least `TARGET_DB`; digital silence stays."""
    level = 10 * torch.log10(samples.square().mean().clamp_min(1e-10))
    return samples * 10 ** ((TARGET_DB - level).clamp_min(0) / 20)
