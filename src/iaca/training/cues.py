"""The quality cues of a clip that a model reads, and where each of them is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.cues import OF, TABLE
from iaca.encoders.embedding import ClipEmbedding
from iaca.modalities import Modality

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
BOTH: Final = "both"


def modalities_of(cues: Sequence[str]) -> tuple[Modality | Literal["both"], ...]:
    """The modality that each cue is about: audio, visual, or both, which is also assumed for an unknown name."""
    return tuple(OF.get(cue, BOTH) for cue in cues)


def least_deviations(cues: Sequence[str]) -> FloatArray:
    """(q,) the smallest standard deviation of each cue that normalisation divides by; 0 for an unknown name."""
    return np.array([TABLE[cue].least_deviation if cue in TABLE else 0.0 for cue in cues], dtype=np.float32)


def where_known(cues: Sequence[str], present: Mapping[Modality, BoolArray]) -> BoolArray:
    """Presence (t,) by modality -> (t, q): a cue is known where what it is about is present."""
    both = present["audio"] & present["visual"]
    known = np.empty((len(both), len(cues)), dtype=np.bool_)
    for i, modality in enumerate(modalities_of(cues)):
        known[:, i] = both if modality == BOTH else present[modality]
    return known


def read_cues(clip: ClipEmbedding, cues: Sequence[str], stretch: slice = slice(None)) -> FloatArray:
    """The named cues of a stretch of a clip, (t, q); NaN where unknown: no such cue, or nothing that it speaks of."""
    known = where_known(cues, {modality: mask[stretch] for modality, mask in clip.present.items()})
    values = np.full(known.shape, np.nan, dtype=np.float32)
    for i, cue in enumerate(cues):
        if cue in clip.quality_names:
            values[:, i] = clip.quality[stretch, clip.quality_names.index(cue)]
    return np.where(known & np.isfinite(values), values, np.float32(np.nan))


def shared_cues(clips: Mapping[str, ClipEmbedding]) -> tuple[str, ...]:
    """The cues that every clip has, in the order of the first."""
    named = [clip.quality_names for clip in clips.values()]
    return tuple(cue for cue in (named[0] if named else ()) if all(cue in names for names in named))
