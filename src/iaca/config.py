"""The base of every parameter model: frozen, and strict about names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def flat(settings: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Name and value of each setting; nested ones have names with dots ("corruption.share")."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
