"""Small clips in which every row is unique, so that the origin of a row can be identified."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iaca.encoders.cues import NAMES, synchrony
from iaca.encoders.embedding import ARRAYS, AnnotatedClip, ClipEmbedding

AUDIO_DIM, VISUAL_DIM, RATE_HZ = 3, 4, 25.0
SCALE = {"audio": np.full(AUDIO_DIM, 2.0, np.float32), "visual": np.full(VISUAL_DIM, 0.5, np.float32)}


def annotated(seed: int, steps: int, observed: float = 0.9) -> AnnotatedClip:
    """Random features; each modality is observed in about that share of the steps; a few steps are not annotated."""
    rng = np.random.default_rng([7, seed])
    time_s = np.arange(steps) / RATE_HZ
    quality = rng.uniform(0, 10, (steps, len(NAMES))).astype(np.float32)
    audio_present, face_found = rng.random(steps) < observed, rng.random(steps) < observed
    opening, level = (quality[:, NAMES.index(name)] for name in ("mouth_opening", "sound_level"))
    for name, values in synchrony(opening, level, time_s, audio_present & face_found).items():
        quality[:, NAMES.index(name)] = values
    labels = np.tanh(np.cumsum(rng.normal(0, 0.2, (steps, 2)), axis=0)).astype(np.float32)
    labels[::11] = np.nan
    embedding = ClipEmbedding(
        audio=(2 * rng.standard_normal((steps, AUDIO_DIM))).astype(np.float32),
        visual=(0.5 * rng.standard_normal((steps, VISUAL_DIM))).astype(np.float32),
        audio_present=audio_present,
        face_found=face_found,
        time_s=time_s,
        quality=quality,
        quality_names=NAMES,
        metadata={},
    )
    return AnnotatedClip(embedding, labels)


def annotated_clips(lengths: list[int]) -> dict[str, AnnotatedClip]:
    return {f"clip{i}": annotated(i, steps) for i, steps in enumerate(lengths)}


def clip(seed: int, steps: int, observed: float = 0.9) -> ClipEmbedding:
    return annotated(seed, steps, observed).embedding


def clips(lengths: list[int], observed: float = 0.9) -> dict[str, ClipEmbedding]:
    return {f"clip{i}": clip(i, steps, observed) for i, steps in enumerate(lengths)}


def arrays(clip: ClipEmbedding) -> Mapping[str, np.ndarray]:
    return {name: getattr(clip, name) for name in ARRAYS}


def same(one: ClipEmbedding, other: ClipEmbedding) -> bool:
    """Bit for bit."""
    return all(a.tobytes() == b.tobytes() for a, b in zip(arrays(one).values(), arrays(other).values(), strict=True))
