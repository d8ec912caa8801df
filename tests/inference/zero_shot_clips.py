"""Hand-made clips: posteriors of choice for the face, descriptors of choice for the voice; and clips of a sound."""

from dataclasses import replace

import numpy as np

from iaca.audio.features import NAMES
from iaca.corpora.demo.plan import Trajectory, Voice
from iaca.corpora.demo.voice import synthesise
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cues import NAMES as CUES
from iaca.encoders.embed import embed_sound
from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.config import NAMED
from iaca.inference.zero_shot import CLASSES, ZeroShot
from iaca.media import AudioTrack

MODEL = ZeroShot.read(NAMED["zero_shot"])
RATE = 16_000
VOICE = {
    "alpha_ratio": -11.0,
    "hammarberg_index": 22.5,
    "pitch_median": 0.906,
    "treble": -18.0,
    "voiced_share": 0.6,
}
"""A voice that is neither calm nor aroused, over a good microphone."""
CLEAN = {
    "face_score": 1.0,
    "face_size": 150.0,
    "face_sharpness": 6.0,
    "face_contrast": 0.15,
    "voice_activity": 1.0,
    "snr_estimate": 25.0,
}


def evidence(clip: ClipEmbedding) -> np.ndarray:
    """(t,) in [0, 1): how much trusted evidence there is, of the face for valence, of both for arousal."""
    mass = MODEL.readings(clip)[2]
    both = np.stack([mass[:, 1], mass.sum(axis=1)], axis=1)
    return (both / (0.2 + both)).mean(axis=1)


def clip(
    expression: str | dict[str, float] | None = None,
    voice: dict[str, object] | None = None,
    cues: dict[str, object] | None = None,
    steps: int = 100,
    rate: float = 25.0,
    face: object = True,
    sound: object = True,
) -> ClipEmbedding:
    """A clip of `steps` at `rate` Hz; `expression` is a class or posteriors by class, values may be arrays (steps,)."""
    posteriors = {expression: 1.0} if isinstance(expression, str) else expression or {"neutral": 1.0}
    visual = np.zeros((steps, 135), np.float32)
    for i, name in enumerate(CLASSES):
        visual[:, 128 + i] = np.log(np.maximum(posteriors.get(name, 0.0), 1e-6))
    audio = np.zeros((steps, len(NAMES)), np.float32)
    for name, value in (VOICE | (voice or {})).items():
        audio[:, NAMES.index(name)] = value
    quality = np.full((steps, len(CUES)), np.nan, np.float32)
    for name, value in (CLEAN | (cues or {})).items():
        quality[:, CUES.index(name)] = value
    there = [np.array(np.broadcast_to(np.asarray(mask, bool), (steps,))) for mask in (sound, face)]
    return ClipEmbedding(audio, visual, *there, np.arange(steps) / rate, quality, CUES, {})


def spoken(samples: np.ndarray, rate: float = 25.0) -> ClipEmbedding:
    """A clip of a sound (n,) at 16 kHz without a face."""
    samples = np.asarray(samples, np.float32)
    times = np.arange(int(len(samples) / RATE * rate)) / rate
    sound = embed_sound(AudioTrack(samples, RATE, ((0.0, len(samples) / RATE),)), times, EmbeddingConfig())
    quality = np.full((len(times), len(CUES)), np.nan, np.float32)
    for name, cue in sound.cues.items():
        quality[:, CUES.index(name)] = cue
    heard, seen = np.ones(len(times), bool), np.zeros(len(times), bool)
    return ClipEmbedding(sound.rows, np.zeros((len(times), 135), np.float32), heard, seen, times, quality, CUES, {})


def with_face(spoken: ClipEmbedding, expression: str, sure: float = 0.7) -> ClipEmbedding:
    """A clip of a sound with a face that shows an expression throughout: what is not sure is spread over all seven."""
    posteriors = dict.fromkeys(CLASSES, (1 - sure) / len(CLASSES))
    face = clip(posteriors | {expression: posteriors[expression] + sure}, steps=len(spoken))
    return replace(spoken, visual=face.visual, face_found=face.face_found)


def speech(arousal: float, pitch_hz: float = 170.0, seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    """A synthetic voice that is equally aroused from beginning to end, with the noise of a quiet room."""
    calm, steady = Trajectory(()), Trajectory(((0.0, np.arctanh(arousal / 0.95), np.pi / 2),))
    voice = synthesise(Voice(pitch_hz=pitch_hz), calm, steady, seconds, RATE, seed)
    return voice + np.random.default_rng(seed).normal(0, 10 ** (-66 / 20), len(voice)).astype(np.float32)
