"""`python -m iaca.encoders`: every encoder with its width, its weights and their licence."""

from __future__ import annotations

import sys

from iaca.encoders.registry import REGISTRIES, Encoder, published
from iaca.encoders.weights import FETCH, locate
from iaca.errors import InputError

HEAD = ("modality", "encoder", "dim", "sees", "reach", "batch", "licence of the weights", "weights")


def table() -> list[tuple[str, ...]]:
    """One row per encoder, in the columns of `HEAD`."""
    rows: list[tuple[str, ...]] = []
    for modality, registry in REGISTRIES.items():
        for name, entry in registry.items():
            file = published(name)
            licence = file.licence if file else "-"
            facts = (modality, name, str(entry.dim), entry.sees, entry.reach, str(entry.batch), licence)
            rows.append((*facts, state(name, entry)))
    return rows


def state(name: str, entry: Encoder) -> str:
    """Whether an encoder's weights are on this machine, or how to get them."""
    file = published(name)
    if not entry.learned:
        return "needs none"
    if file is None:
        return "none published: a checkpoint of your own"
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
