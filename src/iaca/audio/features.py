"""Log-mel spectrograms: the paper line's front end and VGGish's, computed block by block.

Frame i of a centred front end looks at the sound around i * hop; of VGGish's, at the window that starts there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import torch
import torchaudio
from torch import Tensor

from iaca.audio.frames import Sound, frame_blocks
from iaca.config import Parameters

BLOCK = 6000  # frames a block: a minute at a 10 ms hop, some 12 MB of spectrum


class LogMelConfig(Parameters):
    """A log-mel front end.

    Attributes:
        rate: sampling rate, Hz.
        window, hop, fft: samples.
        mels: bands between `low` and `high` (Hz).
        power: 2 for the power spectrum, 1 for magnitudes.
        log: `db` is 10 log10 of the power, floored 80 dB under its maximum; `offset` is ln(mel + 0.01).
        centred: pad half a window in front, so that frame i is centred on i * hop.
        shape: triangles that are linear in `hertz` or in `mel`.
    """

    rate: int = 16_000
    window: int = 320
    hop: int = 160
    fft: int = 1024
    mels: int = 64
    low: float = 0.0
    high: float = 8000.0
    power: int = 2
    log: Literal["db", "offset"] = "db"
    centred: bool = True
    shape: Literal["hertz", "mel"] = "hertz"


PAPER = LogMelConfig()
VGGISH = LogMelConfig(
    window=400, fft=512, low=125.0, high=7500.0, power=1, log="offset", centred=False, shape="mel"
)  # fmt: skip


class LogMel:
    """Computes one front end. Source of the VGGish form: S. Hershey et al., ICASSP 2017."""

    def __init__(self, config: LogMelConfig = PAPER):
        self.config = config

    def __call__(self, samples: Sound) -> Tensor:
        """Samples (n,) in [-1, 1] -> log-mel (frames, mels), in their precision. Centred: 1 + n // hop frames."""
        energies = list(self._energies(samples))
        mel = torch.cat(energies) if energies else torch.zeros(0, self.config.mels, dtype=samples.dtype)
        return self._log(mel, float(mel.max()) if len(mel) else 0.0)

    def blocks(self, samples: Sound) -> Iterator[Tensor]:
        """As the call, `BLOCK` frames at a time, for hours of sound; `db` passes twice, first for the maximum."""
        loudest = 0.0
        if self.config.log == "db":
            loudest = max((float(block.max()) for block in self._energies(samples)), default=0.0)
        for block in self._energies(samples):
            yield self._log(block, loudest)

    def _energies(self, samples: Sound) -> Iterator[Tensor]:
        for spectrum in self.spectra(samples):
            yield spectrum.pow(self.config.power) @ self._bands.to(samples.dtype)

    def _log(self, mel: Tensor, loudest: float) -> Tensor:
        if self.config.log == "offset":
            return torch.log(mel + 0.01)
        floor = 10 * torch.log10(mel.new_tensor(loudest).clamp_min(1e-10)) - 80
        return torch.maximum(10 * torch.log10(mel.clamp_min(1e-10)), floor)

    def spectra(self, samples: Sound) -> Iterator[Tensor]:
        """Magnitude spectra (frames, fft / 2 + 1), a block of frames at a time."""
        c = self.config
        before, usable = (c.window // 2, len(samples)) if c.centred else (0, len(samples) - c.window)
        window = torch.hann_window(c.window, dtype=samples.dtype)
        for frames in frame_blocks(samples, c.window, c.hop, before, usable // c.hop + 1, BLOCK):
            yield torch.fft.rfft(frames * window, n=c.fft).abs()

    @cached_property
    def _bands(self) -> Tensor:
        """(fft / 2 + 1, mels)."""
        c = self.config
        if c.shape == "mel":
            return mel_triangles(c.fft // 2 + 1, c.rate, c.mels, c.low, c.high)
        bands: Tensor = torchaudio.functional.melscale_fbanks(c.fft // 2 + 1, c.low, c.high, c.mels, c.rate)
        return bands


def mel_triangles(bins: int, rate: int, mels: int, low: float, high: float) -> Tensor:
    """HTK mel bands whose flanks are straight in mel, not in Hz; the constant bin is left out. (bins, mels)."""
    edges = torch.linspace(float(_mel(low)), float(_mel(high)), mels + 2, dtype=torch.float64)
    position = _mel(torch.linspace(0, rate / 2, bins, dtype=torch.float64))[:, None]
    rising = (position - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - position) / (edges[2:] - edges[1:-1])
    bands = torch.minimum(rising, falling).clamp_min(0)
    bands[0] = 0
    return bands


def _mel(hertz: Tensor | float) -> Tensor:
    return 1127.0 * torch.log1p(torch.as_tensor(hertz, dtype=torch.float64) / 700.0)


def patches(logmel: Tensor, frames: int = 96) -> Tensor:
    """Cut (n, mels) into non-overlapping patches (n // frames, frames, mels); the rest is dropped, as VGGish does."""
    whole = len(logmel) // frames
    return logmel[: whole * frames].reshape(whole, frames, -1)
