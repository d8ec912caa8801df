"""Quality cues go with what they were measured on: another clip's voice brings its own level, and its own noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.robustness.segments import Steps

MEASURED_ON_BOTH = "synchrony"
ITS_PARTS = ("mouth_motion", "sound_level")
SAME = 0.01  # of a correlation: features read from text are rounded, those of another making differ by far more


def take_cues(target: ClipEmbedding, steps: Steps, source: ClipEmbedding, rows: Steps, modality: str) -> None:
    """Write the cues of one modality at `rows` of another clip to `steps` of `target`, whose array is its own."""
    from iaca.encoders.quality import OF  # brings OpenCV

    for column, name in enumerate(target.quality_names):
        if OF.get(name) == modality and name in source.quality_names:
            target.quality[steps, column] = source.quality[rows, source.quality_names.index(name)]


def resynchronised(changed: ClipEmbedding, clean: ClipEmbedding) -> ClipEmbedding:
    """The changed clip with the synchrony that its own mouth motion and sound now have.

    Only where the clean clip's synchrony is what `iaca.encoders.quality.synchrony` makes of its motion and level: a cue
    of another making cannot be measured anew, and stays as it was, which tells a model nothing about what was done.
    """
    from iaca.encoders.quality import synchrony

    names = clean.quality_names
    if not {MEASURED_ON_BOTH, *ITS_PARTS} <= set(names):
        return changed

    def measured(clip: ClipEmbedding) -> NDArray[np.float32]:
        motion, level = (clip.quality[:, names.index(part)] for part in ITS_PARTS)
        return synchrony(motion, level, clip.time_s)

    column = names.index(MEASURED_ON_BOTH)
    if not np.allclose(measured(clean), clean.quality[:, column], atol=SAME):
        return changed
    quality = changed.quality.copy()
    quality[:, column] = measured(changed)
    return replace(changed, quality=quality)
