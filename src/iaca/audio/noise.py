"""Add noise or babble to a sound at a given signal-to-noise ratio.

SNR = 20 log10(rms(sound) / rms(noise)), in dB. The RMS of the sound is taken over every sample that the file really
holds, pauses included; the RMS of the noise over the samples it is added to. The result is not clipped and may exceed
full scale, and the sound keeps its level. Writing it as integers (`iaca.media.write_audio`) would clip it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from iaca.media import AudioTrack

SILENT_RMS = 1e-4
"""A sound with a lower RMS (-80 dB of full scale) is silent: no noise has a ratio to it."""
TALKERS = 6
"""Voices in a babble: enough that single ones can no longer be made out."""
SYLLABLES_HZ, CUTOFF_HZ = 4.0, 500.0
"""Synthetic voices: how often they swell, and above which frequency they fall by 6 dB per octave."""
Samples = NDArray[np.float32]
Mask = NDArray[np.bool_]


def present_samples(track: AudioTrack) -> Mask:
    """Which samples (n,) of a track its file really holds."""
    there = np.zeros(len(track.samples), np.bool_)
    for start_s, end_s in track.present:
        there[round(start_s * track.rate) : round(end_s * track.rate)] = True
    return there


def samples_of_steps(steps: Mask, times: NDArray[np.float64], count: int, rate: int) -> Mask:
    """Which samples (count,) belong to the chosen steps; a sample belongs to the step nearest in time.

    Args:
        steps: (t,) True for the chosen steps.
        times: (t,) s, increasing.
        count: number of samples in the sound.
        rate: Hz.
    """
    edges = np.rint((times[1:] + times[:-1]) / 2 * rate).astype(np.int64).clip(0, count)
    return np.repeat(steps, np.diff(np.concatenate([[0], edges, [count]])))


def rms(samples: Samples) -> float:
    """Root mean square; 0 for an empty array."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def add_noise(sound: Samples, noise: Samples, present: Mask, where: Mask, snr_db: float) -> Samples:
    """Add a noise (n,) to a sound (n,) at a ratio (dB) where both masks (n,) are True; elsewhere no bit changes.

    The noise is scaled by its own RMS over the samples it is added to, so the ratio is exact whatever was drawn. A
    silent sound (`SILENT_RMS`) is returned unchanged.
    """
    reference, here = rms(sound[present]), present & where
    drawn = rms(noise[here])
    if reference < SILENT_RMS or drawn == 0 or np.isposinf(snr_db):
        return sound
    gain = reference / drawn * 10 ** (-snr_db / 20)
    mixed = sound.copy()
    mixed[here] += (gain * noise[here].astype(np.float64)).astype(np.float32)
    return mixed


def white_noise(rng: np.random.Generator, count: int) -> Samples:
    """Gaussian white noise (count,)."""
    return rng.standard_normal(count, dtype=np.float32)


def babble(rng: np.random.Generator, count: int, rate: int, voices: Sequence[AudioTrack]) -> Samples:
    """Several people talking at once (count,): all voices at the same RMS, each looped from a random place.

    Silent voices are left out. If none is left, `TALKERS` synthetic ones take their place: noise that falls off above
    `CUTOFF_HZ` and swells `SYLLABLES_HZ` times a second.
    """
    audible = [voice.samples[:][present_samples(voice)] for voice in voices]
    audible = [samples / np.float32(rms(samples)) for samples in audible if rms(samples) >= SILENT_RMS]
    talkers = [np.resize(np.roll(samples, -int(rng.integers(len(samples)))), count) for samples in audible]
    talkers = talkers or [_synthetic_voice(rng, count, rate) for _ in range(TALKERS)]
    return np.asarray(np.sum(talkers, axis=0), np.float32)


def _synthetic_voice(rng: np.random.Generator, count: int, rate: int) -> Samples:
    pole = np.exp(-2 * np.pi * CUTOFF_HZ / rate)
    low_passed = lfilter([1.0 - pole], [1.0, -pole], rng.standard_normal(count))
    syllables = rng.random(int(count / rate * SYLLABLES_HZ * 2) + 2)  # two points per period: a peak and a dip
    swell = np.interp(np.arange(count) * (SYLLABLES_HZ * 2 / rate), np.arange(len(syllables)), syllables)
    return np.asarray(low_passed * swell**2, np.float32)
