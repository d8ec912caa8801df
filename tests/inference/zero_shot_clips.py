"""Hand-made clips: posteriors of choice for the face, descriptors of choice for the voice."""

import numpy as np

from iaca.audio.features import NAMES
from iaca.encoders.cues import NAMES as CUES
from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.find import NAMED
from iaca.inference.zero_shot import CLASSES, ZeroShot

MODEL = ZeroShot.read(NAMED["zero_shot"])
VOICE = {"level_db_mean": 20.0, "pitch_mean": 0.5, "level_motion": 1.5, "voiced_share": 0.6}
CLEAN = {
    "face_score": 1.0,
    "face_size": 150.0,
    "face_sharpness": 6.0,
    "face_contrast": 0.15,
    "voice_activity": 1.0,
    "snr_estimate": 25.0,
}


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
