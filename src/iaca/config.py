"""The base of every parameter model: frozen, and strict about names."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Parameters of one step. Unknown names are refused, so that a typo never passes for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def listed(given: Any) -> Any:
    """Several values as a list: one alone, a list of them, or `a+b+c`, as they are named on the command line, where a
    comma parts one parameter from the next."""
    if isinstance(given, str):
        return [part.strip() for part in given.split("+")]
    return given if isinstance(given, list | tuple) else [given]
