"""Errors that a user can mend are shown as their message, without the stack of calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType

from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation import ParameterValidationError

from iaca.errors import InputError, printable

STACK = "IACA_TRACEBACK"
"""Environment variable: with any value every error is shown with its stack."""
NO_PIPELINE = "Failed to find the pipeline"  # how Kedro's ValueError begins


def show(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    """In the place of `sys.excepthook`."""
    message = message_of(error)
    if message is None or os.environ.get(STACK):
        sys.__excepthook__(kind, error, stack)
    else:
        sys.stderr.write(f"Error: {printable(message)}\n")


def message_of(error: BaseException) -> str | None:
    """What a user is told; None for an error that only its stack explains."""
    chain = list(_chain(error))
    mine = [one for one in chain if isinstance(one, InputError)]
    if mine:
        return str(mine[-1])  # where several stand in a row, the last one was first
    of_kedro = isinstance(error, MissingConfigException | ParameterValidationError) or (
        all(isinstance(one, DatasetError) for one in chain) or str(error).startswith(NO_PIPELINE)
    )
    return str(error) if of_kedro else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
