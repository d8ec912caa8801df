"""Time and memory of tables of millions of rows, and of one endless line, each read in a process of its own.

    python benchmarks/hostile_tables.py [--rows 1000000] [--line 100]

The tables in docs/engineering/hostile_input.md came from it.
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
from iaca.formats.affwild2 import parse_annotation
from iaca.formats.labels import inspect_labels
from iaca.formats.predictions import parse_predictions

FORMS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "annotation of Aff-Wild2": (parse_annotation, "valence,arousal\n", "0.25,-0.125\n"),
    "labels of a folder": (inspect_labels, "frame,valence,arousal\n", "{row},0.25,-0.125\n"),
    "table of predictions": (parse_predictions, "clip,frame,valence,arousal\n", "clip,{row},0.25,-0.125\n"),
}


Found: TypeAlias = "multiprocessing.SimpleQueue[tuple[str, float, float]]"


def measure(form: str, path: Path, found: Found) -> None:
    """What became of it, seconds, and MB beyond those of the process before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, became = time.perf_counter(), "read"
    try:
        FORMS[form][0](path)
    except InputError as error:
        became = f"refused: {error.problem}"
    seconds = time.perf_counter() - start
    found.put((became, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def write(path: Path, form: str, rows: int, line: int) -> None:
    """A table of the form: `rows` rows, or one of `line` MB."""
    _, header, row = FORMS[form]
    with path.open("w") as file:
        file.write(header)
        file.writelines(row.format(row=number) for number in range(rows))
        file.writelines("0.25," * (2**20 // 5) for _ in range(line))


def main() -> None:
    """Write each form of table, read it, print a row of the page's table."""
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
                became, seconds, megabytes = found.get()
                process.join()
                size = path.stat().st_size / 2**20
                told = f"{rows:,} rows" if rows else "one line"
                print(
                    f"| {form} | {told} | {size:.0f} MB | {seconds:.1f} s | {megabytes:.0f} MB | {became} |", flush=True
                )


if __name__ == "__main__":
    main()
