"""What a user can mend is one message on one screen; what is a fault of the program keeps its stack."""

import sys
from itertools import pairwise

import pytest
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation import ParameterValidationError

from iaca.errors import InputError
from iaca.hooks import STACK, message_of, show


def raised(*chain: Exception) -> Exception:
    """The last one, raised from the one before it, and so on."""
    for cause, error in pairwise(chain):
        error.__cause__ = cause
    return chain[-1]


UNKNOWN = "Failed to find the pipeline named 'x'."
BAD = InputError("no column `time_s`", "labels.csv", 1, "name the columns")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BAD, str(BAD)),
        (raised(KeyError("clip"), BAD, DatasetError("Failed while saving data to dataset x")), str(BAD)),
        (raised(BAD, DatasetError("There is no model: train one")), "There is no model: train one"),
        (raised(BAD, ValueError("it does not fit")), "it does not fit"),
        (DatasetError("There is no corpus at here"), "There is no corpus at here"),
        (raised(DatasetError("no corpus"), DatasetError("corpus: no corpus")), "corpus: no corpus"),
        (ParameterValidationError("training: epochz"), "training: epochz"),
        (MissingConfigException("conf/nowhere does not exist"), "conf/nowhere does not exist"),
        (raised(KeyError("x"), ValueError(UNKNOWN)), UNKNOWN),
        (raised(KeyError("clip"), DatasetError("Failed while saving data to dataset x")), None),
        (ValueError("a fault of the program"), None),
        (KeyboardInterrupt(), None),
    ],
)  # fmt: skip
def test_the_message_of_an_error_is_what_its_user_can_mend(error: BaseException, told: str | None) -> None:
    assert message_of(error) == told


def test_the_stack_is_shown_where_it_is_asked_for_or_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(InputError, BAD, None)
    assert capsys.readouterr().err == f"Error: {BAD}\n"
    monkeypatch.setattr(sys, "__excepthook__", lambda _, error, __: sys.stderr.write(f"stack of {error}\n"))
    show(ValueError, ValueError("a fault"), None)
    assert capsys.readouterr().err == "stack of a fault\n"
    monkeypatch.setenv(STACK, "1")
    show(InputError, BAD, None)
    assert capsys.readouterr().err == f"stack of {BAD}\n"
