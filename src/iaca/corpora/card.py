"""What a corpus says of itself: its name, and what results on it do not prove."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from iaca.config import Parameters, faults
from iaca.errors import InputError
from iaca.files import require_file

FILE = "corpus.json"


class CorpusCard(Parameters):
    """The card travels with the model, so that every later result can repeat it.

    Attributes:
        name: of the corpus.
        caveat: a warning that belongs to every number obtained from it; empty where there is none.
    """

    name: str
    caveat: str = ""


def read_card(root: Path) -> CorpusCard:
    """The card in `corpus.json`; without that file, one with the folder's name.

    Raises:
        InputError: the file is there, but is no card.
    """
    path = root / FILE
    if not path.exists():
        return CorpusCard(name=root.name)
    require_file(path, "write a card in its place, or remove it")
    try:
        return CorpusCard.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = faults(error) if isinstance(error, ValidationError) else error.reason
        raise InputError(
            f"not a corpus card ({what})", path, remedy='write {"name": "...", "caveat": "..."}'
        ) from error


def card_text(card: CorpusCard) -> str:
    """The file's content."""
    return json.dumps(card.model_dump(), indent=2) + "\n"
