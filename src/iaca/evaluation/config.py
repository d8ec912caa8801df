"""Parameters of evaluation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from iaca.config import Parameters, Partition, Seed


class FilterStep(Parameters):
    """One way of smoothing predictions after the fact.

    Attributes:
        filter: `mean`, `gaussian` and `median` look at a window around each frame; `clip` limits values to [-1, 1].
        width_s: of the window, in seconds: its whole length (`mean`, `median`), or the full width of the kernel at half
            of its maximum (`gaussian`). `clip` has none.
    """

    filter: Literal["mean", "gaussian", "median", "clip"]
    width_s: float | None = Field(default=None, gt=0, le=3600)

    @model_validator(mode="after")
    def _width_where_there_is_a_window(self) -> Self:
        if (self.width_s is None) != (self.filter == "clip"):
            raise ValueError(f"the filter {self.filter} needs {'no' if self.filter == 'clip' else 'a'} width_s")
        return self

    @property
    def name(self) -> str:
        """As it is shown: `median 0.5 s`."""
        return self.filter if self.width_s is None else f"{self.filter} {self.width_s} s"


class AnalysisConfig(Parameters):
    """How the errors of the main model are taken apart.

    Attributes:
        bins: of the predicted values in [-1, 1], for the calibration.
        cells: along each side of the valence-arousal plane, for the error by region.
        few_frames: cells and bins with fewer annotated frames are greyed, and nothing is concluded from them.
        neutral_band: a frame belongs to a quadrant where both |valence| and |arousal| reach this, else it is neutral.
        before_s, after_s: reach of the gates' response around the start of an event (s).
        lag_step_s: its resolution (s).
        listed: at most this many findings of each rule of what fails, and as many best and worst videos with traces.
    """

    bins: int = Field(default=10, ge=2, le=100)
    cells: int = Field(default=5, ge=2, le=20)
    few_frames: int = Field(default=50, ge=1, le=10**9)
    neutral_band: float = Field(default=0.1, ge=0, lt=1)
    before_s: float = Field(default=2.0, gt=0, le=3600)
    after_s: float = Field(default=4.0, gt=0, le=3600)
    lag_step_s: float = Field(default=0.2, ge=0.001, le=3600)
    listed: int = Field(default=3, ge=1, le=10)


class EvaluationConfig(Parameters):
    """What is scored and shown.

    Attributes:
        partitions: which are predicted and scored, where they are annotated.
        shown: the partition of the figures and the headline.
        replicates: bootstrap resamples of the videos, for the 95 % intervals.
        seed: of the bootstrap.
        title: of the report; the corpus's name is added.
        postprocessing: filters that are tried on the main model's predictions, each by itself; how they score stands in
            a table beside the headline and changes no prediction.
        analysis: how the errors are taken apart.
    """

    partitions: tuple[Partition, ...] = Field(default=("validation", "test"), min_length=1)
    shown: Partition = "validation"
    replicates: int = Field(default=2000, ge=100, le=1_000_000)
    seed: Seed = 0
    title: str = Field(default="Valence and arousal", min_length=1)
    postprocessing: tuple[FilterStep, ...] = (
        FilterStep(filter="median", width_s=0.5),
        FilterStep(filter="mean", width_s=1.0),
    )
    analysis: AnalysisConfig = AnalysisConfig()
