"""Pitch and voicing by the normalised autocorrelation of short frames.

Method: P. Boersma, *Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of
a sampled sound* (1993), without its path search.
"""

from __future__ import annotations

import torch
from torch import Tensor

from iaca.audio.frames import Sound, frame_blocks

LOWEST, HIGHEST = 60.0, 420.0  # Hz, the range of human speech
BLOCK = 3000
OCTAVE_COST = 0.04


def pitch(samples: Sound, rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """Samples (n,) -> fundamental frequency (frames,) in Hz and voicing (frames,) in [0, 1].

    Frame i is centred on sample i * hop; there are 1 + n // hop. Voicing is the height of the highest peak of the
    autocorrelation: near 1 for a steady vowel, near 0 for noise; 0 in digital silence.
    """
    length = int(rate * 0.04)
    window = torch.hann_window(length)
    lags = int(rate / LOWEST) + 2  # the longest period, and one more on which a peak there leans
    reference = _autocorrelation(window[None], lags)[0]
    found = [
        _peak(_autocorrelation((block - block.mean(1, keepdim=True)) * window, lags), reference, rate)
        for block in frame_blocks(samples, length, hop, length // 2, 1 + len(samples) // hop, BLOCK)
    ]
    return torch.cat([f for f, _ in found]), torch.cat([v for _, v in found])


def _autocorrelation(frames: Tensor, lags: int) -> Tensor:
    """(n, length) -> (n, lags). What wraps around the transform's end reaches later lags only."""
    size = 1 << (frames.shape[1] + lags - 1).bit_length()
    power = torch.fft.rfft(frames, n=size).abs().square()
    correlation: Tensor = torch.fft.irfft(power)
    return correlation[:, :lags]


def _peak(correlation: Tensor, reference: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    energy = correlation[:, :1]
    audible = energy > 1e-6
    # The window's own decay is divided out, so that a periodic sound reaches 1 at each of its periods.
    normal = correlation / torch.where(audible, energy, 1.0) * (reference[0] / reference)
    first, last = int(rate / HIGHEST), int(rate / LOWEST)
    before, here, after = (normal[:, first + d : last + 1 + d] for d in (-1, 0, 1))
    bend = before - 2 * here + after
    peaked = (here >= before) & (here >= after) & (bend < 0)
    shift = torch.where(peaked, 0.5 * (before - after) / torch.where(peaked, bend, -1.0), 0.0)  # vertex of a parabola
    height = here - 0.25 * (before - after) * shift
    lags = torch.arange(first, last + 1) + shift
    # Every period's multiple is a period too: an octave down has to be better by a little to win.
    index = (height - OCTAVE_COST * torch.log2(lags / first)).masked_fill(~peaked, -1.0).argmax(1, keepdim=True)
    found = peaked.any(1) & audible[:, 0]
    voicing = torch.where(found, height.gather(1, index)[:, 0].clamp(0, 1), 0.0)
    return rate / lags.gather(1, index)[:, 0], voicing
