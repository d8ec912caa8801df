"""One modality of an embedded clip once more, on another sound or on other faces; the other one stays as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iaca.encoders.batches import Jpegs
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cue_parts.picture import FaceCues
from iaca.encoders.cue_parts.synchrony import synchrony
from iaca.encoders.cue_parts.table import NAMES, stacked
from iaca.encoders.cues import sound_cues
from iaca.encoders.embed import THREADS, see
from iaca.encoders.embedding import ClipEmbedding
from iaca.encoders.networks import build_encoders
from iaca.media import Samples

Cues = dict[str, NDArray[np.float32]]


def with_sound(clip: ClipEmbedding, samples: Samples, rate: int, config: EmbeddingConfig) -> ClipEmbedding:
    """The clip as `iaca.encoders.embed.embed` makes it of this sound (n,); on its own sound it is itself, bit for bit.

    Args:
        clip: embedded with `config`, cues included.
        samples: (n,) 16 kHz, zero at the container's start; they are present where the clip's own are.
        rate: Hz.
        config: which encoders.
    """
    _, encoder = build_encoders(config)
    cues = sound_cues(samples, rate, clip.time_s)
    return replace(clip, audio=encoder.encode(samples, clip.time_s), quality=_renewed(clip, cues))


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
        visual = see(jpegs, clip.face_found, encoder, pool, cues)
    return replace(clip, visual=visual, quality=_renewed(clip, cues.columns()))


def _renewed(clip: ClipEmbedding, cues: Cues) -> NDArray[np.float32]:
    """The clip's cues (t, q) with some of them in place of its own, and the synchrony that mouth and sound now have."""
    known = dict(zip(clip.quality_names, clip.quality.T, strict=True)) | cues
    both = clip.face_found & clip.audio_present
    known |= synchrony(known["mouth_opening"], known["sound_level"], clip.time_s, both)
    return stacked({name: known[name] for name in NAMES})
