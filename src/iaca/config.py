"""The base of every parameter model: frozen, and strict about names; and what its errors say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from iaca.errors import brief

SHOWN = 5


class Parameters(BaseModel):
    """Parameters of one step. Unknown names are refused, so that a typo never passes for a default, and so are NaN and
    infinity, which pass for numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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


def faults(error: ValidationError, before: str = "") -> str:
    """What is wrong with which field, in one line: the first few, and how many more.

    Args:
        error: of a parameter model, or of a file that holds one.
        before: what stands in front of a field's name, such as `--`.
    """
    told = [f"{before}{brief('.'.join(map(str, e['loc'])))}: {brief(e['msg'])}"
            for e in error.errors(include_url=False, include_input=False, include_context=False)[:SHOWN]]  # fmt: skip
    more = error.error_count() - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def text_table(given: object) -> dict[str, str] | None:
    """A table of texts that can be written to any file, from a header of others; None where it is none."""
    if not isinstance(given, dict):
        return None
    try:
        "".join([*given, *given.values()]).encode()
    except (TypeError, UnicodeEncodeError):  # a value that is no text, or half of a surrogate pair
        return None
    return dict(given)
