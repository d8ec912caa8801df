"""From a clip's faces and sound to its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from iaca.encoders.config import EmbeddingConfig, describe
from iaca.encoders.cues import BOX, LANDMARKS, NAMES, FaceCues, sound_cues, stacked, synchrony
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.networks import FaceBatch, VisualEncoder, build_encoders, nearest_faces, read_ahead, to_rows
from iaca.encoders.task import VERSION
from iaca.faces.store import Jpegs
from iaca.media import AudioTrack, present_at

NUMBERS = ["time_s", "face_found", "score", *BOX, *LANDMARKS]
"""Columns of a table of faces that an embedding is made of, besides the images."""
THREADS = 2  # beside the one that computes: decoding and the audio encoder


@dataclass(frozen=True)
class Sound:
    """Embeddings (t, D_a) and cues (t,) by name of a sound. Several people of a video share them."""

    rows: NDArray[np.float32]
    cues: Mapping[str, NDArray[np.float32]]


def embed(
    faces: pd.DataFrame,
    jpegs: Jpegs,
    audio: AudioTrack,
    config: EmbeddingConfig,
    sound: Sound | None = None,
) -> ClipEmbedding:
    """Embed one clip. With images and sound on disk, only its numbers and what is at work are in memory.

    Args:
        faces: `NUMBERS` of `iaca.faces.extract_faces`, a row per decoded frame; box and landmarks may be unknown.
        jpegs: the aligned face of each row that has one.
        audio: the clip's sound, 16 kHz, zero at the container's start.
        config: which encoders.
        sound: what `embed_sound` made of the same sound at the same times; None to make it here.
    """
    times, found = faces["time_s"].to_numpy(np.float64), faces["face_found"].to_numpy(bool)
    visual_encoder, _ = build_encoders(config)
    audio_present, face_cues = present_at(audio.present, times), FaceCues(faces)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="embed") as pool:
        encoding_sound = pool.submit(lambda: sound or embed_sound(audio, times, config))
        visual = encode_faces(jpegs, found, visual_encoder, pool, face_cues)
        encoded_sound = encoding_sound.result()
    cues = {**face_cues.columns(), **encoded_sound.cues}
    cues |= synchrony(cues["mouth_opening"], cues["sound_level"], times, found & audio_present)
    return ClipEmbedding(
        audio=encoded_sound.rows,
        visual=visual,
        audio_present=audio_present,
        face_found=found,
        time_s=times,
        quality=stacked(cues),
        quality_names=NAMES,
        metadata={**describe(config), "embedding_version": VERSION},
    )


def embed_sound(audio: AudioTrack, times: NDArray[np.float64], config: EmbeddingConfig) -> Sound:
    """The part of `embed` that is the same for everyone in a video; `times` (t,) in s."""
    _, encoder = build_encoders(config)
    return Sound(encoder.encode(audio.samples, times), sound_cues(audio.samples, audio.rate, times))


def encode_faces(
    jpegs: Jpegs, found: NDArray[np.bool_], encoder: VisualEncoder, pool: ThreadPoolExecutor, cues: FaceCues
) -> NDArray[np.float32]:
    """Embeddings (t, dim), zeros where there is no face; `cues` measures every face.

    The rows of a batch are fetched when the next one has been handed to the device, so that a GPU does not wait. Cues
    are measured in the pool meanwhile, one batch after the other: motion is relative to the face before.
    """
    rows = np.zeros((len(found), encoder.dim), np.float32)
    with_face = np.flatnonzero(found)
    launched: tuple[NDArray[np.intp], Tensor] | None = None
    measuring: Future[None] | None = None
    for batch in read_ahead(jpegs, found, encoder.batch, encoder.reach, pool):
        if measuring is not None:
            measuring.result()
        measuring = pool.submit(_measure_cues, batch, cues)
        sources = [
            np.searchsorted(batch.frames, nearest_faces(with_face, batch.steps, network.offsets))
            for network in encoder.networks
        ]
        before, launched = launched, (batch.steps, encoder.launch(batch.faces, sources))
        if before is not None:
            rows[before[0]] = to_rows(before[1])
    if launched is not None:
        rows[launched[0]] = to_rows(launched[1])
    if measuring is not None:
        measuring.result()
    return rows


def _measure_cues(batch: FaceBatch, cues: FaceCues) -> None:
    for step, place in zip(batch.steps, np.searchsorted(batch.frames, batch.steps), strict=True):
        cues.add(int(step), batch.faces[place])
