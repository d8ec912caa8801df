"""The base of every parameter model: frozen, and strict about names."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Parameters of one step. Unknown names are refused, so that a typo never passes for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
