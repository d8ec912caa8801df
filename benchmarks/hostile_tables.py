"""Time and memory of tables of millions of rows, each read in a process of its own: `docs/hostile_tables.md`.

python benchmarks/hostile_tables.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from iaca.corpora.folder.labels import inspect_labels
from iaca.evaluation.annotations import parse_annotation
from iaca.evaluation.prediction_files import parse_predictions

FORMS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "annotation of Aff-Wild2": (parse_annotation, "valence,arousal\n", "0.25,-0.125\n"),
    "labels of a folder": (inspect_labels, "frame,valence,arousal\n", "{row},0.25,-0.125\n"),
    "table of predictions": (parse_predictions, "clip,frame,valence,arousal\n", "clip,{row},0.25,-0.125\n"),
}


def measure(form: str, path: Path, found: multiprocessing.SimpleQueue[tuple[float, float]]) -> None:
    """Seconds, and MB beyond those of the process before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    FORMS[form][0](path)
    found.put((time.perf_counter() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def main() -> None:
    """Write each form of table, read it, print a row of the page's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows, spawn = parser.parse_args().rows, multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for form, (_, header, row) in FORMS.items():
            path = Path(folder, "table.csv")
            with path.open("w") as file:
                file.write(header)
                file.writelines(row.format(row=number) for number in range(rows))
            found = spawn.SimpleQueue()
            process = spawn.Process(target=measure, args=(form, path, found))
            process.start()
            seconds, megabytes = found.get()
            process.join()
            size = path.stat().st_size / 2**20
            print(f"| {form} | {rows:,} | {size:.0f} MB | {seconds:.1f} s | {megabytes:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
