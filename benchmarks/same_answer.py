"""The same corpus from ingestion to metrics in every way that must not matter, and what then differs.

    python benchmarks/same_answer.py [--project FOLDER]

Prints the Markdown table of docs/engineering/faults.md. Every file below `data/` has to have the bytes that the
first way gave: tables, per-clip files, models, predictions, metrics, pictures, pages. Each way has a hash seed of its
own. `--project` names a project that holds the corpus of `kedro run --env test`, which otherwise is rendered first; it
is copied, never written to.
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

from chaos import checked, command, copy_code, finished_data
from chaos_compare import differences, leftovers
from chaos_kill import environment, run
from chaos_plan import CHAIN

WORK = ",".join(CHAIN[1:])
# Folders are listed in whatever order a file system likes. Python imports this file at its start.
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


@contextmanager
def cluster(project: Path) -> Iterator[str]:
    """A Dask scheduler with two worker processes on this machine; its address."""
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
    """What is told, the command, and its environment."""
    order = scratch / "order"
    order.mkdir()
    (order / "sitecustomize.py").write_text(OTHER_ORDER)
    shuffled = {"PYTHONPATH": f"{project / 'src'}{os.pathsep}{order}"}
    yield "two workers", command(WORK, "", "executor.workers=2"), {"PYTHONHASHSEED": "1"}
    yield "one worker", command(WORK, "", "executor.workers=1"), {"PYTHONHASHSEED": "2"}
    alone = ["taskset", "-c", "0", *command(WORK, "", "executor.kind=serial")]
    yield "no worker, one core, files of every folder in another order", alone, {"PYTHONHASHSEED": "3", **shuffled}
    with cluster(project) as address:
        yield "two workers of a Dask cluster", command(WORK, "", f"executor.address={address}"), {"PYTHONHASHSEED": "4"}


def main() -> int:
    """Run every way, compare, print the table; 1 where anything differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, help="a project that holds the corpus")
    given = parser.parse_args()
    wrong: list[str] = []
    print("| how | files that differ |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        project, first = scratch / "project", scratch / "first"
        project.mkdir()
        copy_code(project)
        corpus = finished_data(given.project, scratch, CHAIN[:1]) / "01_raw"
        for what, words, variables in ways(project, scratch):
            shutil.rmtree(project / "data", ignore_errors=True)
            shutil.copytree(corpus, project / "data/01_raw")
            checked(run(project, words, **variables), what)
            if not first.exists():
                shutil.copytree(project / "data", first)
            found = differences(project / "data", first) + leftovers(project / "data")
            print(f"| {what} | {len(found)} of {sum(1 for p in first.rglob('*') if p.is_file())} |", flush=True)
            wrong += [f"{what}: {line}" for line in found]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
