"""The base class of all parameter models, and types that many of them share.

A parameter model is frozen and rejects unknown names. `faults` formats its validation errors in one line; `add_options`
turns a model into command-line options.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from iaca.errors import brief

Modality = Literal["audio", "visual"]
MODALITIES: tuple[Modality, Modality] = ("audio", "visual")
"""In the column order of ground truth and of gate weights."""
Partition = Literal["train", "validation", "test"]
DEVICE = r"^(auto|cpu|(cuda|mps|xpu)(:\d+)?)$"
"""Pattern of the name of what torch computes on; `auto` is a GPU if there is one."""
LONGEST_S = 1e7
"""Upper bound (s) of every duration among the parameters: nearly four months."""
UNKNOWN = "extra_forbidden"  # pydantic's type of the error that a name is unknown
NO_GROUP = "model_type"  # and that a value is given for a group of them

_LARGEST = 2**63 - 1  # the largest integer that numpy, torch and Parquet can hold
_SHOWN = 5  # validation errors named in a message
Seed = Annotated[int, Field(ge=0, le=_LARGEST)]
"""Seed of a random generator; numpy rejects negative ones."""


class Parameters(BaseModel):
    """Base of a parameter model. Unknown names are rejected with the nearest known one, so that a typo never silently
    becomes a default. So are values that pydantic would accept as numbers: NaN, infinity, `true`, and integers of more
    than 64 bits."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    LATER: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after results had been made. While one has its default it is left out of what is dumped, and so
    of fingerprints: earlier results stay up to date."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields, known = handler(self), type(self).model_fields
        unchanged = {name for name in self.LATER if getattr(self, name) == known[name].default}
        return {name: value for name, value in fields.items() if name not in unchanged}

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_known_names(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as error:
            lines = []
            for e in error.errors(include_url=False):
                if e["type"] == "default_factory_not_called":  # follows from another field's error, which is listed too
                    continue
                unknown = e["type"] == UNKNOWN and len(e["loc"]) == 1  # a longer place is in a model inside this one
                said = e["msg"].removeprefix("Value error, ")  # of pydantic, before the message of a ValueError
                message = unknown_name(str(e["loc"][0]), cls.model_fields) if unknown else said
                if e["type"] == NO_GROUP and not e["loc"]:
                    message = (
                        f"it is not a group of values; set one by its name, such as {next(iter(cls.model_fields))}"
                    )
                if e.get("ctx", {}).get("pattern") == DEVICE:
                    message = "not the name of a device; use auto, cpu, cuda, cuda:N, mps or xpu"
                lines.append(fault(e["type"], message, e["loc"], e["input"]))
            raise ValidationError.from_exception_data(error.title, lines) from None

    @field_validator("*", mode="before")
    @classmethod
    def _require_plain_numbers(cls, given: Any, info: ValidationInfo) -> Any:
        types = set(_types(cls.model_fields[str(info.field_name)].annotation))
        if any(kind is Any or issubclass(kind, BaseModel) for kind in types):
            return given
        for place, value in _values(given):
            if isinstance(value, bool) and bool not in types:
                names = sorted(kind.__name__ for kind in types - {type(None)})
                raise ValueError(f"{place}{str(value).lower()} is not of type {' or '.join(names)}")
            if isinstance(value, int) and abs(value) > _LARGEST:
                raise ValueError(f"{place}integers of more than 64 bits are not allowed (at most {_LARGEST})")
        return given


def unknown_name(name: str, known: Iterable[str]) -> str:
    """The message for a name that no field has."""
    near = get_close_matches(name, known, n=1)
    return "Extra inputs are not permitted" + (f"; did you mean {near[0]}?" if near else "")


def fault(kind: str, message: str, place: tuple[int | str, ...], given: Any) -> InitErrorDetails:
    """One line of a `ValidationError`."""
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=place, input=given)  # type: ignore[arg-type]


def _types(annotation: Any) -> Iterator[type]:
    """The types of the values that an annotation allows, inside all unions, tuples and mappings."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from map(type, inner)
    elif inner:
        for part in inner[:1] if origin is Annotated else inner:
            yield from _types(part)
    elif isinstance(annotation, type):
        yield annotation


def _values(given: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """A value, or each value inside a list or mapping, with its place in a mapping (`key: `)."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            yield from _values(value, f"{place}{key}: ")
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _values(value, place)
    else:
        yield place, given


def faults(error: ValidationError, before: str = "") -> str:
    """Which fields are invalid and why, in one line: the first few, and how many more.

    Args:
        error: of a parameter model, or of a file that contains one.
        before: prefix of each field name, such as `--`.
    """
    shown = [f"{before}{brief('.'.join(map(str, e['loc'])))}: {brief(e['msg'])}"
             for e in error.errors(include_url=False, include_input=False, include_context=False)[:_SHOWN]]  # fmt: skip
    more = error.error_count() - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def listed(given: Any) -> Any:
    """Several values as a list: a single value, a list, or `a+b+c`. On the command line a comma separates parameters,
    so a plus separates values."""
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


def text_table(given: object) -> dict[str, str] | None:
    """A mapping of strings from a foreign file header, if all of it can be written as UTF-8; otherwise None."""
    if not isinstance(given, dict):
        return None
    try:
        "".join([*given, *given.values()]).encode()
    except (TypeError, UnicodeEncodeError):  # a value that is not a string, or a lone surrogate
        return None
    return dict(given)


def add_options(parser: argparse.ArgumentParser, model: type[Parameters]) -> None:
    """Add one option per field, with the default and the description from the model. An omitted option is None, so that
    the model's own default applies."""
    descriptions = _descriptions(model)
    for name, field in model.model_fields.items():
        several = isinstance(field.default, tuple)
        default = " ".join(map(str, field.default)) if several else field.default
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, nargs="+" if several else None, metavar="X",
            help=f"{descriptions.get(name, '')} [{default}]".replace("%", "%%"),
        )  # fmt: skip


def _descriptions(model: type[Parameters]) -> dict[str, str]:
    """Field -> its description in the model's docstring."""
    lines = re.findall(r"^ {8}([a-z_, ]+): (.+(?:\n {12}.+)*)$", model.__doc__ or "", re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in lines for name in names.split(", ")}
