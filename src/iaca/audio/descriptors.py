"""Prosodic and spectral descriptors of speech, and their statistics around each step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torchaudio
from torch import Tensor

from iaca.audio.features import PAPER, LogMel
from iaca.audio.frames import Sound
from iaca.audio.pitch import pitch

MFCCS = 13
VOICED = 0.45
STEPS = 4096  # whose statistics are worked out at a time, from their sums
LOW_LEVEL = ("level_db", "slope", "centroid", "flux", "voicing", "pitch", *(f"mfcc{i}" for i in range(1, MFCCS + 1)))
PITCH = LOW_LEVEL.index("pitch")
NAMES = (
    *(f"{name}_mean" for name in LOW_LEVEL),
    *(f"{name}_std" for name in LOW_LEVEL),
    "voiced_share",
    "level_motion",
)


def low_level(samples: Sound, rate: int = PAPER.rate) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples (n,) -> descriptors (frames, 19) every 10 ms and a mask (frames,) of voiced frames, block by block.

    Level in dB; slope of the log-mel spectrum in dB a band; centroid in bands; flux in dB; pitch in octaves over
    100 Hz, meaningful in voiced frames; MFCC 1-13 of the log-mel spectrum.
    """
    frequency, voicing = pitch(samples, rate, PAPER.hop)
    done, last = 0, None
    for mel in LogMel().blocks(samples):  # f 64
        here = slice(done, done + len(mel))
        yield _described(mel, last, frequency[here], voicing[here]), voicing[here] > VOICED
        done, last = done + len(mel), mel[-1:]


def _described(mel: Tensor, last: Tensor | None, frequency: Tensor, voicing: Tensor) -> Tensor:
    """Descriptors (f, 19) of a block of log-mel frames (f, 64); `last` is the frame before it."""
    bands = torch.arange(mel.shape[1], dtype=torch.float32)
    centred = bands - bands.mean()
    weight = torch.pow(10.0, mel / 20)
    level = 10 * torch.log10(torch.pow(10.0, mel / 10).sum(1) + 1e-10)
    before = torch.cat([mel[:1] if last is None else last, mel[:-1]])
    cepstrum = mel @ torchaudio.functional.create_dct(MFCCS + 1, mel.shape[1], norm="ortho")
    columns = [
        level,
        mel @ (centred / centred.square().sum()),
        (weight * bands).sum(1) / weight.sum(1),
        (mel - before).abs().mean(1),
        voicing,
        torch.log2(frequency / 100),
    ]
    return torch.cat([torch.stack(columns, 1), cepstrum[:, 1:]], 1)


def functionals(samples: Sound, times: Tensor, rate: int = PAPER.rate, span_s: float = 1.0) -> Tensor:
    """Statistics of the descriptors over `span_s` seconds around each time (s): (t, 40), named by `NAMES`.

    Mean and standard deviation of each descriptor (of pitch: over voiced frames alone), the share of voiced frames,
    and the level's mean step, which grows with the rate of syllables. Memory grows with the times, not with the sound.
    """
    hop_s, frames = PAPER.hop / rate, 1 + len(samples) // PAPER.hop
    first = ((times - span_s / 2) / hop_s).round().long().clamp(0, frames - 1)
    last = ((times + span_s / 2) / hop_s).round().long().clamp(0, frames)
    last = torch.maximum(last, first + 1)
    sums, level = WindowSums(first, last), None
    for block, voiced in low_level(samples, rate):
        counted = block.clone()
        counted[:, PITCH] *= voiced
        before = torch.cat([block[:1, 0] if level is None else level, block[:-1, 0]])
        sums.add(
            torch.cat([counted, counted.square(), torch.stack([voiced.float(), (block[:, 0] - before).abs()], 1)], 1)
        )
        level = block[-1:, 0]
    parts = (torch.split(x, STEPS) for x in (sums.values, last - first))
    return torch.cat([_statistics(added, length) for added, length in zip(*parts, strict=True)])


def _statistics(sums: Tensor, length: Tensor) -> Tensor:
    """Sums (t, 40) over windows of `length` (t,) frames -> what `functionals` gives."""
    added, squares, extra = torch.split(sums, [len(LOW_LEVEL), len(LOW_LEVEL), 2], 1)
    frames = length.double()[:, None]
    count = frames.repeat(1, len(LOW_LEVEL))
    count[:, PITCH] = extra[:, 0].clamp_min(1)
    mean = added / count
    spread = squares / count - mean.square()
    return torch.cat([mean, spread.clamp_min(0).sqrt(), extra / frames], 1).float()


class WindowSums:
    """Sums of rows over windows [first, last), (t, k), while the rows come block by block.

    Differences of running totals, in float64 so that long sounds stay exact.
    """

    def __init__(self, first: Tensor, last: Tensor):
        self._first, self._last = first, last
        self._done, self._total = 0, torch.zeros(1, dtype=torch.float64)
        self.values = torch.zeros(0)

    def add(self, rows: Tensor) -> None:
        """The next rows (f, k)."""
        if not self._done:
            self.values = torch.zeros(len(self._first), rows.shape[1], dtype=torch.float64)
            self._total = torch.zeros(1, rows.shape[1], dtype=torch.float64)
        totals = torch.cat([self._total, rows.double()]).cumsum(0)  # row i: of everything before row i of this block
        for sign, edge in ((-1, self._first), (1, self._last)):
            here = torch.nonzero((edge > self._done) & (edge <= self._done + len(rows)))[:, 0]
            self.values[here] += sign * totals[edge[here] - self._done]
        self._done, self._total = self._done + len(rows), totals[-1:]
