"""What is listened to and what is looked at: the two streams that everything here is about.

The base of every parameter model: frozen, and strict about names; and what its errors say.

Parameter models as options of a command: each field under its own name, with its default and its words.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from iaca.errors import brief

Modality = Literal["audio", "visual"]
MODALITIES: tuple[Modality, Modality] = ("audio", "visual")
"""In the order that columns of truth and the weights of gates have."""


SHOWN = 5
LARGEST = 2**63 - 1  # whole number of a parameter: what numpy, torch and Parquet can hold
LONGEST_S = 1e7
"""No parameter is a longer time than this (s), nearly four months."""
Seed = Annotated[int, Field(ge=0, le=LARGEST)]
"""Of a generator of random numbers: numpy takes none below 0."""
Partition = Literal["train", "validation", "test"]
UNKNOWN = "extra_forbidden"  # pydantic's type of the error that a name is unknown


class Parameters(BaseModel):
    """Parameters of one step. Unknown names are refused with the nearest known one, so that a typo never passes for a
    default. Also refused are NaN, infinity, `true` in place of a number, and whole numbers of more than 64 bits."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _unknown_names_are_answered(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as error:
            lines = []
            for e in error.errors(include_url=False):
                if e["type"] == "default_factory_not_called":  # follows from another field's error, which is listed too
                    continue
                unknown = e["type"] == UNKNOWN and len(e["loc"]) == 1  # a longer place is in a model inside this one
                message = unknown_name(str(e["loc"][0]), cls.model_fields) if unknown else e["msg"]
                lines.append(fault(e["type"], message, e["loc"], e["input"]))
            raise ValidationError.from_exception_data(error.title, lines) from None

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, given: Any, info: ValidationInfo) -> Any:
        kinds = set(_kinds(cls.model_fields[str(info.field_name)].annotation))
        plain = not any(kind is Any or issubclass(kind, BaseModel) for kind in kinds)
        for place, value in _values(given) if plain else ():
            if isinstance(value, bool) and bool not in kinds:
                names = sorted(kind.__name__ for kind in kinds - {type(None)})
                raise ValueError(f"{place}{str(value).lower()} is no {' or '.join(names)}")
            if isinstance(value, int) and abs(value) > LARGEST:
                raise ValueError(f"{place}a whole number of more than 64 bits is beyond {LARGEST}")
        return given


def unknown_name(name: str, known: Iterable[str]) -> str:
    """What is said about a name that no field has."""
    near = get_close_matches(name, known, n=1)
    return "Extra inputs are not permitted" + (f"; did you mean {near[0]}?" if near else "")


def fault(kind: str, message: str, place: tuple[int | str, ...], given: Any) -> InitErrorDetails:
    """One line of a `ValidationError`."""
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=place, input=given)  # type: ignore[arg-type]


def _kinds(annotation: Any) -> Iterator[type]:
    """The classes of the values that an annotation allows, inside all unions, tuples and tables."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from map(type, inner)
    elif inner:
        for part in inner[:1] if origin is Annotated else inner:
            yield from _kinds(part)
    elif isinstance(annotation, type):
        yield annotation


def _values(given: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """A value, or those inside a list or table of values, and where in a table it stands (`key: `)."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            yield from _values(value, f"{place}{key}: ")
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _values(value, place)
    else:
        yield place, given


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


def add_options(parser: argparse.ArgumentParser, model: type[Parameters]) -> None:
    """One option per field; what is not given is None, so that the model's own default counts."""
    about = _descriptions(model)
    for name, field in model.model_fields.items():
        several = isinstance(field.default, tuple)
        text = f"{about.get(name, '')} [{' '.join(map(str, field.default)) if several else field.default}]"
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, nargs="+" if several else None, metavar="X",
            help=text.replace("%", "%%"),
        )  # fmt: skip


def _descriptions(model: type[Parameters]) -> dict[str, str]:
    """Field -> its line in the model's docstring."""
    lines = re.findall(r"^ {8}([a-z_, ]+): (.+(?:\n {12}.+)*)$", model.__doc__ or "", re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in lines for name in names.split(", ")}
