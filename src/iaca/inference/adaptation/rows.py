"""What the correction sees of a step: the zero-shot answer, and the embeddings around it.

Columns: 1; zero-shot valence and arousal; then for sound and for face its presence and its embedding, both averaged
over the same stretch of time as the zero-shot model averages, absent steps as zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.inference.zero_shot.clock import durations, two_sided
from iaca.inference.zero_shot.model import ZeroShot
from iaca.modalities import MODALITIES

Array = NDArray[np.float64]
FIRST = 3  # columns before the embeddings


@dataclass(frozen=True)
class Rows:
    """Annotated steps of one clip.

    Attributes:
        group: who is held out together: the subject.
        clip: its name.
        columns: (n, p) what the correction sees.
        gold: (n, 2) annotated valence and arousal.
    """

    group: str
    clip: str
    columns: Array
    gold: Array

    @property
    def zero_shot(self) -> Array:
        """(n, 2) what the zero-shot model says."""
        return self.columns[:, 1:FIRST]


def columns_of(model: ZeroShot, clip: ClipEmbedding) -> Array:
    """(t, p) float64, finite: p is 5 more than both embeddings are wide."""
    weights = durations(clip.time_s, model.config.step_s)[:, None]
    masked = [
        np.where(clip.present[m][:, None], np.column_stack([clip.present[m], np.nan_to_num(clip.features[m])]), 0.0)
        for m in MODALITIES
    ]
    weighted = np.concatenate([weights, *(weights * part for part in masked)], axis=1)
    around = two_sided(weighted, clip.time_s, model.config.smoothing_s)
    said = model.predict(clip).prediction.astype(np.float64)
    return np.concatenate([np.ones_like(weights), said, around[:, 1:] / np.maximum(around[:, :1], 1e-9)], axis=1)


def annotated_rows(group: str, name: str, model: ZeroShot, clip: AnnotatedClip, every_s: float) -> Rows | None:
    """The annotated and observed steps of a clip, at least `every_s` apart; None where there are none."""
    embedding = clip.embedding
    usable = np.isfinite(clip.labels).all(axis=1) & embedding.observed
    chosen, last = [], -np.inf
    for i in np.flatnonzero(usable):
        if embedding.time_s[i] >= last + every_s:
            chosen.append(i)
            last = embedding.time_s[i]
    if not chosen:
        return None
    return Rows(group, name, columns_of(model, embedding)[chosen], clip.labels[chosen].astype(np.float64))


def widths(audio: int, visual: int) -> tuple[slice, slice]:
    """Where the presence and embedding of sound and of face stand among the columns."""
    return slice(FIRST, FIRST + 1 + audio), slice(FIRST + 1 + audio, FIRST + 2 + audio + visual)
