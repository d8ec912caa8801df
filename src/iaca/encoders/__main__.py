"""`python -m iaca.encoders`: list all encoders with their width, weights and licence; `get NAME ...`: get weights."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from iaca.encoders.config import ENCODERS, EncoderFacts
from iaca.encoders.weights import ACCEPT, GET, WEIGHTS, get, locate, sha256
from iaca.errors import InputError

HEAD = ("modality", "encoder", "dim", "sees", "reach", "batch", "licence of the weights", "weights")


def table() -> list[tuple[str, ...]]:
    """One row per encoder, in the columns of `HEAD`."""
    rows: list[tuple[str, ...]] = []
    for modality, known in ENCODERS.items():
        for name, entry in known.items():
            licence = WEIGHTS[name].licence if name in WEIGHTS else "-"
            facts = (modality, name, str(entry.dim), entry.sees, entry.reach, str(entry.batch), licence)
            rows.append((*facts, state(name, entry)))
    return rows


def state(name: str, entry: EncoderFacts) -> str:
    """Where the weights of an encoder are on this machine, or how to get them."""
    file = WEIGHTS.get(name)
    if not entry.learned:
        return "needs none"
    if file is None:
        return "none published: use a checkpoint of your own"
    try:
        return f"here: {locate(name)}{'' if file.pinned else ' (no checksum known)'}"
    except InputError as error:
        if "checksum" in error.problem:
            return f"{file.name} is another file: its {error.problem}"
        if isinstance(error.__cause__, OSError):
            return f"{error.problem}: {error.file}"
        if file.terms:
            return f"run `{GET} {name} {ACCEPT}`"
        return f"run `{GET} {name}`" if file.by_command else f"get {file.name} from {file.source}"


def print_table() -> None:
    """Print the table."""
    rows = [HEAD, *table()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def get_all(names: Sequence[str], accept_licence: bool = False) -> None:
    """Get the weights of these encoders, or those that `make setup` needs. Say licence and place of each.

    Raises:
        InputError: of the first that failed, after all have been tried.
    """
    failed: InputError | None = None
    known = {name for encoders in ENCODERS.values() for name in encoders} | set(WEIGHTS)
    for name in names or [name for name, file in WEIGHTS.items() if file.setup]:
        if file := WEIGHTS.get(name):
            sys.stdout.write(f"{name}: {file.name} of {file.source}; licence {file.licence}\n")
        try:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                did_you_mean = f"did you mean {near[0]}? " if near else ""
                remedy = f"{did_you_mean}`python -m iaca.encoders` lists them"
                raise InputError(f"there is no encoder {name!r}", remedy=remedy)
            path = get(name, sys.stderr.isatty(), accept_licence)
        except InputError as error:
            sys.stderr.write(f"{error}\n")
            failed = failed or error
            continue
        unchecked = "" if WEIGHTS[name].pinned else f" (no checksum known; sha256 {sha256(path)}, compared from now on)"
        sys.stdout.write(f"{name}: {path}{unchecked}\n")
    if failed:
        raise failed


def main(given: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m iaca.encoders", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="get")
    getter = commands.add_parser("get", help="get the weights of encoders from their publishers")
    getter.add_argument("names", nargs="*", metavar="NAME", help="encoders; without names, those of `make setup`")
    getter.add_argument(ACCEPT, action="store_true", help="accept licences that forbid commercial use")
    arguments = parser.parse_args(given)
    if arguments.command is None:
        print_table()
        return
    try:
        get_all(arguments.names, arguments.accept_licence)
    except InputError:
        sys.exit(1)


if __name__ == "__main__":
    main()
