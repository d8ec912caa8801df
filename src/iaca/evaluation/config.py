"""Parameters of evaluation."""

from __future__ import annotations

from pydantic import Field

from iaca.config import Parameters


class EvaluationConfig(Parameters):
    """What is scored and shown.

    Attributes:
        partitions: which are predicted and scored, where they are annotated.
        shown: the partition of the figures and the headline.
        replicates: bootstrap resamples of the videos, for the 95 % intervals.
        seed: of the bootstrap.
        title: of the report; the corpus's name is added.
    """

    partitions: tuple[str, ...] = ("validation", "test")
    shown: str = "validation"
    replicates: int = Field(default=2000, ge=100)
    seed: int = 0
    title: str = "Valence and arousal"
