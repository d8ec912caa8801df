"""Parameters of evaluation and benchmark, and the corruptions and levels that a benchmark scores.

Free of numpy itself. `ModelChoice` brings the package `iaca.fusion` with it, and so torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from iaca.fusion.config import ModelChoice
from iaca.parameters import DEVICE, LONGEST_S, Parameters, Partition, Seed, listed
from iaca.training.config import TrainingConfig

ProtocolName = Literal[
    "missing_audio",
    "missing_video",
    "frame_drop",
    "time_shift",
    "conflict",
    "feature_noise",
    "audio_noise",
    "audio_babble",
    "video_blur",
    "occlusion_mouth",
    "occlusion_eyes",
]
SNR = ("audio_noise", "audio_babble")
BLUR = "video_blur"
SIGNAL = (*SNR, BLUR, "occlusion_mouth", "occlusion_eyes")
"""Protocols that change sound or pictures before the encoders; they need a corpus with media."""
CLEAN_LEVELS: MappingProxyType[str, float] = MappingProxyType({**dict.fromkeys(SNR, math.inf), BLUR: 1.0})
"""The level at which a protocol changes nothing, if that is not 0."""
MISSING = (0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0)
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 20.0, math.inf)
SHIFTS_S = (-8.0, -4.0, -2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
DEFAULT_LEVELS: MappingProxyType[ProtocolName, tuple[float, ...]] = MappingProxyType(
    {
        "missing_audio": MISSING,
        "missing_video": MISSING,
        "frame_drop": SHARES,
        "time_shift": SHIFTS_S,
        "conflict": SHARES,
        "feature_noise": SHARES,
        "audio_noise": SNRS_DB,
        "audio_babble": SNRS_DB,
        "video_blur": (1.0, 2.0, 4.0),
        "occlusion_mouth": (0.0, 0.5, 0.9),
        "occlusion_eyes": (0.0, 0.5, 0.9),
    }
)


class Condition(NamedTuple):
    """A protocol at a level. At its clean level (`clean_level`) it changes nothing."""

    corruption: str
    level: float

    @property
    def clean(self) -> bool:
        """Whether the level changes nothing."""
        return self.level == clean_level(self.corruption)

    def item(self, clip: str) -> str:
        """Name of the file that holds the clip embedded under this condition."""
        return f"{clip}@{self.corruption}_{self.level!r}"


CLEAN = Condition("clean", 0.0)


def clean_level(corruption: str) -> float:
    """The level that changes nothing: 0 for shares and shifts, 1 for a factor, infinity for a ratio in dB."""
    return CLEAN_LEVELS.get(corruption, 0.0)


def curve_levels(corruption: str, levels: Iterable[float]) -> list[float]:
    """Distinct levels in the order of a curve: ascending; signal-to-noise ratios descending, so that clean is first."""
    return sorted(set(levels), reverse=corruption in SNR)


def curve_position(corruption: str, level: float) -> float:
    """Where a level is on the axis over which a curve is integrated: a factor by its log2, others unchanged."""
    return math.log2(level) if corruption == BLUR else level


def _finite(levels: tuple[float, ...]) -> tuple[float, ...]:
    if any(math.isnan(level) or level == -math.inf for level in levels):
        raise ValueError(f"levels must be finite; got {list(levels)}")
    return levels


Levels = Annotated[tuple[float, ...], AfterValidator(_finite)]


class RobustnessConfig(Parameters, allow_inf_nan=True):
    """Corruption at evaluation. It depends only on these parameters, the clips and their names.

    Attributes:
        levels: protocol -> levels. Shares of the timeline in [0, 1]; for `time_shift` seconds, positive if the sound
            is late; for `audio_noise` and `audio_babble` the signal-to-noise ratio in dB; for `video_blur` the factor
            >= 1 by which the side of a face has fewer pixels. An empty list leaves a protocol out; to any other list
            the clean level (`clean_level`) is added.
        block_s: mean length (s) of the blocks of a timeline. Each block holds one segment, which at a share of 0.5 is
            half as long as its block.
        noise_sd: amplitude of `feature_noise`, in standard deviations of each feature over the train partition.
        noise_reach: its correlation length in steps, see `iaca.training.data.lasting_noise`.
        signal_share: share of the timeline that `audio_noise`, `audio_babble` and `video_blur` corrupt, in segments.
            At 1 there are no clean steps to score gates against.
        seed: of every random draw.
    """

    levels: dict[ProtocolName, Levels] = Field(default_factory=lambda: dict(DEFAULT_LEVELS))
    block_s: float = Field(default=6.0, ge=0.001, le=LONGEST_S, allow_inf_nan=False)
    noise_sd: float = Field(default=2.0, gt=0, le=1e6, allow_inf_nan=False)
    noise_reach: float = Field(default=10.0, gt=0, le=1e6, allow_inf_nan=False)
    signal_share: float = Field(default=0.5, gt=0, le=1)
    seed: Seed = 0

    @field_validator("levels")
    @classmethod
    def _in_range(cls, levels: dict[ProtocolName, Levels]) -> dict[ProtocolName, Levels]:
        """Levels in the range of their protocol, sorted, each once, with the clean one, where curves start."""
        for protocol, given in levels.items():
            low, high, what = _bounds(protocol)
            if any(not low <= level <= high for level in given):
                raise ValueError(f"levels of {protocol} must be {what}; got {list(given)}")
        return {p: tuple(sorted({clean_level(p), *given})) if given else () for p, given in levels.items()}

    def conditions(self) -> list[Condition]:
        """The clean partition, then each protocol at each of its levels."""
        return [CLEAN, *(Condition(protocol, level) for protocol, given in self.levels.items() for level in given)]

    def signal_conditions(self) -> list[Condition]:
        """The conditions for which corrupted sound or pictures must be embedded."""
        return [c for c in self.conditions() if c.corruption in SIGNAL and not c.clean]

    def of_signal(self) -> Self:
        """Only the parameters that decide which steps of a signal are corrupted, and with which random draws."""
        return type(self)(levels={}, block_s=self.block_s, signal_share=self.signal_share, seed=self.seed)

    def of_features(self) -> Self:
        """Only the protocols that change embeddings: for a corpus without sound and pictures."""
        return self.model_copy(update={"levels": {p: given for p, given in self.levels.items() if p not in SIGNAL}})


def _bounds(protocol: str) -> tuple[float, float, str]:
    if protocol == "time_shift":
        return -LONGEST_S, LONGEST_S, f"seconds, at most {LONGEST_S:.0e}"
    if protocol in SNR:
        return -100.0, math.inf, "signal-to-noise ratios in dB, at least -100"
    if protocol == BLUR:
        return 1.0, 1000.0, "factors from 1 to 1000"
    return 0.0, 1.0, "shares of the timeline, in [0, 1]"


NAME = r"^[A-Za-z0-9_.+-]*$"  # it is a part of file names


class BenchmarkModel(ModelChoice):
    """A member of the benchmark: a preset by its name, or with fields of its own and then a name of its own.

    Attributes:
        name: in tables and file names; the preset's where nothing is changed.
    """

    name: str = Field(default="", pattern=NAME)

    @model_validator(mode="after")
    def _has_a_name_of_its_own(self) -> Self:
        if self.changes and not self.name:
            raise ValueError(
                f"{self.preset} with changes {self.changes} needs a name of its own, as in name: my_variant"
            )
        return self

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.preset

    def narrowed(self, width: int) -> BenchmarkModel:
        """The same under the same name, with this width if it names none."""
        return BenchmarkModel(preset=self.preset, name=self.label, **{"width": width, **self.changes})

    def choice(self) -> ModelChoice:
        """What is trained: its name decides nothing."""
        return ModelChoice(preset=self.preset, **self.changes)


FAMILY = (
    "audio", "visual", "concat", "late", "lfan", "cold", "raav", "ca", "jca", "rjca", "dca", "grjca", "tagf",
    "iaca_ca", "iaca", "iaca_rjca", "iaca_dca", "iaca_grjca",
)  # fmt: skip
PAPER_LEVELS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Shares of missing sound in the figure of the authors' repository."""


class BenchmarkConfig(Parameters):
    """What is compared, on what.

    Attributes:
        comparison: `paper` compares the family and IACA over each of its attentions (`FAMILY`) clean and with missing
            sound (`PAPER_LEVELS`), the shape of the paper's figure: it takes the place of `models`, `main` and
            `corruption.levels`. `none` leaves those as they are.
        models: names of presets, or mappings with preset, name and fields of `FusionConfig`. This and the next two may
            also be written `a+b+c`.
        width: of every model that names none of its own; None leaves each as its preset has it.
        seeds: one training run per model and seed. Differences are paired by seed; intervals need two of them.
        main: the models that every other one is subtracted from.
        partition: on which the models are scored; it must be annotated.
        replicates: bootstrap resamples of its clips.
        corruption: what is done to that partition. Training has its own, `training.corruption`, the same for all.
        device: on which runs are scored; `auto` takes a GPU if there is one.
    """

    LATER = frozenset({"device"})

    comparison: Literal["none", "paper"] = "none"
    models: tuple[BenchmarkModel, ...] = Field(
        default=("iaca", "concat", "audio", "visual", "jca", "ca", "dca", "lfan", "iaca_plus", "late", "ridge"),
        min_length=2,
        validate_default=True,
    )
    width: int | None = Field(default=None, ge=1, le=4096)
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    main: tuple[str, ...] = ("iaca", "iaca_plus")
    partition: Partition = "test"
    replicates: int = Field(default=1000, ge=100, le=1_000_000)
    corruption: RobustnessConfig = RobustnessConfig()
    device: str = Field(default="auto", pattern=DEVICE)

    @model_validator(mode="before")
    @classmethod
    def _as_in_the_paper(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("comparison") != "paper":
            return given
        corruption = given.get("corruption", {})
        if isinstance(corruption, RobustnessConfig):
            corruption = corruption.model_dump()
        levels = {"levels": {"missing_audio": PAPER_LEVELS}}
        return {**given, "models": list(FAMILY), "main": ["iaca"], "corruption": {**corruption, **levels}}

    @field_validator("seeds", "main", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return listed(given)

    @field_validator("models", mode="before")
    @classmethod
    def _names_are_presets(cls, models: Any) -> Any:
        return [{"preset": model} if isinstance(model, str) else model for model in listed(models)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        labels = [model.label for model in self.models]
        for what, given in (("models", labels), ("seeds", self.seeds), ("main", self.main)):
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{what} must be named, each once; got {list(given)}")
        if unknown := sorted(set(self.main) - set(labels)):
            raise ValueError(f"main names {', '.join(unknown)}, but the models are {', '.join(labels)}")
        self.runs()  # a width that does not fit a model is refused now
        return self

    def runs(self) -> Mapping[str, tuple[BenchmarkModel, int]]:
        """Name of each run -> its model and seed, seed by seed: whatever is done when it is stopped is a comparison."""
        models = [model if self.width is None else model.narrowed(self.width) for model in self.models]
        return {f"{model.label}-seed{seed}": (model, seed) for seed in self.seeds for model in models}


def run_settings(training: TrainingConfig, seed: int, main: bool) -> TrainingConfig:
    """Training parameters of one run: with its seed, and on one thread, since runs are executed in parallel.

    Only main models train folds: the intervals of the others rest on the validation clips alone.
    """
    return training.model_copy(update={"seed": seed, "threads": 1, "folds": training.folds if main else 0})


class FilterStep(Parameters):
    """A filter applied to predictions.

    Attributes:
        filter: `mean`, `gaussian` and `median` use a window around each frame; `clip` limits values to [-1, 1].
        width_s: of the window (s): its full length (`mean`, `median`), or the full width at half maximum of the kernel
            (`gaussian`). `clip` has none.
    """

    filter: Literal["mean", "gaussian", "median", "clip"]
    width_s: float | None = Field(default=None, gt=0, le=3600)

    @model_validator(mode="after")
    def _width_of_windows_only(self) -> Self:
        if (self.width_s is None) != (self.filter == "clip"):
            raise ValueError(f"the filter {self.filter} needs {'no' if self.filter == 'clip' else 'a'} width_s")
        return self

    @property
    def name(self) -> str:
        """In tables: `median 0.5 s`."""
        return self.filter if self.width_s is None else f"{self.filter} {self.width_s} s"


class AnalysisConfig(Parameters):
    """Analysis of the main model's errors.

    Attributes:
        bins: number of bins of the predicted values in [-1, 1], for the calibration.
        cells: number of cells along each side of the valence-arousal plane, for the error by region.
        few_frames: cells and bins with fewer annotated frames are greyed out and give no finding.
        neutral_band: a frame belongs to a quadrant if both |valence| and |arousal| are at least this, else it is
            neutral.
        before_s, after_s: the gates' response is shown from this long before the start of an event to this long after
            it (s).
        lag_step_s: resolution of that response (s).
        listed: maximum number of findings per failure rule, and number of best and of worst videos with traces.
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
    """What is scored and reported.

    Attributes:
        partitions: partitions that are predicted, and scored if annotated.
        shown: the partition of the figures and the headline.
        replicates: bootstrap resamples of the videos, for the 95 % intervals.
        seed: of the bootstrap.
        title: of the report; the corpus's name is added.
        postprocessing: filters that are tried one at a time on the main model's predictions. A table in the report
            gives their scores; no prediction is changed.
        analysis: of the errors.
        device: on which models predict; `auto` takes a GPU if there is one.
    """

    LATER = frozenset({"device"})

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
    device: str = Field(default="auto", pattern=DEVICE)
