"""Run the same corpus from ingestion to metrics with different workers and file orders, and count different files.

    python benchmarks/same_answer.py [--project FOLDER]

Prints the Markdown table of docs/engineering/faults.md. Every file below `data/` must have the bytes of the first run:
tables, per-clip files, models, predictions, metrics, pictures, pages. Each run has its own hash seed. `--project` names
a project that contains the corpus of `kedro run --env test`; otherwise the corpus is rendered first. The project is
copied, never written to.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos import CHAIN, SERIAL, command, copy_code, finished_data, require_success
from killed_run import differences, environment, leftovers, run

PIPELINES = ",".join(CHAIN[1:])
OTHER_ORDER = """
import os, random

_listdir, _scandir = os.listdir, os.scandir

class _Shuffled:
    def __init__(self, entries):
        with entries:
            listed = list(entries)
        random.Random(1).shuffle(listed)
        self._entries = iter(listed)
    def __iter__(self): return self
    def __next__(self): return next(self._entries)
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def close(self): pass

def listdir(path="."):
    names = _listdir(path)
    random.Random(1).shuffle(names)
    return names

os.listdir, os.scandir = listdir, lambda path=".": _Shuffled(_scandir(path))
"""
"""A `sitecustomize.py`, which Python imports at its start: it lists folders in another order, as a file system may."""


@contextmanager
def cluster(project: Path) -> Iterator[str]:
    """Address of a Dask scheduler with two worker processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    parts = (
        ("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"),
        ("worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"),
    )
    started = []
    for role, *options in parts:
        words = [sys.executable, "-m", f"distributed.cli.dask_{role}", *options]
        started.append(subprocess.Popen(words, env=environment(project), stderr=subprocess.DEVNULL))
    try:
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def ways(project: Path, scratch: Path) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, command and environment variables of each run."""
    order = scratch / "order"
    order.mkdir()
    (order / "sitecustomize.py").write_text(OTHER_ORDER)
    shuffled = {"PYTHONPATH": f"{project / 'src'}{os.pathsep}{order}"}
    yield "two workers", command(PIPELINES, "", "executor.workers=2"), {"PYTHONHASHSEED": "1"}
    yield "one worker", command(PIPELINES, "", "executor.workers=1"), {"PYTHONHASHSEED": "2"}
    alone = ["taskset", "-c", "0", *command(PIPELINES, "", SERIAL)]
    yield "no worker, one core, files of every folder in another order", alone, {"PYTHONHASHSEED": "3", **shuffled}
    with cluster(project) as address:
        words = command(PIPELINES, "", f"executor.address={address}")
        yield "two workers of a Dask cluster", words, {"PYTHONHASHSEED": "4"}


def main() -> int:
    """Print the table; exit status 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, help="a project that contains the corpus")
    given = parser.parse_args()
    faults: list[str] = []
    print("| run | files that differ |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        project, first = scratch / "project", scratch / "first"
        project.mkdir()
        copy_code(project)
        corpus = finished_data(given.project, scratch, CHAIN[:1]) / "01_raw"
        for what, words, variables in ways(project, scratch):
            shutil.rmtree(project / "data", ignore_errors=True)
            shutil.copytree(corpus, project / "data/01_raw")
            require_success(run(project, words, **variables), what)
            if not first.exists():
                shutil.copytree(project / "data", first)
            found = differences(project / "data", first) + leftovers(project / "data")
            print(f"| {what} | {len(found)} of {sum(1 for p in first.rglob('*') if p.is_file())} |", flush=True)
            faults += [f"{what}: {line}" for line in found]
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
