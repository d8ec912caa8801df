"""A synthetic voice: glottal pulses and hiss through moving formants, coloured by arousal and a little by valence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from iaca.corpora.demo.identity import Voice
from iaca.corpora.demo.speech import CONTROL_HZ, Track, control_tracks, draw_syllables
from iaca.corpora.demo.trajectory import Trajectory

LEVEL_DB = -27.0
"""RMS level of the voiced sound at zero valence and arousal, dB of full scale."""
LOUDNESS_DB, PITCH_SEMITONES, TILT_OCTAVES = (8.0, 1.2), (5.0, 1.0), (1.2, 0.25)
"""Change from zero to full arousal, and from zero to full valence."""
TILT_HZ = 1700.0
BANDWIDTHS = np.array([80.0, 100.0, 140.0, 200.0])
BLOCK_S = 0.01


def synthesise(
    voice: Voice, valence: Trajectory, arousal: Trajectory, seconds: float, rate: int, seed: int, sign: int = 1
) -> NDArray[np.float32]:
    """Speech of `seconds` s at `rate` Hz, float32 (n,), in about [-0.7, 0.7].

    Pitch, loudness, speaking rate and brightness rise with arousal, the first two and brightness a little with valence.
    `sign` = -1 speaks with the opposite affect. Source-filter model: Fant, Acoustic Theory of Speech Production (1960).
    """
    rng = np.random.default_rng([seed, 41])
    syllables = draw_syllables(lambda t: sign * float(arousal.at(t)), seconds, rng)
    controls = control_tracks(syllables, seconds)
    ticks = np.arange(len(controls.voicing)) / CONTROL_HZ
    felt = np.stack([sign * arousal.at(ticks), sign * valence.at(ticks)])
    times = np.arange(round(seconds * rate)) / rate

    def at_rate(track: Track) -> Track:
        return np.interp(times, ticks, track)

    pitch = voice.pitch_hz * 2 ** ((PITCH_SEMITONES @ felt + controls.intonation) / 12)
    source = _glottis(at_rate(pitch), voice.breath, rate, rng) * at_rate(controls.voicing)
    tilt_hz = np.clip(TILT_HZ * 2 ** (np.array(TILT_OCTAVES) @ felt), 500, 0.4 * rate)
    voiced = _vocal_tract(source, controls.formants / voice.tract, tilt_hz, rate)
    sound = _level(voiced, at_rate(controls.voicing)) + 0.25 * _hiss(len(times), rate, rng) * at_rate(controls.hiss)
    gain_db = LEVEL_DB + np.array(LOUDNESS_DB) @ felt
    return (sound * at_rate(10 ** (gain_db / 20))).astype(np.float32)


def _glottis(pitch: Track, breath: float, rate: int, rng: np.random.Generator) -> Track:
    """Derivative of the air flow: smooth opening, quick closing, closed for the rest of the period; breath on top."""
    jitter = 1 + 0.01 * np.repeat(rng.normal(0, 1, len(pitch) // 64 + 1), 64)[: len(pitch)]
    phase = np.cumsum(pitch * jitter / rate) % 1.0
    opening, closing = phase / 0.42, (phase - 0.42) / 0.16
    flow = np.where(phase < 0.42, 0.5 - 0.5 * np.cos(np.pi * opening), np.cos(0.5 * np.pi * np.clip(closing, 0, 1)))
    return np.diff(flow, prepend=flow[0]) + 0.05 * breath * rng.normal(0, 1, len(pitch)) * (0.3 + flow)


def _vocal_tract(source: Track, formants: Track, tilt_hz: Track, rate: int) -> Track:
    """The source through four resonances and a low-pass for the spectral tilt, all of which move."""
    block = int(BLOCK_S * rate)
    count = -(-len(source) // block)
    ticks = np.minimum((np.arange(count) * BLOCK_S * CONTROL_HZ).astype(int), len(formants) - 1)
    sections = np.concatenate([_resonances(formants[ticks], rate), _low_pass(tilt_hz[ticks], rate)[:, None]], axis=1)
    state = np.zeros((sections.shape[1], 2))
    out = np.empty_like(source)
    for i in range(count):
        part = slice(i * block, (i + 1) * block)
        out[part], state = sosfilt(sections[i], source[part], zi=state)
    return out


def _resonances(formants: Track, rate: int) -> Track:
    """Second-order sections (n, 4, 6) of resonators at these frequencies (n, 4), Hz, with gain 1 at 0 Hz."""
    radius = np.exp(-np.pi * BANDWIDTHS / rate) * np.ones_like(formants)
    first = -2 * radius * np.cos(2 * np.pi * np.minimum(formants, 0.47 * rate) / rate)
    second, none, one = radius**2, np.zeros_like(first), np.ones_like(first)
    return np.stack([1 + first + second, none, none, one, first, second], axis=-1)


def _low_pass(cutoff: Track, rate: int) -> Track:
    """Second-order sections (n, 6) of one-pole low-passes."""
    pole = np.exp(-2 * np.pi * cutoff / rate)
    none = np.zeros_like(pole)
    return np.stack([1 - pole, none, none, none + 1, -pole, none], axis=-1)


def _level(sound: Track, voicing: Track) -> Track:
    """Unit RMS over the voiced stretches."""
    voiced = sound[voicing > 0.3]
    rms = float(np.sqrt(np.mean(voiced**2))) if len(voiced) else 1.0
    return sound / max(rms, 1e-9)


def _hiss(count: int, rate: int, rng: np.random.Generator) -> Track:
    """Noise of fricatives, unit RMS."""
    band = butter(2, [0.28 * rate / 2, 0.92 * rate / 2], "bandpass", fs=rate, output="sos")
    noise = sosfilt(band, rng.normal(0, 1, count))
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))
