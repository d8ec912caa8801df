"""Overhead of the engine of per-video work: a thousand tiny items, made, found up to date, and extended by one.

    python benchmarks/engine.py [--items 1000] [--workers 2]

Prints the Markdown table of docs/engineering/performance.md. Each line is a process of its own and includes the start
of the interpreter and of the worker processes; `start-up` is the same process without items.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from iaca.engine import ExecutorConfig, Task, run_tasks


def copy(source: Path, target: Path, mark: str) -> None:
    """The smallest possible task."""
    target.write_text(source.read_text() + mark)


def stage(folder: Path, workers: int) -> None:
    """Run a stage over all files of the folder."""
    tasks = {path.name: Task("copy", copy, (path,), {"mark": "!"}) for path in sorted((folder / "in").iterdir())}
    run_tasks(tasks, folder / "out", ".txt", ExecutorConfig(workers=workers))


def seconds(folder: Path, workers: int) -> float:
    """Wall time (s) of a process that brings the folder up to date."""
    code = f"from pathlib import Path; import engine; engine.stage(Path({str(folder)!r}), {workers})"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)
    return time.perf_counter() - start


def fill(folder: Path, names: range) -> None:
    """Write tiny inputs."""
    (folder / "in").mkdir(exist_ok=True)
    for name in names:
        (folder / "in" / f"{name:05d}").write_text(str(name))


def measure(scratch: Path, items: int, workers: int) -> list[tuple[str, float, str]]:
    """(what, seconds, budget)."""
    fill(scratch, range(0))
    nothing = seconds(scratch, workers)
    fill(scratch, range(1))
    one = seconds(scratch, workers)
    fill(scratch, range(items))
    all_items = seconds(scratch, workers)
    up_to_date = seconds(scratch, workers)
    fill(scratch, range(items + 1))
    one_more = seconds(scratch, workers)
    (scratch / "in" / "00000").unlink()
    one_less = seconds(scratch, workers)
    return [
        ("start-up: no item", nothing, ""),
        ("one item alone, in a new pool", one, ""),
        (f"{items} items", all_items, f"{1000 * (all_items - one) / items:.1f} ms an item"),
        ("again, all up to date", up_to_date, f"start-up + 1 s = {nothing + 1:.1f} s"),
        ("one more", one_more, f"one alone + 1 s = {one + 1:.1f} s"),
        ("one less", one_less, f"start-up + 1 s = {nothing + 1:.1f} s"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), given.items, given.workers)
    print("| what | wall time | budget |\n|---|---|---|")
    for what, took, budget in rows:
        print(f"| {what} | {took:.2f} s | {budget} |")


if __name__ == "__main__":
    main()
