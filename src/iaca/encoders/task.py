"""The engine's task of the embedding pipeline, in a module that brings no torch: thousands of clips that are up to date
are found to be so without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iaca.encoders.config import EmbeddingConfig, describe, mismatches
from iaca.encoders.embedding import write_embedding
from iaca.errors import InputError

VERSION = "4"


def embed_file(faces: Path, audio: Path, *, target: Path, config: EmbeddingConfig, encoders: Mapping[str, str]) -> None:
    """The engine's task: read a clip's faces (Parquet) and sound (FLAC), write its embeddings.

    Args:
        faces, audio: of the clip.
        target: the file to write.
        config: which encoders.
        encoders: what `describe` said of them when the task was planned: it is part of the task's fingerprint.

    Raises:
        InputError: the encoders have changed since the task was planned.
    """
    from iaca.encoders.embed import NUMBERS, embed  # brings torch
    from iaca.faces import FaceImages, read_faces
    from iaca.media import read_audio_file

    if changed := mismatches(encoders, describe(config)):
        raise InputError(f"encoders changed while the run was under way: {'; '.join(changed)}", remedy="run it again")
    with FaceImages(faces) as jpegs:
        embedding = embed(read_faces(faces, columns=NUMBERS), jpegs, read_audio_file(audio), config)
    write_embedding(embedding, target)
