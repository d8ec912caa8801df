"""Odd and hostile media: what becomes of each file, how long it takes, and how much memory.

    python benchmarks/hostile_media.py [--seeds 20] [--read] [--runs]

The files of tests/media are written, whole ones also broken off at each tenth of their length and with bits turned over
by `--seeds` seeds, and analysed by `Predictor.predict` (with `--read`: only read, to the last frame), each in a process
of its own that may take 2 GiB of address space more and 60 s. With `--runs`, a corpus of all of them goes from the
videos to the report, and the pipeline `inference` over them. Prints Markdown tables; that of `--read` is in
docs/engineering/hostile_input.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "media")]

import hostile  # noqa: E402
import numpy as np  # noqa: E402
import verdicts  # noqa: E402
from make_media import make, steady  # noqa: E402
from media_case import Hostile, good  # noqa: E402

from iaca.inference import Predictor  # noqa: E402
from project import copy_project, environment  # noqa: E402

SHARES = [k / 10 for k in range(1, 10)]


def large(side: int) -> Hostile:
    """A video whose frames are as large as the limit allows."""
    return Hostile(f"{side} px.mp4", "largest pictures", lambda path: make(path, steady(8), [_plain(side)] * 8))


def _plain(side: int) -> np.ndarray:
    return np.full((side, side, 3), 90, np.uint8)


def predicted(path: Path) -> dict[str, object]:
    """Rows of a file's table."""
    return {"rows": len(PREDICTOR.predict(path))}


def measure(files: list[Hostile], folder: Path, task: Callable[[Path], dict[str, object]]) -> None:
    """Print a row per family: how many came out, were refused, crashed; the slowest, and the most memory."""
    found: dict[str, list[dict]] = defaultdict(list)
    for file in files:
        file.write(folder / file.name)
        found[file.family].append({"name": file.name, **verdicts.bounded(folder / file.name, task)})
        (folder / file.name).unlink()
    print("| kind | files | refused | crashed or hung | slowest, s | most memory, MiB |")
    print("|---|---|---|---|---|---|", flush=True)
    for family, told in found.items():
        counts = [sum(key in one for one in told) for key in ("error", "crash")]
        most = [max(float(one[key]) for one in told) for key in ("seconds", "grown_mb")]
        print(
            f"| {family} | {len(told)} | {' | '.join(map(str, counts))} | {most[0]:.1f} | {most[1]:.0f} |", flush=True
        )
        for one in told:
            if "crash" in one:
                print(f"{one['name']}: {one['crash']}", file=sys.stderr)


def runs(files: list[Hostile], folder: Path) -> None:
    """Print how whole runs over all files end."""
    root, project = folder / "videos", copy_project(folder / "project")
    root.mkdir()
    for number, file in enumerate(files):
        file.write(root / f"{number} {Path(file.name).stem}{_ending(file.name)}")
    for name in ("good one", "good two", "good three"):
        good(root / f"{name}.mp4")
        (root / f"{name}.csv").write_text("frame,valence,arousal\n0,-0.5,0.1\n6,0.2,0.6\n11,0.6,-0.3\n")
    hostile.names(root, root / "good one.mp4", good(folder / "outside.mp4"))
    print("| run | ends with | seconds |\n|---|---|---|")
    for words in (
        ["--env", "folder", "--params", f"ingestion.root={root},training.epochs=2,evaluation.replicates=100"],
        ["--pipelines", "inference", "--params", f"inference.input={root},inference.output={folder / 'out'}"],
    ):
        words[-1] += ",executor.tolerated_failures=0.95"
        start = time.perf_counter()
        command = [sys.executable, "-m", "kedro", "run", *words]
        done = subprocess.run(command, cwd=project, env=environment(project), capture_output=True, check=False)
        print(f"| {' '.join(words[:2])} | {done.returncode} | {time.perf_counter() - start:.0f} |", flush=True)
        if done.returncode:
            print(done.stderr.decode(errors="replace")[-3000:], file=sys.stderr)


def _ending(name: str) -> str:
    """One that a folder is searched for."""
    ending = Path(name).suffix
    return ending if ending in (".mp4", ".mkv", ".avi", ".webm", ".mov") else ".mp4"


def main() -> None:
    """Write the files, analyse each, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--runs", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = hostile.everything(folder / "made from", SHARES, range(given.seeds))
        (folder / "one").mkdir()
        measure([*files, large(4096)], folder / "one", verdicts.read if given.read else predicted)
        if given.runs:
            runs(files, folder)


PREDICTOR = Predictor.load("zero_shot")

if __name__ == "__main__":
    main()
