"""Time and memory of reading tables of millions of rows and tables of one long line.

    python benchmarks/hostile_tables.py [--rows 1000000] [--line 100]

Each table is read in a process of its own. Prints the Markdown tables of docs/engineering/hostile_input.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from iaca.errors import InputError
from iaca.formats.labels import inspect_labels, parse_annotation
from iaca.formats.predictions import parse_predictions

FORMS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "annotation of Aff-Wild2": (parse_annotation, "valence,arousal\n", "0.25,-0.125\n"),
    "labels of a folder": (inspect_labels, "frame,valence,arousal\n", "{row},0.25,-0.125\n"),
    "table of predictions": (parse_predictions, "clip,frame,valence,arousal\n", "clip,{row},0.25,-0.125\n"),
}
Found: TypeAlias = "multiprocessing.SimpleQueue[tuple[str, float, float]]"


def measure(form: str, path: Path, found: Found) -> None:
    """Report the outcome, seconds, and MB of additional peak memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, outcome = time.perf_counter(), "read"
    try:
        FORMS[form][0](path)
    except InputError as error:
        outcome = f"refused: {error.problem}"
    seconds = time.perf_counter() - start
    found.put((outcome, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def write(path: Path, form: str, rows: int, line: int) -> None:
    """A table of the form with `rows` rows, or with one line of `line` MB."""
    _, header, row = FORMS[form]
    with path.open("w") as file:
        file.write(header)
        file.writelines(row.format(row=number) for number in range(rows))
        file.writelines("0.25," * (2**20 // 5) for _ in range(line))


def main() -> None:
    """Print a row per form of table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--line", type=int, default=100, help="MB")
    given, spawn = parser.parse_args(), multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        for rows, line in ((given.rows, 0), (0, given.line)):
            for form in FORMS:
                write(path, form, rows, line)
                found: Found = spawn.SimpleQueue()
                process = spawn.Process(target=measure, args=(form, path, found))
                process.start()
                outcome, seconds, megabytes = found.get()
                process.join()
                size = path.stat().st_size / 2**20
                length = f"{rows:,} rows" if rows else "one line"
                cells = (form, length, f"{size:.0f} MB", f"{seconds:.1f} s", f"{megabytes:.0f} MB", outcome)
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
