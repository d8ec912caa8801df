"""Which model to train: a named member of the family, and what is changed about it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from iaca.config import Parameters
from iaca.fusion.config import FusionConfig
from iaca.fusion.presets import preset


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
