"""From a clip's faces and sound to its embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders import quality
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import ClipEmbedding, write_embedding
from iaca.encoders.registry import VisualEncoder, build_encoders
from iaca.errors import InputError
from iaca.faces import decode_face, read_faces
from iaca.media import AudioTrack, present_at, read_audio_file

VERSION = "2"


def embed_file(faces: Path, audio: Path, timeline: Path, *, target: Path, config: EmbeddingConfig) -> None:
    """The engine's task: read a clip's faces (Parquet), sound (FLAC) and timeline (Parquet), write its embeddings."""
    labels = pd.read_parquet(timeline, columns=["time_s", "valence", "arousal"])
    table = read_faces(faces, columns=["time_s", "face_found", "score", "jpeg"])
    if len(labels) != len(table):
        raise InputError(
            f"{len(table)} frames of faces, but {len(labels)} in the timeline",
            faces,
            remedy="the video changed in between: run ingestion and preprocessing again",
        )
    embedding = embed(table, read_audio_file(audio), labels[["valence", "arousal"]].to_numpy(np.float32), config)
    write_embedding(embedding, target)


def embed(
    faces: pd.DataFrame, audio: AudioTrack, labels: NDArray[np.float32] | None, config: EmbeddingConfig
) -> ClipEmbedding:
    """Embed one clip.

    Args:
        faces: rows of `iaca.faces.extract_faces`, one per decoded frame.
        audio: the clip's sound, 16 kHz, zero at the container's start.
        labels: (t, 2) valence and arousal, NaN where not annotated; None for a clip without any.
        config: which encoders.
    """
    times, found = faces["time_s"].to_numpy(np.float64), faces["face_found"].to_numpy(bool)
    visual_encoder, audio_encoder = build_encoders(config)
    visual, sharpness, motion = _see(faces, found, visual_encoder, config.batch)
    level, snr, activity = quality.sound_cues(audio.samples, audio.rate, times)
    score = faces["score"].fillna(0.0).to_numpy(np.float32)
    synchrony = quality.synchrony(motion, level, times)
    return ClipEmbedding(
        audio=audio_encoder.encode(audio.samples, times),
        visual=visual,
        audio_present=present_at(audio.present, times),
        face_found=found,
        time_s=times,
        labels=np.full((len(times), 2), np.nan, np.float32) if labels is None else labels,
        quality=np.stack([score, sharpness, level, snr, activity, synchrony, motion], axis=1),
        quality_names=quality.NAMES,
        metadata={
            "visual_encoder": config.visual,
            "audio_encoder": config.audio,
            "visual_version": visual_encoder.version,
            "audio_version": audio_encoder.version,
            "embedding_version": VERSION,
        },
    )


def _see(
    faces: pd.DataFrame, found: NDArray[np.bool_], encoder: VisualEncoder, batch: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings (t, dim), sharpness (t,) and mouth motion (t,); zeros where there is no face."""
    rows = np.zeros((len(faces), encoder.dim), np.float32)
    cues = np.zeros((len(faces), 2), np.float32)
    jpegs = faces["jpeg"].to_list()
    previous: tuple[int, NDArray[np.uint8]] | None = None
    for indices in _batches(np.flatnonzero(found), batch):
        images = [decode_face(jpegs[i]) for i in indices]
        for i, image in zip(indices, images, strict=True):
            cues[i] = quality.face_cues(image, previous[1] if previous and previous[0] == i - 1 else None)
            previous = (int(i), image)
        rows[indices] = encoder.encode(np.stack(images))
    return rows, cues[:, 0], cues[:, 1]


def _batches(indices: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
