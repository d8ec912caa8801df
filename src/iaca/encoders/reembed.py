"""Embed one modality of a clip again, from other sound or other faces; the other modality stays as it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cues import NAMES, FaceCues, sound_cues, stacked, synchrony
from iaca.encoders.embed import THREADS, encode_faces
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.networks import build_encoders
from iaca.faces.store import Jpegs
from iaca.media import Samples


def with_sound(clip: ClipEmbedding, samples: Samples, rate: int, config: EmbeddingConfig) -> ClipEmbedding:
    """The clip as `iaca.encoders.embed.embed` would embed it with this sound; bit for bit the same on its own sound.

    Args:
        clip: embedded with `config`, cues included.
        samples: (n,) 16 kHz, zero at the start of the container; presence is that of the clip's own sound.
        rate: Hz.
        config: which encoders.
    """
    _, encoder = build_encoders(config)
    cues = sound_cues(samples, rate, clip.time_s)
    return replace(clip, audio=encoder.encode(samples, clip.time_s), quality=_with_cues(clip, cues))


def with_faces(clip: ClipEmbedding, faces: pd.DataFrame, jpegs: Jpegs, config: EmbeddingConfig) -> ClipEmbedding:
    """The same for other images of the same faces.

    Args:
        clip: embedded with `config`, cues included.
        faces: `iaca.encoders.embed.NUMBERS` of the clip's own table: score, box and landmarks stay.
        jpegs: the aligned face of each row that has one.
        config: which encoders.
    """
    encoder, _ = build_encoders(config)
    cues = FaceCues(faces)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="embed") as pool:
        visual = encode_faces(jpegs, clip.face_found, encoder, pool, cues)
    return replace(clip, visual=visual, quality=_with_cues(clip, cues.columns()))


def _with_cues(clip: ClipEmbedding, cues: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """The cues of the clip (t, q) with some replaced, and with the synchrony of mouth and sound that follows."""
    known = dict(zip(clip.quality_names, clip.quality.T, strict=True)) | cues
    both = clip.face_found & clip.audio_present
    known |= synchrony(known["mouth_opening"], known["sound_level"], clip.time_s, both)
    return stacked({name: known[name] for name in NAMES})
