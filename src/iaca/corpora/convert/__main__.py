"""`python -m iaca.corpora.convert avec2019|recola|muse SOURCE ROOT --audio FOLDER --visual FOLDER [--delay 2.4]`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from iaca.config import faults
from iaca.corpora.convert.clip import Format
from iaca.corpora.convert.config import ConvertConfig
from iaca.corpora.convert.write import CORPORA, convert
from iaca.corpora.options import add_options
from iaca.errors import InputError

log = logging.getLogger(__name__)


def main(words: Sequence[str] | None = None) -> None:
    """Every field of `ConvertConfig` is an option of the same name."""
    parser = build_parser()
    given = vars(parser.parse_args(words))
    corpus, source, root, form = (given.pop(name) for name in ("corpus", "source", "root", "format"))
    try:
        config = ConvertConfig(**{name: value for name, value in given.items() if value is not None})
        clips = convert(corpus, source, root, config, form)
    except ValidationError as error:
        parser.error(faults(error, "--"))
    except InputError as error:
        parser.exit(2, f"{error}\n")
    log.info('%d clips in %s. Next: kedro run --env features --params "ingestion.root=%s"', clips, root, root)


def build_parser() -> argparse.ArgumentParser:
    """Options with the defaults and the words of the parameter model."""
    parser = argparse.ArgumentParser(prog="python -m iaca.corpora.convert", description=__doc__)
    parser.add_argument("corpus", choices=list(CORPORA), help="whose files these are")
    parser.add_argument("source", type=Path, help="folder of the corpus")
    parser.add_argument("root", type=Path, help="a new or an empty folder")
    parser.add_argument("--format", choices=get_args(Format), default="csv", help="of the tables that are written")
    add_options(parser, ConvertConfig)
    return parser


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
