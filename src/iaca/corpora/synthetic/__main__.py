"""`python -m iaca.corpora.synthetic ROOT [--kind s2] [--clips 120] ...`: write a synthetic corpus."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from iaca.config import faults
from iaca.corpora.options import add_options
from iaca.corpora.synthetic.config import SyntheticConfig
from iaca.corpora.synthetic.write import Format, write_corpus
from iaca.errors import InputError

log = logging.getLogger(__name__)


def main(words: Sequence[str] | None = None) -> None:
    """Every field of `SyntheticConfig` is an option of the same name."""
    parser = build_parser()
    given = vars(parser.parse_args(words))
    root, form = given.pop("root"), given.pop("format")
    try:
        config = SyntheticConfig(**{name: value for name, value in given.items() if value is not None})
        write_corpus(config, root, form)
    except ValidationError as error:
        parser.error(faults(error, "--"))
    except InputError as error:
        parser.exit(2, f"{error}\n")
    log.info("%d clips of %g s in %s", config.clips, config.seconds, root)


def build_parser() -> argparse.ArgumentParser:
    """Options with the defaults and the words of the parameter model."""
    parser = argparse.ArgumentParser(prog="python -m iaca.corpora.synthetic", description=__doc__)
    parser.add_argument("root", type=Path, help="a new or an empty folder")
    parser.add_argument("--format", choices=get_args(Format), default="csv", help="of the tables")
    add_options(parser, SyntheticConfig)
    return parser


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
