"""What is taken from a corpus, and how its times are changed on the way."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from iaca.config import Parameters


class ConvertConfig(Parameters):
    """Parameters of a conversion.

    Attributes:
        audio: folder of the acoustic features below SOURCE, one file per recording.
        visual: folder of the visual features.
        labels: folder of the labels; each corpus has its own default.
        valence: name of the column or folder that holds valence.
        arousal: name of the column or folder that holds arousal.
        column: RECOLA, CSV with several annotators: the column to take, or `mean` of all.
        delay: annotators react late: labels are moved this much (s) towards the beginning. 2 to 4 s are usual in
            RECOLA and SEWA; 0 where the labels are compensated already, as MuSe's are.
        rate: of the labels (Hz), interpolated linearly; by default they keep their own times.
        features: `keep` their own times, or bring them to those of the labels: the `nearest` row, or the `mean` of
            the rows around each.
        scale: labels are multiplied by this, where a corpus has them on another scale than [-1, 1].
    """

    audio: str | None = None
    visual: str | None = None
    labels: str | None = None
    valence: str = "valence"
    arousal: str = "arousal"
    column: str | None = None
    delay: float = Field(default=0.0, ge=0, le=60)
    rate: float | None = Field(default=None, gt=0, le=1000)
    features: Literal["keep", "nearest", "mean"] = "keep"
    scale: float = Field(default=1.0, gt=0)
