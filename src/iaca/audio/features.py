"""Sound to numbers: frames, log-mel spectrograms, pitch, and prosodic descriptors, on a 10 ms grid.

Everything is computed block by block, so an hour of sound is never in memory as a whole. Frame i of a centred front
end covers the sound around sample i * hop; frame i of VGGish's covers the window that starts there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

from iaca.media import Samples
from iaca.parameters import Parameters

# Sound and frames


class Sound(Protocol):
    """Samples (n,) of one dtype, in memory or not: a length, and slices that are tensors. A tensor is a `Sound`."""

    @property
    def dtype(self) -> torch.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class Stretches:
    """Float32 samples (n,), in memory or on disk, whose slices are tensors."""

    samples: Samples
    dtype: torch.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice, /) -> Tensor:
        return torch.from_numpy(np.require(self.samples[part], np.float32, "W"))


@dataclass(frozen=True)
class Padded:
    """A sound with `before` zeros in front of it and `after` zeros behind it, without a copy."""

    sound: Sound
    before: int
    after: int

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the sound."""
        return self.sound.dtype

    def __len__(self) -> int:
        return self.before + len(self.sound) + self.after

    def __getitem__(self, part: slice, /) -> Tensor:
        start, stop, _ = part.indices(len(self))
        return stretch(self.sound, start - self.before, stop - self.before)


def stretch(sound: Sound, start: int, stop: int) -> Tensor:
    """Samples start to stop, (stop - start,), with zeros wherever that range lies outside the sound."""
    first, last = (min(max(edge, 0), len(sound)) for edge in (start, stop))
    part, before = sound[first:last], min(max(-start, 0), stop - start)
    return F.pad(part, (before, stop - start - before - len(part)))


def frame_blocks(sound: Sound, length: int, hop: int, before: int, count: int, block: int) -> Iterator[Tensor]:
    """Yield `count` frames in blocks (up to `block`, `length`).

    Frame i begins at sample i * hop - before; outside the sound there are zeros.
    """
    for start in range(0, count, block):
        some = min(block, count - start)
        first = start * hop - before
        part = stretch(sound, first, first + (some - 1) * hop + length)
        yield part.unfold(0, length, hop)  # a view: overlapping frames are not copied


# Log-mel spectrograms

BLOCK = 6000  # frames in a block: a minute at a hop of 10 ms, about 12 MB of spectrum


class LogMelConfig(Parameters):
    """A log-mel front end.

    Attributes:
        rate: sampling rate, Hz.
        window, hop, fft: samples.
        mels: number of bands between `low` and `high` (Hz).
        power: 2 for the power spectrum, 1 for magnitudes.
        log: `db` is 10 log10 of the power, floored 80 dB below the maximum of the sound; `offset` is ln(mel + 0.01).
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
"""The front end of the published models for Aff-Wild2."""
VGGISH = LogMelConfig(
    window=400, fft=512, low=125.0, high=7500.0, power=1, log="offset", centred=False, shape="mel"
)  # fmt: skip
"""The front end of VGGish: S. Hershey et al., *CNN Architectures for Large-Scale Audio Classification* (2017)."""


class LogMel:
    """Compute the log-mel spectrogram of one front end."""

    def __init__(self, config: LogMelConfig = PAPER):
        self.config = config

    def __call__(self, samples: Sound) -> Tensor:
        """Samples (n,) in [-1, 1] -> log-mel (frames, mels) of the same dtype; 1 + n // hop frames if centred."""
        energies = list(self._energies(samples))
        mel = torch.cat(energies) if energies else torch.zeros(0, self.config.mels, dtype=samples.dtype)
        return self._log(mel, float(mel.max()) if len(mel) else 0.0)

    def blocks(self, samples: Sound) -> Iterator[Tensor]:
        """The same in blocks of `BLOCK` frames. `db` reads the sound twice, the first time for its maximum."""
        loudest = 0.0
        if self.config.log == "db":
            loudest = max((float(block.max()) for block in self._energies(samples)), default=0.0)
        for block in self._energies(samples):
            yield self._log(block, loudest)

    def _energies(self, samples: Sound) -> Iterator[Tensor]:
        for spectrum in self._spectra(samples):
            yield spectrum.pow(self.config.power) @ self._bands.to(samples.dtype)

    def of_frames(self, frames: Tensor, loudest: float) -> Tensor:
        """Frames (f, window) of samples -> log-mel (f, mels), floored 80 dB below `loudest`, a mel power."""
        window = torch.hann_window(self.config.window, dtype=frames.dtype)
        spectrum = torch.fft.rfft(frames * window, n=self.config.fft).abs()
        return self._log(spectrum.pow(self.config.power) @ self._bands.to(frames.dtype), loudest)

    def _log(self, mel: Tensor, loudest: float) -> Tensor:
        if self.config.log == "offset":
            return torch.log(mel + 0.01)
        floor = 10 * torch.log10(mel.new_tensor(loudest).clamp_min(1e-10)) - 80
        return torch.maximum(10 * torch.log10(mel.clamp_min(1e-10)), floor)

    def _spectra(self, samples: Sound) -> Iterator[Tensor]:
        """Blocks of magnitude spectra (frames, fft / 2 + 1)."""
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
            return _mel_triangles(c.fft // 2 + 1, c.rate, c.mels, c.low, c.high)
        bands: Tensor = torchaudio.functional.melscale_fbanks(c.fft // 2 + 1, c.low, c.high, c.mels, c.rate)
        return bands


def _mel_triangles(bins: int, rate: int, mels: int, low: float, high: float) -> Tensor:
    """HTK mel bands (bins, mels) whose flanks are straight in mel instead of Hz; they leave out the constant bin."""
    edges = torch.linspace(float(_mel(low)), float(_mel(high)), mels + 2, dtype=torch.float64)
    position = _mel(torch.linspace(0, rate / 2, bins, dtype=torch.float64))[:, None]
    rising = (position - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - position) / (edges[2:] - edges[1:-1])
    bands = torch.minimum(rising, falling).clamp_min(0)
    bands[0] = 0
    return bands


def _mel(hertz: Tensor | float) -> Tensor:
    return 1127.0 * torch.log1p(torch.as_tensor(hertz, dtype=torch.float64) / 700.0)


# Pitch

LOWEST, HIGHEST = 60.0, 420.0  # Hz, the range of human speech
PITCH_BLOCK = 3000
PITCH_S = 0.04
OCTAVE_COST = 0.04
SILENT = 1e-8  # energy, relative to the loudest frame


def pitch(samples: Sound, rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """Samples (n,) -> fundamental frequency (frames,) in Hz and voicing (frames,) in [0, 1].

    Frame i is centred on sample i * hop; there are 1 + n // hop. Voicing is the height of the highest peak of the
    normalised autocorrelation: near 1 for a steady vowel, near 0 for noise, 0 in digital silence.

    Method: P. Boersma, *Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of
    a sampled sound* (1993), without its path search. Frames 80 dB below the loudest count as silent, whatever the gain.
    """
    length = int(rate * PITCH_S)
    found = [
        _pitch(block, rate)
        for block in frame_blocks(samples, length, hop, length // 2, 1 + len(samples) // hop, PITCH_BLOCK)
    ]
    frequency, voicing, energy = (torch.cat(parts) for parts in zip(*found, strict=True))
    return frequency, torch.where(energy > SILENT * energy.max(), voicing, 0.0)


def _pitch(frames: Tensor, rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (f, length) -> frequency (f,) in Hz, voicing and energy (f,)."""
    window = torch.hann_window(frames.shape[1])
    lags = int(rate / LOWEST) + 2  # the longest period, and one more to interpolate a peak there
    reference = _autocorrelation(window[None], lags)[0]
    return _peak(_autocorrelation((frames - frames.mean(1, keepdim=True)) * window, lags), reference, rate)


def _autocorrelation(frames: Tensor, lags: int) -> Tensor:
    """(n, length) -> (n, lags). The transform is long enough that wrap-around reaches only lags beyond these."""
    size = 1 << (frames.shape[1] + lags - 1).bit_length()
    power = torch.fft.rfft(frames, n=size).abs().square()
    correlation: Tensor = torch.fft.irfft(power)
    return correlation[:, :lags]


def _peak(correlation: Tensor, reference: Tensor, rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """Autocorrelations (n, lags) and that of the window (lags,) -> frequency (n,) in Hz, voicing and energy (n,)."""
    energy = correlation[:, :1]
    audible = energy > 0
    # Dividing by the window's own autocorrelation makes a periodic sound reach 1 at each of its periods.
    normal = correlation / torch.where(audible, energy, 1.0) * (reference[0] / reference)
    first, last = int(rate / HIGHEST), int(rate / LOWEST)
    before, here, after = (normal[:, first + d : last + 1 + d] for d in (-1, 0, 1))
    bend = before - 2 * here + after
    peaked = (here >= before) & (here >= after) & (bend < 0)
    shift = torch.where(peaked, 0.5 * (before - after) / torch.where(peaked, bend, -1.0), 0.0)  # vertex of a parabola
    height = here - 0.25 * (before - after) * shift
    lags = torch.arange(first, last + 1) + shift
    # Every multiple of a period is a period too, so a lower octave has to be better by a margin to win.
    index = (height - OCTAVE_COST * torch.log2(lags / first)).masked_fill(~peaked, -1.0).argmax(1, keepdim=True)
    found = peaked.any(1) & audible[:, 0]
    voicing = torch.where(found, height.gather(1, index)[:, 0].clamp(0, 1), 0.0)
    return rate / lags.gather(1, index)[:, 0], voicing, energy[:, 0]


# Descriptors

MFCCS = 13
VOICED = 0.45  # voicing above which a frame counts as voiced
STEPS = 4096  # steps whose statistics are computed at a time
LOW_LEVEL = ("level_db", "slope", "centroid", "flux", "voicing", "pitch", *(f"mfcc{i}" for i in range(1, MFCCS + 1)))
PITCH = LOW_LEVEL.index("pitch")
EFFORT = ("alpha_ratio", "hammarberg_index", "pitch_median", "treble")
NAMES = (
    *(f"{name}_mean" for name in LOW_LEVEL),
    *(f"{name}_std" for name in LOW_LEVEL),
    "voiced_share",
    "level_motion",
    *EFFORT,
)
"""Names of the columns of `functionals`."""


def functionals(samples: Sound, times: Tensor, rate: int = PAPER.rate, span_s: float = 1.0) -> Tensor:
    """Statistics of the descriptors over `span_s` seconds around each time (s): (t, 44), named by `NAMES`.

    Mean and standard deviation of each descriptor (of pitch: over voiced frames only), the share of voiced frames, and
    the mean absolute change of the level, which grows with the syllable rate; last, `vocal_effort` over its own span.
    Memory grows with the number of times and of frames, not of samples.
    """
    hop_s, frames = PAPER.hop / rate, 1 + len(samples) // PAPER.hop
    first = ((times - span_s / 2) / hop_s).round().long().clamp(0, frames - 1)
    last = ((times + span_s / 2) / hop_s).round().long().clamp(0, frames)
    last = torch.maximum(last, first + 1)
    sums, level = _WindowSums(first, last), None
    frequency, voicing = pitch(samples, rate, PAPER.hop)
    for block, voiced in _low_level(samples, frequency, voicing):
        counted = block.clone()
        counted[:, PITCH] *= voiced
        before = torch.cat([block[:1, 0] if level is None else level, block[:-1, 0]])
        sums.add(
            torch.cat([counted, counted.square(), torch.stack([voiced.float(), (block[:, 0] - before).abs()], 1)], 1)
        )
        level = block[-1:, 0]
    parts = (torch.split(x, STEPS) for x in (sums.values, last - first))
    statistics = torch.cat([_statistics(added, length) for added, length in zip(*parts, strict=True)])
    return torch.cat([statistics, vocal_effort(samples, times, frequency, voicing, rate)], 1)


def _low_level(samples: Sound, frequency: Tensor, voicing: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples (n,) and their `pitch` -> blocks of descriptors (frames, 19) every 10 ms, and masks of voiced frames.

    Level in dB; slope of the log-mel spectrum in dB per band; centroid in bands; flux in dB; voicing; pitch in octaves
    above 100 Hz, meaningful in voiced frames only; MFCC 1-13 of the log-mel spectrum.
    """
    done, last = 0, None
    for mel in LogMel().blocks(samples):  # f 64
        here = slice(done, done + len(mel))
        yield _described(mel, last, frequency[here], voicing[here]), voicing[here] > VOICED
        done, last = done + len(mel), mel[-1:]


def _described(mel: Tensor, last: Tensor | None, frequency: Tensor, voicing: Tensor) -> Tensor:
    """Descriptors (f, 19) of a block of log-mel frames (f, 64); `last` is the frame before the block."""
    bands = torch.arange(mel.shape[1], dtype=torch.float32)
    centred = bands - bands.mean()
    weight = torch.pow(10.0, mel / 20)
    level = _level(mel)
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


def _statistics(sums: Tensor, length: Tensor) -> Tensor:
    """Sums (t, 40) over windows of `length` (t,) frames -> the statistics that `functionals` returns."""
    added, squares, extra = torch.split(sums, [len(LOW_LEVEL), len(LOW_LEVEL), 2], 1)
    frames = length.double()[:, None]
    count = frames.repeat(1, len(LOW_LEVEL))
    count[:, PITCH] = extra[:, 0].clamp_min(1)
    mean = added / count
    spread = squares / count - mean.square()
    return torch.cat([mean, spread.clamp_min(0).sqrt(), extra / frames], 1).float()


class _WindowSums:
    """Sums of rows over windows [first, last), (t, k), for rows that arrive block by block.

    They are differences of running totals, in float64 so that long sounds stay exact.
    """

    def __init__(self, first: Tensor, last: Tensor):
        self._first, self._last = first, last
        self._done, self._total = 0, torch.zeros(1, dtype=torch.float64)
        self.values = torch.zeros(0)

    def add(self, rows: Tensor) -> None:
        """Add the next rows (f, k)."""
        if not self._done:
            self.values = torch.zeros(len(self._first), rows.shape[1], dtype=torch.float64)
            self._total = torch.zeros(1, rows.shape[1], dtype=torch.float64)
        totals = torch.cat([self._total, rows.double()]).cumsum(0)  # row i: the sum of all rows before row i
        for sign, edge in ((-1, self._first), (1, self._last)):
            here = torch.nonzero((edge > self._done) & (edge <= self._done + len(rows)))[:, 0]
            self.values[here] += sign * totals[edge[here] - self._done]
        self._done, self._total = self._done + len(rows), totals[-1:]


# Vocal effort

EFFORT_SPAN_S = 3.0
TILT_S = 0.032


def vocal_effort(samples: Sound, times: Tensor, frequency: Tensor, voicing: Tensor, rate: int = PAPER.rate) -> Tensor:
    """Effort of the voice in the 3 s around each time (s): (t, 4), named by `EFFORT`; 0 where nothing is known.

    No gain changes any of them. Power spectra are those of 32 ms Hann windows every 10 ms.

    * `alpha_ratio`: power in 1-5 kHz over power in 50 Hz-1 kHz, dB, median over voiced frames; rises with effort.
    * `hammarberg_index`: strongest line below 2 kHz over strongest line in 2-5 kHz, dB, likewise; falls with effort.
    * `pitch_median`: octaves above 100 Hz, likewise.
    * `treble`: power above 4 kHz over power in 50 Hz-4 kHz, dB, of all frames: low where the channel is narrow or dull,
      which changes the first two as well.

    The first two are those of F. Eyben et al., *The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for voice
    research and affective computing* (2016).

    Args:
        samples: (n,).
        times: (t,) s.
        frequency, voicing: `pitch` of the samples every 10 ms.
        rate: Hz.
    """
    tilts, powers = (torch.cat(parts) for parts in zip(*_spectral_tilt(samples, rate), strict=True))
    voiced = torch.column_stack([tilts, torch.log2(frequency / 100)])
    voiced[voicing <= VOICED] = torch.nan
    hop_s, half = PAPER.hop / rate, round(EFFORT_SPAN_S * rate / PAPER.hop) // 2
    centres = (times / hop_s).round().long().clamp(0, len(voiced) - 1)
    windows = F.pad(voiced, (0, 0, half, half), value=torch.nan).unfold(0, 2 * half + 1, 1)  # a view (f, 3, frames)
    medians = [_nanmedian(windows[some]) for some in torch.split(centres, STEPS)]
    totals = F.pad(powers.double(), (0, 0, 1, 0)).cumsum(0)
    around = totals[(centres + half + 1).clamp(max=len(powers))] - totals[(centres - half).clamp(min=0)]
    return torch.column_stack([torch.cat(medians), _ratio_db(around[:, 0], around[:, 1]).float()])


def _nanmedian(values: Tensor) -> Tensor:
    """Medians (t, k) of (t, k, n), the lower of two in the middle, NaN left out; 0 where there is nothing else."""
    ordered = np.sort(values.numpy(), axis=2)  # six times as fast as torch's nanmedian; NaN comes last
    middle = (np.isfinite(ordered).sum(axis=2, keepdims=True) - 1).clip(0) // 2
    return torch.from_numpy(np.nan_to_num(np.take_along_axis(ordered, middle, axis=2)[..., 0]))


def _spectral_tilt(samples: Sound, rate: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks of alpha ratio and Hammarberg index (f, 2) in dB, and of the power (f, 2) above 4 kHz and below."""
    length = round(TILT_S * rate)
    for frames in frame_blocks(samples, length, PAPER.hop, length // 2, 1 + len(samples) // PAPER.hop, BLOCK):
        yield _tilt(frames, rate)


def _tilt(frames: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    """Frames (f, length) -> what `_spectral_tilt` yields."""
    length = frames.shape[1]
    low, at_1k, at_2k, at_4k, at_5k = (round(hertz * length / rate) for hertz in (50, 1000, 2000, 4000, 5000))
    power = torch.view_as_real(torch.fft.rfft(frames * torch.hann_window(length))).square().sum(2)
    alpha = _ratio_db(power[:, at_1k:at_5k].sum(1), power[:, low:at_1k].sum(1))
    hammarberg = _ratio_db(power[:, :at_2k].amax(1), power[:, at_2k : at_5k + 1].amax(1))
    powers = torch.stack([power[:, at_4k:].sum(1), power[:, low:at_4k].sum(1)], 1)
    return torch.stack([alpha, hammarberg], 1), powers


def _ratio_db(upper: Tensor, lower: Tensor) -> Tensor:
    """Ratio of powers in dB within +-80; 0 where there is neither."""
    least = torch.finfo(upper.dtype).tiny
    return (10 * torch.log10(upper.clamp_min(least) / lower.clamp_min(least))).clamp(-80, 80)


# The same without later sound

FULL_SCALE_SINE = (PAPER.window / 4) ** 2
"""Mel power of a sine of amplitude 1. A sound that is not over yet has no maximum, so this takes its place: the floor
of `db` is 80 dB below it."""
LONGEST_FRAME = int(PAPER.rate * PITCH_S)
SILENT_ENERGY = SILENT * 0.5 * 0.375 * LONGEST_FRAME
"""Likewise for silent frames of `pitch`: relative to the energy of that sine under a Hann window."""


class TrailingDescriptors:
    """The statistics of `functionals` over the sound before a time, for 16 kHz sound that arrives in pieces.

    The windows of 1 s and 3 s end at the last frame that is complete: 20 ms before the time at the latest. Levels are
    compared with full scale, not with the loudest part of the sound. Of the frames, 3 s and those not yet asked for are
    kept.
    """

    def __init__(self) -> None:
        before = LONGEST_FRAME // 2
        self._samples = torch.zeros(before)  # the first frame is centred on sample 0
        self._frames = np.zeros((0, len(LOW_LEVEL) + len(EFFORT) + 2))
        self._last_mel: Tensor | None = None
        self._done, self._first = 0, 0  # frames that are described, and the first of those kept

    def hear(self, samples: np.ndarray) -> None:
        """Add samples (n,) in [-1, 1]."""
        self._samples = torch.cat([self._samples, torch.from_numpy(np.require(samples, np.float32, "W"))])
        complete = (len(self._samples) - LONGEST_FRAME) // PAPER.hop + 1
        if complete > 0:
            frames = self._samples.unfold(0, LONGEST_FRAME, PAPER.hop)[:complete]
            self._frames = np.concatenate([self._frames, self._described(frames)])
            self._samples, self._done = self._samples[complete * PAPER.hop :], self._done + complete

    def row(self, time_s: float) -> np.ndarray:
        """The statistics (44,) before a time (s), not earlier than the last; all sound before it has been heard."""
        count = min(int((time_s * PAPER.rate - LONGEST_FRAME // 2) // PAPER.hop) + 1, self._done)
        if count <= 0:
            return np.zeros(len(NAMES), np.float32)
        gone = max(count - round(EFFORT_SPAN_S * PAPER.rate / PAPER.hop) - self._first, 0)
        self._frames, self._first = self._frames[gone:], self._first + gone
        effort = self._frames[: count - self._first]
        second = effort[-round(PAPER.rate / PAPER.hop) :]
        return np.concatenate([_mean_and_deviation(second), _effort(effort)]).astype(np.float32)

    def _described(self, frames: Tensor) -> np.ndarray:
        """Frames (f, `LONGEST_FRAME`) -> columns (f, 25): low level, voiced, change of level, tilt, powers."""

        def middle(length: int) -> Tensor:
            start = (LONGEST_FRAME - length) // 2
            return frames[:, start : start + length]

        mel = _LOG_MEL.of_frames(middle(PAPER.window), FULL_SCALE_SINE)
        frequency, voicing, energy = _pitch(frames, PAPER.rate)
        voicing = torch.where(energy > SILENT_ENERGY, voicing, 0.0)
        described, last = _described(mel, self._last_mel, frequency, voicing), self._last_mel
        level_before = described[:1, 0] if last is None else _level(last)
        change = (described[:, 0] - torch.cat([level_before, described[:-1, 0]])).abs()
        tilts, powers = _tilt(middle(round(TILT_S * PAPER.rate)), PAPER.rate)
        self._last_mel = mel[-1:]
        columns = [described, (voicing > VOICED).float()[:, None], change[:, None], tilts, powers]
        return np.asarray(torch.cat(columns, 1).double().numpy())


_LOG_MEL = LogMel()


def _level(mel: Tensor) -> Tensor:
    """Log-mel frames (f, 64) in dB -> level (f,) in dB."""
    return 10 * torch.log10(torch.pow(10.0, mel / 10).sum(1) + 1e-10)


def _mean_and_deviation(frames: np.ndarray) -> np.ndarray:
    """Columns of `TrailingDescriptors` over 1 s -> the first statistics of `functionals`, up to `level_motion`."""
    low, voiced = frames[:, : len(LOW_LEVEL)], frames[:, len(LOW_LEVEL)]
    mean, deviation = low.mean(0), low.std(0)
    pitches = low[voiced > 0, PITCH]
    mean[PITCH], deviation[PITCH] = (pitches.mean(), pitches.std()) if len(pitches) else (0.0, 0.0)
    return np.concatenate([mean, deviation, [voiced.mean(), frames[:, len(LOW_LEVEL) + 1].mean()]])


def _effort(frames: np.ndarray) -> np.ndarray:
    """Columns of `TrailingDescriptors` over 3 s -> those of `vocal_effort`."""
    *tilts, above, below = frames[:, len(LOW_LEVEL) + 2 :].T
    voiced = frames[:, len(LOW_LEVEL)] > 0
    values = [column[voiced] for column in (*tilts, frames[:, PITCH])]
    medians = [np.sort(v)[(len(v) - 1) // 2] if len(v) else 0.0 for v in values]
    treble = _ratio_db(torch.tensor([above.sum()]), torch.tensor([below.sum()])).numpy()
    return np.concatenate([medians, treble])
