"""`python -m iaca.encoders`: list all encoders with their width, weights and licence."""

from __future__ import annotations

import sys

from iaca.encoders.config import ENCODERS, EncoderFacts
from iaca.encoders.weights import FETCH, WEIGHTS, locate
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
        return f"here: {locate(name)}"
    except InputError as error:
        if "checksum" in error.problem:
            return f"{file.name} is another file: its {error.problem}"
        return f"run `{FETCH} {name}`" if file.requirement else f"get {file.name} from {file.source}"


def main() -> None:
    """Print the table."""
    rows = [HEAD, *table()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


if __name__ == "__main__":
    main()
