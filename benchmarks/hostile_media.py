"""Odd and hostile media: the outcome for each file, its time and its memory.

    python benchmarks/hostile_media.py [--seeds 20] [--read] [--runs]

Writes the files of tests/media; intact ones also truncated at each tenth of their length and with bits flipped by
`--seeds` seeds. Each is analysed by `Predictor.predict` (with `--read`: only read to the last frame) in its own
process, limited to 2 GiB of additional address space and 60 s. With `--runs`, a corpus of all of them is run from
videos to report, and through the pipeline `inference`. Prints Markdown tables; that of `--read` is in
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
    """A video with the largest frames that the limit allows."""
    return Hostile(f"{side} px.mp4", "largest pictures", lambda path: make(path, steady(8), [_plain(side)] * 8))


def _plain(side: int) -> np.ndarray:
    return np.full((side, side, 3), 90, np.uint8)


def predicted(path: Path) -> dict[str, object]:
    """Number of rows of a file's predictions."""
    return {"rows": len(PREDICTOR.predict(path))}


def measure(files: list[Hostile], folder: Path, task: Callable[[Path], dict[str, object]]) -> None:
    """Print a row per family: how many were refused, how many crashed or hung, the longest time, the most memory."""
    found: dict[str, list[dict]] = defaultdict(list)
    for file in files:
        file.write(folder / file.name)
        found[file.family].append({"name": file.name, **verdicts.bounded(folder / file.name, task)})
        (folder / file.name).unlink()
    print("| kind | files | refused | crashed or hung | slowest, s | most memory, MiB |")
    print("|---|---|---|---|---|---|", flush=True)
    for family, outcomes in found.items():
        counts = [sum(key in outcome for outcome in outcomes) for key in ("error", "crash")]
        most = [max(float(outcome[key]) for outcome in outcomes) for key in ("seconds", "grown_mb")]
        print(
            f"| {family} | {len(outcomes)} | {' | '.join(map(str, counts))} | {most[0]:.1f} | {most[1]:.0f} |",
            flush=True,
        )
        for outcome in outcomes:
            if "crash" in outcome:
                print(f"{outcome['name']}: {outcome['crash']}", file=sys.stderr)


def runs(files: list[Hostile], folder: Path) -> None:
    """Print the exit status and time of pipelines over all files."""
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
    """A file extension that a folder is searched for."""
    ending = Path(name).suffix
    return ending if ending in (".mp4", ".mkv", ".avi", ".webm", ".mov") else ".mp4"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--runs", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = hostile.everything(folder / "sources", SHARES, range(given.seeds))
        (folder / "one").mkdir()
        measure([*files, large(4096)], folder / "one", verdicts.read if given.read else predicted)
        if given.runs:
            runs(files, folder)


PREDICTOR = Predictor.load("zero_shot")

if __name__ == "__main__":
    main()
