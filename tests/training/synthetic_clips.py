"""Clips of two latent trajectories: the face sees valence well and arousal badly, the voice the reverse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, embeddings_of

AUDIO_DIM, VISUAL_DIM = 6, 8
CUES = ("face_score", "snr_estimate", "synchrony")  # of the face, of the voice, of both


def smooth(rng: np.random.Generator, steps: int) -> np.ndarray:
    """(steps, 2) unit-variance trajectories that change over about 20 steps."""
    kernel = np.hanning(41)
    kernel /= np.sqrt((kernel**2).sum())
    return np.stack([np.convolve(rng.standard_normal(steps + 40), kernel, "valid") for _ in range(2)], axis=1)[:steps]


def annotated(seed: int, steps: int = 60, noise: float = 1.0) -> AnnotatedClip:
    """One clip: a segment without a face, a segment without sound, a few frames not annotated."""
    mixing = np.random.default_rng(99)
    to_audio, to_visual = mixing.standard_normal((2, AUDIO_DIM)), mixing.standard_normal((2, VISUAL_DIM))
    rng = np.random.default_rng(seed)
    latent = smooth(rng, steps)
    audio = latent * [0.2, 1.0] @ to_audio + noise * rng.standard_normal((steps, AUDIO_DIM))
    visual = latent * [1.0, 0.2] @ to_visual + noise * rng.standard_normal((steps, VISUAL_DIM))
    labels = np.tanh(0.5 * latent).astype(np.float32)
    labels[: steps // 20] = np.nan
    place = np.arange(steps) / steps
    quality = np.random.default_rng((seed, 1)).normal([0.9, 20.0, 0.4], [0.05, 5.0, 0.2], (steps, len(CUES)))
    embedding = ClipEmbedding(
        audio=audio.astype(np.float32),
        visual=visual.astype(np.float32),
        audio_present=(place < 0.8) | (place > 0.9),
        face_found=(place < 0.3) | (place > 0.45),
        time_s=np.arange(steps) / 25.0,
        quality=quality.astype(np.float32),
        quality_names=CUES,
        metadata={"audio_encoder": "descriptors", "visual_encoder": "fer", "clip_seed": str(seed)},
    )
    return AnnotatedClip(embedding, labels)


def annotated_clips(count: int, first: int = 0, steps: int = 60, noise: float = 1.0) -> dict[str, AnnotatedClip]:
    return {f"clip{seed}": annotated(seed, steps, noise) for seed in range(first, first + count)}


def clip(seed: int, steps: int = 60) -> ClipEmbedding:
    return annotated(seed, steps).embedding


def clips(count: int, steps: int = 60) -> dict[str, ClipEmbedding]:
    return embeddings_of(annotated_clips(count, steps=steps))


def blind(clip: ClipEmbedding, *, audio: bool = False, visual: bool = False) -> ClipEmbedding:
    """The clip without one modality or both, NaN in its place."""
    if audio:
        clip = replace(clip, audio=np.full_like(clip.audio, np.nan), audio_present=np.zeros_like(clip.audio_present))
    if visual:
        clip = replace(clip, visual=np.full_like(clip.visual, np.nan), face_found=np.zeros_like(clip.face_found))
    return clip
