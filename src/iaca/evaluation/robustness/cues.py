"""Quality cues go with what they were measured on: another clip's voice brings its own level, and its own noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.cues import OF, synchrony
from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.robustness.segments import Steps

ITS_PARTS = ("mouth_opening", "sound_level")
SAME, SHARE = 0.01, 0.9  # features read from text are rounded, and a lag may flip; of another making nearly all differ


def take_cues(target: ClipEmbedding, steps: Steps, source: ClipEmbedding, rows: Steps, modality: str) -> None:
    """Write the cues of one modality at `rows` of another clip to `steps` of `target`, whose array is its own."""
    for column, name in enumerate(target.quality_names):
        if OF.get(name) == modality and name in source.quality_names:
            target.quality[steps, column] = source.quality[rows, source.quality_names.index(name)]


def resynchronised(changed: ClipEmbedding, clean: ClipEmbedding) -> ClipEmbedding:
    """The changed clip with the synchrony, and its lag, that its own mouth and sound now have.

    Only where the clean clip's synchrony is what `iaca.encoders.cues` makes of its mouth and its level: a cue
    of another making cannot be measured anew, and stays as it was, which tells a model nothing about what was done.
    """
    names = clean.quality_names
    if not {"synchrony", *ITS_PARTS} <= set(names):
        return changed
    told = clean.quality[:, names.index("synchrony")]
    if len(told) and np.isclose(_measured(clean)["synchrony"], told, atol=SAME).mean() < SHARE:
        return changed
    quality = changed.quality.copy()
    for name, values in _measured(changed).items():
        if name in names:
            quality[:, names.index(name)] = values
    return replace(changed, quality=quality)


def _measured(clip: ClipEmbedding) -> dict[str, NDArray[np.float32]]:
    opening, level = (clip.quality[:, clip.quality_names.index(part)] for part in ITS_PARTS)
    return synchrony(opening, level, clip.time_s, clip.face_found & clip.audio_present)
