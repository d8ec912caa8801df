"""Parameters of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from iaca.config import Parameters, Partition, Seed, listed
from iaca.evaluation.robustness.config import RobustnessConfig
from iaca.training.choice import ModelChoice
from iaca.training.config import TrainingConfig

NAME = r"^[A-Za-z0-9_.+-]*$"  # it is a part of file names


class BenchmarkModel(ModelChoice):
    """A member of the benchmark: a preset by its name, or with changes and then a name of its own.

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

    def choice(self) -> ModelChoice:
        """What is trained: its name decides nothing."""
        return ModelChoice(preset=self.preset, changes=self.changes)


class BenchmarkConfig(Parameters):
    """What is compared, on what.

    Attributes:
        models: names of presets, or mappings with preset, changes, name. This and the next two may also be written
            `a+b+c`.
        seeds: one training run per model and seed. Differences are paired by seed; intervals need two of them.
        main: the models that every other one is subtracted from.
        partition: on which the models are scored; it must be annotated.
        replicates: bootstrap resamples of its clips.
        corruption: what is done to that partition. Training has its own, `training.corruption`, the same for all.
    """

    models: tuple[BenchmarkModel, ...] = Field(
        default=("iaca", "concat", "audio", "visual", "jca", "ca", "dca", "lfan", "iaca_plus"),
        min_length=2,
        validate_default=True,
    )
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    main: tuple[str, ...] = ("iaca", "iaca_plus")
    partition: Partition = "test"
    replicates: int = Field(default=1000, ge=100, le=1_000_000)
    corruption: RobustnessConfig = RobustnessConfig()

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
        return self

    def runs(self) -> Mapping[str, tuple[BenchmarkModel, int]]:
        """Name of each run -> its model and seed, seed by seed: whatever is done when it is stopped is a comparison."""
        return {f"{model.label}-seed{seed}": (model, seed) for seed in self.seeds for model in self.models}


def run_settings(training: TrainingConfig, seed: int) -> TrainingConfig:
    """Training of one run: as everywhere, with this seed, on one thread, since runs go side by side."""
    return training.model_copy(update={"seed": seed, "threads": 1})
