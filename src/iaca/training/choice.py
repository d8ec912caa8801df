"""Which models to train: a named member of the family and the fields that differ from it, and baselines."""

from __future__ import annotations

from typing import Any, Self

from pydantic import (
    ConfigDict,
    RootModel,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from iaca.fusion.config import PRESETS, FusionConfig, preset
from iaca.parameters import UNKNOWN, Parameters, fault, listed, unknown_name

FIELDS = tuple(name for name in FusionConfig.model_fields if name not in ("audio_dim", "visual_dim"))
"""Fields of a preset that can be changed; the widths are those of the embeddings."""


class ModelChoice(Parameters):
    """A preset by name, with any of `FIELDS` changed: `ModelChoice(preset="iaca", temperature=0.1)`.

    All that does not depend on the embeddings is validated on construction.

    Attributes:
        preset: a key of `iaca.fusion.PRESETS`.
    """

    model_config = ConfigDict(extra="allow")

    preset: str = "iaca"

    @property
    def changes(self) -> dict[str, Any]:
        """The fields of `FusionConfig` that were changed, with their values."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _builds(self) -> Self:
        own = set(type(self).model_fields)
        if unknown := {name: value for name, value in self.changes.items() if name not in FIELDS}:
            known = [*own, *FIELDS]
            lines = [fault(UNKNOWN, unknown_name(name, known), (name,), value) for name, value in unknown.items()]
            raise ValidationError.from_exception_data(type(self).__name__, lines)
        self.build(1, 1)
        return self

    @model_serializer(mode="wrap")
    def _changes_apart(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The form that fingerprints of existing results were computed from."""
        fields = handler(self)
        return {name: value for name, value in fields.items() if name not in self.changes} | {
            "changes": {name: fields[name] for name in self.changes}
        }

    def build(self, audio_dim: int, visual_dim: int, cues: tuple[str, ...] = ()) -> FusionConfig:
        """The full configuration for embeddings of these widths with these quality cues.

        A model that reads no cues gets none; the field `cues` may select some of them.
        """
        return preset(self.preset, audio_dim, visual_dim, **{"cues": cues, **self.changes})


class Baselines(RootModel[tuple[str, ...]]):
    """Names of the presets that are trained for comparison with the main model, each once; also `a+b+c`, none: `[]`."""

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
                raise ValueError(f"there is no model named {name!r}; choose one of {', '.join(PRESETS)}")
        if len(set(names)) < len(names):
            raise ValueError(f"name each model once; got {list(names)}")
        return names
