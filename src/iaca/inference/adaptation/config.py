"""Parameters of adaptation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from iaca.config import LONGEST_S, Parameters, Seed


class AdaptationConfig(Parameters):
    """How the correction is fitted and scored.

    Attributes:
        strengths: penalties on the weights of the embeddings that are tried, beside none but a calibration and beside
            the zero-shot model as it is; descriptors are standardised and the error is a mean, so that 1 is strong.
        calibration: penalty on level and scale.
        every_s: annotated steps are taken at least this far apart, s.
        folds: parts of the training subjects by which a strength is chosen.
        margin: CCC by which a weaker penalty has to be better to be taken.
        replicates: resamples of the held-out subjects for the interval of the difference.
        seed: of the resamples.
    """

    strengths: tuple[Annotated[float, Field(gt=0, le=1e9)], ...] = (100, 30, 10, 3, 1, 0.3, 0.1)
    calibration: float = Field(default=0.1, gt=0, le=1e9)
    every_s: float = Field(default=0.2, ge=0, le=LONGEST_S)
    folds: int = Field(default=5, ge=2, le=1000)
    margin: float = Field(default=0.01, ge=0, le=2)
    replicates: int = Field(default=2000, ge=1, le=1_000_000)
    seed: Seed = 0
