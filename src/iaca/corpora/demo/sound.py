"""The sound of a video: the speaker's voice, what happens to it, and how far the mouth opens with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from iaca.corpora.demo.identity import Voice
from iaca.corpora.demo.plan import ClipPlan, VideoPlan
from iaca.corpora.demo.schedule import Event
from iaca.corpora.demo.trajectory import Trajectory
from iaca.corpora.demo.voice import synthesise

Samples = NDArray[np.float32]
ROOM_DB = -66.0
"""Level of the room's own noise, dB of full scale."""
SNR_DB = (-5.0, 0.0)
"""Range of the signal-to-noise ratio in noisy stretches."""
WINDOW_S, LOUD_RMS = 0.05, 0.13


@dataclass(frozen=True)
class Sound:
    """What is heard in a video (n,) and what the speaker really said (n,), both float32 at the corpus's rate."""

    heard: Samples
    spoken: Samples


def make_sound(plan: VideoPlan, rate: int) -> Sound:
    """The sound of a video at `rate` Hz; in silent stretches the heard samples are exactly 0."""
    spoken = take(plan.speaker, plan.seconds, rate)
    heard = spoken + _room(len(spoken), plan.seed)
    for event in plan.events:
        part = slice(round(event.start_s * rate), round(event.end_s * rate))
        heard[part] = _corrupt(event, heard[part], part, plan, rate)
    return Sound(np.clip(heard, -1, 1), spoken)


def take(clip: ClipPlan, seconds: float, rate: int) -> Samples:
    """What the person says in this clip."""
    return synthesise(clip.identity.voice, clip.valence, clip.arousal, seconds, rate, clip.seed)


def other_take(clip: ClipPlan, voice: Voice, seconds: float, rate: int, seed: int) -> Samples:
    """Another text, spoken with the opposite affect."""
    return synthesise(voice, clip.valence, clip.arousal, seconds, rate, seed, sign=-1)


def mouth_opening(samples: Samples, rate: int, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a mouth that speaks this is open at these times (s), 0 to 1: the sound's envelope, compressed."""
    power = uniform_filter1d(samples.astype(np.float64) ** 2, round(WINDOW_S * rate), mode="constant")
    rms = np.sqrt(np.maximum(power, 0))
    opening = np.clip((rms / LOUD_RMS) ** 0.5 - 0.12, 0, 1)
    return np.asarray(np.interp(times, np.arange(len(samples)) / rate, opening))


def _corrupt(event: Event, samples: Samples, part: slice, plan: VideoPlan, rate: int) -> Samples:
    if event.kind == "silent":
        return np.zeros_like(samples)
    if event.kind == "noisy":
        return _add_noise(samples, plan.seconds, part, rate, event)
    rng = np.random.default_rng([event.seed, 2])
    stranger = _stranger(plan.speaker.identity.voice, rng)
    return other_take(plan.speaker, stranger, plan.seconds, rate, event.seed)[part] + _room(len(samples), event.seed)


def _add_noise(samples: Samples, seconds: float, part: slice, rate: int, event: Event) -> Samples:
    """The samples with babble or broadband noise, at a signal-to-noise ratio drawn from `SNR_DB`."""
    rng = np.random.default_rng([event.seed, 3])
    snr_db = rng.uniform(*SNR_DB)
    noise = _babble(seconds, rate, event.seed, rng)[part] if rng.uniform() < 0.6 else _rumble(len(samples), rng)
    wanted = max(_rms(samples), 0.01) * 10 ** (-snr_db / 20)
    return (samples + noise * (wanted / max(_rms(noise), 1e-9))).astype(np.float32)


def _babble(seconds: float, rate: int, seed: int, rng: np.random.Generator) -> Samples:
    """Four people who talk at once."""
    calm = Trajectory(())
    voices = [_stranger(Voice(), rng) for _ in range(4)]
    parts = [synthesise(v, calm, calm, seconds, rate, seed + i) for i, v in enumerate(voices)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float32)


def _rumble(count: int, rng: np.random.Generator) -> Samples:
    """Broadband noise that falls towards high frequencies, as of wind or traffic."""
    return np.asarray(lfilter([1.0], [1.0, -0.9], rng.normal(0, 1, count)), dtype=np.float32)


def _stranger(voice: Voice, rng: np.random.Generator) -> Voice:
    """Another speaker: clearly lower or higher, with another vocal tract."""
    lower = voice.pitch_hz > 150
    factor = rng.uniform(0.55, 0.75) if lower else rng.uniform(1.35, 1.7)
    return replace(voice, pitch_hz=float(voice.pitch_hz * factor), tract=float(1.1 if lower else 0.93))


def _room(count: int, seed: int) -> Samples:
    return np.random.default_rng([seed, 4]).normal(0, 10 ** (ROOM_DB / 20), count).astype(np.float32)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
