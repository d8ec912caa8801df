"""Noise and babble added to a sound at a signal-to-noise ratio that can be measured afterwards.

The ratio is SNR = 20 log10(rms(sound) / rms(noise)), in dB. The sound counts wherever the file really holds some,
pauses included; the noise where it was added. Samples stay floating-point numbers and may pass full scale: nothing is
clipped, and the sound itself keeps its level. Stored as integers (`iaca.media.write_audio`) they would be clipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from iaca.media import AudioTrack

SILENT_RMS = 1e-4
"""A sound under this (-80 dB of full scale) is silence: no noise has a ratio to it."""
TALKERS = 6
"""Voices of a babble: as many as no longer can be told apart."""
SYLLABLES_HZ, DULL_HZ = 4.0, 500.0
"""Of voices that are made up: how often they swell, and above which frequency they fall by 6 dB an octave."""
Samples = NDArray[np.float32]
Mask = NDArray[np.bool_]


def present_samples(track: AudioTrack) -> Mask:
    """(n,) bool, the samples of a track that its file really holds."""
    there = np.zeros(len(track.samples), np.bool_)
    for start_s, end_s in track.present:
        there[round(start_s * track.rate) : round(end_s * track.rate)] = True
    return there


def samples_of_steps(steps: Mask, times: NDArray[np.float64], count: int, rate: int) -> Mask:
    """(count,) bool, the samples of the chosen steps: each sample belongs to the step that is nearest in time.

    Args:
        steps: (t,) the chosen ones.
        times: (t,) s, increasing.
        count: samples of the sound.
        rate: Hz.
    """
    edges = np.rint((times[1:] + times[:-1]) / 2 * rate).astype(np.int64).clip(0, count)
    return np.repeat(steps, np.diff(np.concatenate([[0], edges, [count]])))


def rms(samples: Samples) -> float:
    """Root of the mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def add_noise(sound: Samples, noise: Samples, present: Mask, where: Mask, snr_db: float) -> Samples:
    """The sound (n,) with a noise (n,) at a ratio (dB) where both masks (n,) are; bit for bit the sound elsewhere.

    The noise is scaled by its own root mean square over the samples that it is added to, so that the ratio is the one
    that was asked for, whatever was drawn. A silent sound (`SILENT_RMS`) comes back as it is.
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
    """Gaussian noise (count,), equally strong at all frequencies."""
    return rng.standard_normal(count, dtype=np.float32)


def babble(rng: np.random.Generator, count: int, rate: int, voices: Sequence[AudioTrack]) -> Samples:
    """People talking at once (count,): the voices, equally loud, each from a drawn place on and then from its start.

    Voices that hold no sound are left out. Where none is left, `TALKERS` are made up: noise that falls above
    `DULL_HZ` and swells `SYLLABLES_HZ` times a second.
    """
    heard = [voice.samples[:][present_samples(voice)] for voice in voices]
    heard = [samples / np.float32(rms(samples)) for samples in heard if rms(samples) >= SILENT_RMS]
    talkers = [np.resize(np.roll(samples, -int(rng.integers(len(samples)))), count) for samples in heard]
    talkers = talkers or [_made_up(rng, count, rate) for _ in range(TALKERS)]
    return np.asarray(np.sum(talkers, axis=0), np.float32)


def _made_up(rng: np.random.Generator, count: int, rate: int) -> Samples:
    keeps = np.exp(-2 * np.pi * DULL_HZ / rate)
    dull = lfilter([1.0 - keeps], [1.0, -keeps], rng.standard_normal(count))
    syllables = rng.random(int(count / rate * SYLLABLES_HZ * 2) + 2)  # twice a period: up, and down again
    swell = np.interp(np.arange(count) * (SYLLABLES_HZ * 2 / rate), np.arange(len(syllables)), syllables)
    return np.asarray(dull * swell**2, np.float32)
