"""Synthesises the sound of a demo video: the speaker's voice, its corruptions, and the mouth opening it implies.

The voice is glottal pulses and hiss filtered by moving formants; arousal changes it strongly, valence a little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import butter, lfilter, sosfilt

from iaca.corpora.demo.plan import ClipPlan, Event, Trajectory, VideoPlan, Voice

Samples = NDArray[np.float32]
Track = NDArray[np.float64]

CONTROL_HZ = 200
VOWELS = np.array(
    [
        [730, 1150, 2450, 3400],
        [300, 2250, 2950, 3600],
        [320, 850, 2300, 3300],
        [540, 1850, 2550, 3500],
        [560, 900, 2450, 3350],
        [480, 1400, 2500, 3450],
        [650, 1700, 2450, 3450],
    ],
    dtype=np.float64,
)
"""Formants F1 to F4 (Hz) of seven vowels of an average vocal tract."""
BASE_RATE = 4.2
"""Syllables per second at zero arousal."""
LEVEL_DB = -27.0
"""RMS level of the voiced sound at zero valence and arousal, dB of full scale."""
LOUDNESS_DB, PITCH_SEMITONES, TILT_OCTAVES = (8.0, 1.2), (5.0, 1.0), (1.2, 0.25)
"""Change from zero to full arousal, and from zero to full valence."""
TILT_HZ = 1700.0
RADIATION_HZ = 270.0
"""Radiation at the lips raises the voice by 6 dB per octave from here on. With it, alpha ratio and Hammarberg index of
a neutral voice (-8 and 20 dB) are near those of people (-11 and 22.5 dB); without, -16 and 31 dB."""
BANDWIDTHS = np.array([80.0, 100.0, 140.0, 200.0])
BLOCK_S = 0.01
ROOM_DB = -66.0
"""Level of the background noise, dB of full scale."""
SNR_DB = (-5.0, 0.0)
"""Range of the signal-to-noise ratio in noisy stretches."""
WINDOW_S, LOUD_RMS = 0.05, 0.13


# The sound of a video


@dataclass(frozen=True)
class Sound:
    """The sound of a video (n,) and the speaker's clean voice (n,), both float32 at the corpus's sampling rate."""

    heard: Samples
    spoken: Samples


def make_sound(plan: VideoPlan, rate: int) -> Sound:
    """The sound of a video at `rate` Hz; in silent stretches the heard samples are exactly 0."""
    speaker = plan.speaker
    spoken = synthesise(speaker.identity.voice, speaker.valence, speaker.arousal, plan.seconds, rate, speaker.seed)
    heard = spoken + _room(len(spoken), plan.seed)
    for event in plan.events:
        part = slice(round(event.start_s * rate), round(event.end_s * rate))
        heard[part] = _corrupt(event, heard[part], part, plan, rate)
    return Sound(np.clip(heard, -1, 1), spoken)


def _corrupt(event: Event, samples: Samples, part: slice, plan: VideoPlan, rate: int) -> Samples:
    if event.kind == "silent":
        return np.zeros_like(samples)
    if event.kind == "noisy":
        return _add_noise(samples, plan.seconds, part, rate, event)
    rng = np.random.default_rng([event.seed, 2])
    stranger = _stranger(plan.speaker.identity.voice, rng)
    return other_take(plan.speaker, stranger, plan.seconds, rate, event.seed)[part] + _room(len(samples), event.seed)


def other_take(clip: ClipPlan, voice: Voice, seconds: float, rate: int, seed: int) -> Samples:
    """Another text, spoken with the opposite affect."""
    return synthesise(voice, clip.valence, clip.arousal, seconds, rate, seed, sign=-1)


def _add_noise(samples: Samples, seconds: float, part: slice, rate: int, event: Event) -> Samples:
    """The samples with babble or broadband noise, at a signal-to-noise ratio drawn from `SNR_DB`."""
    rng = np.random.default_rng([event.seed, 3])
    snr_db = rng.uniform(*SNR_DB)
    noise = _babble(seconds, rate, event.seed, rng)[part] if rng.uniform() < 0.6 else _rumble(len(samples), rng)
    wanted = max(_rms(samples), 0.01) * 10 ** (-snr_db / 20)
    return (samples + noise * (wanted / max(_rms(noise), 1e-9))).astype(np.float32)


def _babble(seconds: float, rate: int, seed: int, rng: np.random.Generator) -> Samples:
    """Four people talking at once."""
    calm = Trajectory(())
    voices = [_stranger(Voice(), rng) for _ in range(4)]
    parts = [synthesise(v, calm, calm, seconds, rate, seed + i) for i, v in enumerate(voices)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float32)


def _rumble(count: int, rng: np.random.Generator) -> Samples:
    """Broadband noise with less power at high frequencies, like wind or traffic."""
    return np.asarray(lfilter([1.0], [1.0, -0.9], rng.normal(0, 1, count)), dtype=np.float32)


def _stranger(voice: Voice, rng: np.random.Generator) -> Voice:
    """Another speaker: clearly lower or higher, with another vocal tract."""
    lower = voice.pitch_hz > 150
    factor = rng.uniform(0.55, 0.75) if lower else rng.uniform(1.35, 1.7)
    return replace(voice, pitch_hz=float(voice.pitch_hz * factor), tract=float(1.1 if lower else 0.93))


def _room(count: int, seed: int) -> Samples:
    """Background noise."""
    return np.random.default_rng([seed, 4]).normal(0, 10 ** (ROOM_DB / 20), count).astype(np.float32)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def mouth_opening(samples: Samples, rate: int, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Opening (n,), 0 to 1, of a mouth that speaks this, at these times (s): the compressed envelope of the sound."""
    power = uniform_filter1d(samples.astype(np.float64) ** 2, round(WINDOW_S * rate), mode="constant")
    rms = np.sqrt(np.maximum(power, 0))
    opening = np.clip((rms / LOUD_RMS) ** 0.5 - 0.12, 0, 1)
    return np.asarray(np.interp(times, np.arange(len(samples)) / rate, opening))


# The voice


def synthesise(
    voice: Voice, valence: Trajectory, arousal: Trajectory, seconds: float, rate: int, seed: int, sign: int = 1
) -> NDArray[np.float32]:
    """Speech of `seconds` s at `rate` Hz, float32 (n,), in about [-0.7, 0.7].

    Pitch, loudness, speaking rate and brightness rise with arousal, the first two and brightness a little with valence.
    `sign` = -1 speaks with the opposite affect. Source-filter model: Fant, Acoustic Theory of Speech Production (1960).
    """
    rng = np.random.default_rng([seed, 41])
    syllables = _draw_syllables(lambda t: sign * float(arousal.at(t)), seconds, rng)
    controls = _control_tracks(syllables, seconds)
    ticks = np.arange(len(controls.voicing)) / CONTROL_HZ
    felt = np.stack([sign * arousal.at(ticks), sign * valence.at(ticks)])
    times = np.arange(round(seconds * rate)) / rate

    def at_rate(track: Track) -> Track:
        return np.interp(times, ticks, track)

    pitch = voice.pitch_hz * 2 ** ((PITCH_SEMITONES @ felt + controls.intonation) / 12)
    source = _glottis(at_rate(pitch), voice.breath, rate, rng) * at_rate(controls.voicing)
    tilt_hz = np.clip(TILT_HZ * 2 ** (np.array(TILT_OCTAVES) @ felt), 500, 0.4 * rate)
    inside = _vocal_tract(source, controls.formants / voice.tract, tilt_hz, rate)
    voiced = lfilter([1, -np.exp(-2 * np.pi * RADIATION_HZ / rate)], [1], inside)
    sound = _normalise(voiced, at_rate(controls.voicing)) + 0.25 * _hiss(len(times), rate, rng) * at_rate(controls.hiss)
    gain_db = LEVEL_DB + np.array(LOUDNESS_DB) @ felt
    return (sound * at_rate(10 ** (gain_db / 20))).astype(np.float32)


def _glottis(pitch: Track, breath: float, rate: int, rng: np.random.Generator) -> Track:
    """Derivative of the air flow: smooth opening, quick closing, closed for the rest of the period; plus breath."""
    jitter = 1 + 0.01 * np.repeat(rng.normal(0, 1, len(pitch) // 64 + 1), 64)[: len(pitch)]
    phase = np.cumsum(pitch * jitter / rate) % 1.0
    opening, closing = phase / 0.42, (phase - 0.42) / 0.16
    flow = np.where(phase < 0.42, 0.5 - 0.5 * np.cos(np.pi * opening), np.cos(0.5 * np.pi * np.clip(closing, 0, 1)))
    return np.diff(flow, prepend=flow[0]) + 0.05 * breath * rng.normal(0, 1, len(pitch)) * (0.3 + flow)


def _vocal_tract(source: Track, formants: Track, tilt_hz: Track, rate: int) -> Track:
    """The source filtered by four resonances and a low-pass for the spectral tilt, all of them time-varying."""
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
    second, zero, one = radius**2, np.zeros_like(first), np.ones_like(first)
    return np.stack([1 + first + second, zero, zero, one, first, second], axis=-1)


def _low_pass(cutoff: Track, rate: int) -> Track:
    """Second-order sections (n, 6) of one-pole low-passes."""
    pole = np.exp(-2 * np.pi * cutoff / rate)
    zero = np.zeros_like(pole)
    return np.stack([1 - pole, zero, zero, zero + 1, -pole, zero], axis=-1)


def _normalise(sound: Track, voicing: Track) -> Track:
    """Scale to unit RMS over the voiced stretches."""
    voiced = sound[voicing > 0.3]
    rms = float(np.sqrt(np.mean(voiced**2))) if len(voiced) else 1.0
    return sound / max(rms, 1e-9)


def _hiss(count: int, rate: int, rng: np.random.Generator) -> Track:
    """Fricative noise of unit RMS."""
    band = butter(2, [0.28 * rate / 2, 0.92 * rate / 2], "bandpass", fs=rate, output="sos")
    noise = sosfilt(band, rng.normal(0, 1, count))
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


# Syllables


@dataclass(frozen=True)
class _Syllable:
    """A vowel and the consonant before it: `hiss` is 0 for no fricative; `declination` runs from 0 to 1 in a phrase."""

    start_s: float
    duration_s: float
    vowel: int
    hiss: float
    stress: float
    declination: float


def _draw_syllables(arousal: Callable[[float], float], seconds: float, rng: np.random.Generator) -> list[_Syllable]:
    """Syllables in phrases of 4 to 9 with pauses between them; both come faster with arousal."""
    syllables: list[_Syllable] = []
    now = float(rng.uniform(0.05, 0.3))
    while now < seconds:
        count = int(rng.integers(4, 10))
        for i in range(count):
            duration = float(rng.uniform(0.8, 1.25)) / (BASE_RATE * 2 ** (0.45 * arousal(now)))
            hiss = float(rng.choice([0.0, 0.0, 0.6, 1.0]))
            stress = float(rng.uniform(0.6, 1.0))
            syllables.append(_Syllable(now, duration, int(rng.integers(len(VOWELS))), hiss, stress, i / (count - 1)))
            now += duration
        now += float(rng.uniform(0.22, 0.5)) * (1 - 0.3 * arousal(now))
    return syllables


@dataclass(frozen=True)
class _Controls:
    """Tracks at `CONTROL_HZ`: voicing and hiss (n,) in [0, 1], intonation (n,) in semitones, formants (n, 4) in Hz."""

    voicing: Track
    hiss: Track
    intonation: Track
    formants: Track


def _control_tracks(syllables: list[_Syllable], seconds: float) -> _Controls:
    """The tracks of a list of syllables, smoothed by the inertia of tongue and vocal folds."""
    count = int(np.ceil(seconds * CONTROL_HZ)) + 1
    voicing, hiss, intonation = np.zeros((3, count))
    formants = np.repeat(VOWELS[5][None], count, axis=0)
    for syllable in syllables:
        start, stop = (int(t * CONTROL_HZ) for t in (syllable.start_s, syllable.start_s + syllable.duration_s))
        onset = start + max(1, int(0.28 * (stop - start)))
        hiss[start:onset] = syllable.hiss
        voicing[onset:stop] = syllable.stress
        intonation[start:stop] = 2.5 * (0.5 - syllable.declination) + 3.0 * (syllable.stress - 0.8)
        formants[start:] = VOWELS[syllable.vowel]
    smooth = [gaussian_filter1d(x, s * CONTROL_HZ, axis=0) for x, s in
              ((voicing, 0.018), (hiss, 0.012), (intonation, 0.05), (formants, 0.025))]  # fmt: skip
    return _Controls(*smooth)
