"""The engine's task of the embedding pipeline, in a module that brings no torch: thousands of clips that are up to date
are found to be so without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from iaca.encoders.config import EmbeddingConfig, describe, mismatches
from iaca.encoders.embedding import write_embedding
from iaca.errors import InputError

VERSION = "3"


def embed_file(
    faces: Path, audio: Path, timeline: Path, *, target: Path, config: EmbeddingConfig, encoders: Mapping[str, str]
) -> None:
    """The engine's task: read a clip's faces (Parquet), sound (FLAC) and timeline (Parquet), write its embeddings.

    Args:
        faces, audio, timeline: of the clip.
        target: the file to write.
        config: which encoders.
        encoders: what `describe` said of them when the task was planned: it is part of the task's fingerprint.

    Raises:
        InputError: the inputs do not belong together, or the encoders have changed since the task was planned.
    """
    from iaca.encoders.embed import NUMBERS, embed  # brings torch
    from iaca.faces import FaceImages, read_faces
    from iaca.media import read_audio_file

    labels = pd.read_parquet(timeline, columns=["time_s", "valence", "arousal"])
    table = read_faces(faces, columns=NUMBERS)
    if len(labels) != len(table):
        raise InputError(
            f"{len(table)} frames of faces, but {len(labels)} in the timeline",
            faces,
            remedy="the video changed in between: run ingestion and preprocessing again",
        )
    if changed := mismatches(encoders, describe(config)):
        raise InputError(f"encoders changed while the run was under way: {'; '.join(changed)}", remedy="run it again")
    annotated = labels[["valence", "arousal"]].to_numpy(np.float32)
    with FaceImages(faces) as jpegs:
        embedding = embed(table, jpegs, read_audio_file(audio), annotated, config)
    write_embedding(embedding, target)
