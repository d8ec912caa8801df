"""The quality cues of a clip that a model reads, and where each of them is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.cues import OF, TABLE
from iaca.encoders.embedding import ClipEmbedding

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
BOTH = "both"


def owners(cues: Sequence[str]) -> tuple[str, ...]:
    """Of which modality each cue speaks: audio, visual, or both, which is also what an unknown name is taken for."""
    return tuple(OF.get(cue, BOTH) for cue in cues)


def grains(cues: Sequence[str]) -> FloatArray:
    """(q,) the least deviation of each cue that means something; 0 for an unknown name."""
    return np.array([TABLE[cue].grain if cue in TABLE else 0.0 for cue in cues], dtype=np.float32)


def presence(cues: Sequence[str], audio_present: BoolArray, visual_present: BoolArray) -> BoolArray:
    """(t,) twice -> (t, q): a cue is known where what it speaks of is present."""
    of = {"audio": audio_present, "visual": visual_present, BOTH: audio_present & visual_present}
    known = np.empty((len(audio_present), len(cues)), dtype=np.bool_)
    for i, owner in enumerate(owners(cues)):
        known[:, i] = of[owner]
    return known


def read_cues(clip: ClipEmbedding, cues: Sequence[str], stretch: slice = slice(None)) -> FloatArray:
    """The named cues of a stretch of a clip, (t, q); NaN where unknown: no such cue, or nothing that it speaks of."""
    present = presence(cues, clip.audio_present[stretch], clip.face_found[stretch])
    values = np.full(present.shape, np.nan, dtype=np.float32)
    for i, cue in enumerate(cues):
        if cue in clip.quality_names:
            values[:, i] = clip.quality[stretch, clip.quality_names.index(cue)]
    return np.where(present & np.isfinite(values), values, np.float32(np.nan))


def shared_cues(clips: Mapping[str, ClipEmbedding]) -> tuple[str, ...]:
    """The cues that every clip has, in the order of the first."""
    named = [clip.quality_names for clip in clips.values()]
    return tuple(cue for cue in (named[0] if named else ()) if all(cue in names for names in named))
