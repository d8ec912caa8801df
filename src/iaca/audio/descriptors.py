"""Prosodic and spectral descriptors of speech, and their statistics around each step."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor

from iaca.audio.logmel import PAPER, LogMel
from iaca.audio.pitch import pitch

MFCCS = 13
VOICED = 0.45
LOW_LEVEL = ("level_db", "slope", "centroid", "flux", "voicing", "pitch", *(f"mfcc{i}" for i in range(1, MFCCS + 1)))
NAMES = (
    *(f"{name}_mean" for name in LOW_LEVEL),
    *(f"{name}_std" for name in LOW_LEVEL),
    "voiced_share",
    "level_motion",
)


def low_level(samples: Tensor, rate: int = PAPER.rate) -> tuple[Tensor, Tensor]:
    """Samples (n,) -> descriptors (frames, 19) every 10 ms and a mask (frames,) of voiced frames.

    Level in dB; slope of the log-mel spectrum in dB a band; centroid in bands; flux in dB; pitch in octaves over
    100 Hz, meaningful in voiced frames; MFCC 1-13 of the log-mel spectrum.
    """
    mel = LogMel()(samples)  # f 64
    bands = torch.arange(mel.shape[1], dtype=torch.float32)
    centred = bands - bands.mean()
    weight = torch.pow(10.0, mel / 20)
    frequency, voicing = pitch(samples, rate, PAPER.hop)
    level = 10 * torch.log10(torch.pow(10.0, mel / 10).sum(1) + 1e-10)
    flux = torch.cat([mel.new_zeros(1), (mel[1:] - mel[:-1]).abs().mean(1)])
    cepstrum = mel @ torchaudio.functional.create_dct(MFCCS + 1, mel.shape[1], norm="ortho")
    columns = [
        level,
        mel @ (centred / centred.square().sum()),
        (weight * bands).sum(1) / weight.sum(1),
        flux,
        voicing,
        torch.log2(frequency / 100),
    ]
    return torch.cat([torch.stack(columns, 1), cepstrum[:, 1:]], 1), voicing > VOICED


def functionals(samples: Tensor, times: Tensor, rate: int = PAPER.rate, span_s: float = 1.0) -> Tensor:
    """Statistics of the descriptors over `span_s` seconds around each time (s): (t, 40), named by `NAMES`.

    Mean and standard deviation of each descriptor (of pitch: over voiced frames alone), the share of voiced frames,
    and the level's mean step, which grows with the rate of syllables.
    """
    frames, voiced = low_level(samples, rate)
    hop_s = PAPER.hop / rate
    first = ((times - span_s / 2) / hop_s).round().long().clamp(0, max(len(frames) - 1, 0))
    last = ((times + span_s / 2) / hop_s).round().long().clamp(0, len(frames))
    last = torch.maximum(last, first + 1)
    weights = torch.ones_like(frames)
    weights[:, LOW_LEVEL.index("pitch")] = voiced.float()
    count = _windowed(weights, first, last).clamp_min(1)
    mean = _windowed(weights * frames, first, last) / count
    spread = _windowed(weights * frames.square(), first, last) / count - mean.square()
    motion = torch.cat([frames.new_zeros(1), (frames[1:, 0] - frames[:-1, 0]).abs()])
    extra = _windowed(torch.stack([voiced.float(), motion], 1), first, last) / (last - first)[:, None]
    return torch.cat([mean, spread.clamp_min(0).sqrt(), extra], 1).float()


def _windowed(values: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Sums over [first, last) of each column by running totals, in float64 so that long sounds stay exact."""
    total = torch.cat([values.new_zeros(1, values.shape[1]).double(), values.double().cumsum(0)])
    return total[last] - total[first]
