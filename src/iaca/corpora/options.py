"""Parameter models as options of a command: each field under its own name, with its default and its words."""

from __future__ import annotations

import argparse
import re

from iaca.config import Parameters


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
