"""Whose voice is it? One sound track belongs to nobody by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding

CLEAR = 0.5
"""A mouth goes with the sound if its synchrony is at least this ..."""
MARGIN = 0.25
"""... and exceeds that of everyone else in view by at least this."""
Mask = NDArray[np.bool_]


def attribute(people: Sequence[ClipEmbedding]) -> list[Mask]:
    """Where the sound counts as each person's own: their `audio_present` (t,).

    At each step: if one person's mouth clearly moves with the sound (`CLEAR`, `MARGIN`, on the cue `synchrony`: a
    correlation over 2 s), the voice is theirs and nobody else's; otherwise it counts for everyone, as it does in a
    video of one person. Somebody out of view who speaks therefore lends the voice to everyone in view.

    Args:
        people: embeddings of everyone in one video, at the same steps.
    """
    heard = [person.audio_present for person in people]
    if len(people) < 2:
        return heard
    moves = np.stack([_synchrony(person) for person in people])
    first, second = np.sort(moves, axis=0)[[-1, -2]]
    clear = (first >= CLEAR) & (first - second >= MARGIN)
    speaker = np.where(clear, moves.argmax(axis=0), -1)
    return [there & ((speaker == number) | (speaker < 0)) for number, there in enumerate(heard)]


def _synchrony(person: ClipEmbedding) -> NDArray[np.float64]:
    if "synchrony" not in person.quality_names:
        return np.zeros(len(person))
    cue = person.quality[:, person.quality_names.index("synchrony")].astype(np.float64)
    return np.where(person.face_found, np.nan_to_num(cue), 0.0)
