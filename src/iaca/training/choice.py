"""Which model to train: a named member of the family, and what is changed about it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, RootModel, field_validator, model_validator

from iaca.fusion.config import FusionConfig
from iaca.fusion.presets import PRESETS, preset
from iaca.parameters import Parameters, listed


class ModelChoice(Parameters):
    """A model by name; checked as far as it can be before the embeddings' widths are known.

    Attributes:
        preset: name in `iaca.fusion.presets`.
        changes: fields of `FusionConfig` on top.
    """

    preset: str = "iaca"
    changes: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _builds(self) -> Self:
        self.build(1, 1)
        return self

    def build(self, audio_dim: int, visual_dim: int, cues: tuple[str, ...] = ()) -> FusionConfig:
        """The full configuration for embeddings of these widths, which come with these quality cues.

        A model that reads none is not given any; `changes` may name the ones to be read.
        """
        return preset(self.preset, audio_dim, visual_dim, **{"cues": cues, **self.changes})


class Baselines(RootModel[tuple[str, ...]]):
    """Names of the presets that are trained beside the main model, each once; also written `a+b+c`. None: `[]`."""

    model_config = ConfigDict(frozen=True)

    @field_validator("root", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return listed(given)

    @field_validator("root")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in PRESETS:
                raise ValueError(f"there is no model named {name!r}; choose of {', '.join(PRESETS)}")
        if len(set(names)) < len(names):
            raise ValueError(f"each is named once; got {list(names)}")
        return names
