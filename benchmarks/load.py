"""What a corpus of many clips costs: ingestion, preprocessing and embedding of the real pipelines, their rerun, DVC and
kedro-viz, for growing numbers of tiny clips.

    python benchmarks/load.py FOLDER [--clips 10 100 1000 10000] [--workers 2] [--more training dvc viz]

FOLDER/project is a git clone of this project (what is committed) with a corpus in the place of the demo's. That corpus
grows from one number of clips to the next, and every step is a command of its own. What has been measured stands in
FOLDER/results.jsonl and is not done again; a run that was interrupted goes on. Prints a Markdown table; those in
docs/engineering/load.md were made of it.

Processor time is what all processes of a command took together, user and system. The cost of a clip is the processor
time of a step, less that of the same step for the smallest number of clips (starting, loading networks), by the number
of clips that were added.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from load_corpus import render, write_corpus
from load_measure import Measured, measure, serve

ROOT = Path(__file__).parents[1]
DATA = ("ingestion", "preprocessing", "embedding")
CHEAPEST = "faces.min_face=0.35"  # the face fills half of the picture: fewer sizes are searched
SHORT = "training.length=10,training.hop=10,training.epochs=1,training.batch_size=64"
ONE_STAGE_EACH = ["dvc", "repro", "--single-item", *DATA]
COMMANDS: dict[str, list[str]] = {
    **{name: ["kedro", "run", "--pipelines", name] for name in DATA},
    **{f"{name} again": ["kedro", "run", "--pipelines", name] for name in DATA},
    "kedro alone": ["kedro", "registry", "list"],
    "training": ["kedro", "run", "--pipelines", "training"],
    "evaluation": ["kedro", "run", "--pipelines", "evaluation"],
    "dvc commit": ["dvc", "commit", "--force", "demo_corpus", *DATA],
    "dvc status": ["dvc", "status", *DATA],
    "dvc repro": ONE_STAGE_EACH,
    "viz build": ["kedro", "viz", "build", "--include-previews"],
}
GROUPS = {
    "training": ["training", "evaluation"],
    "dvc": ["dvc commit", "dvc status", "dvc repro"],
    "viz": ["viz build", "viz run"],
}
ENOUGH = 1000
"""Clips from which on the groups are measured."""


Results = dict[tuple[int, str], Measured]


def prepare(folder: Path) -> Path:
    """A clone of the project, with the movies that clips are made of beside it."""
    project = folder / "project"
    if not project.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    return project


def words(step: str, workers: int) -> list[str]:
    """The command of a step."""
    command = list(COMMANDS[step])
    if command[:2] != ["kedro", "run"]:
        return command
    more = f",{SHORT}" if step == "training" else ""
    return [*command, "--params", f"executor.workers={workers},{CHEAPEST}{more}"]


def measured(folder: Path, clips: list[int], steps: list[str], workers: int) -> Results:
    """All results, those of earlier runs among them."""
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    done = {(clips, step): Measured(*numbers) for clips, step, *numbers in map(json.loads, lines)}
    project, movies = prepare(folder), render(folder)
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for number in clips:
        grouped = {step for group in GROUPS.values() for step in group}
        wanted = [s for s in steps if s in DATA or (number > clips[0] and (s not in grouped or number >= ENOUGH))]
        missing = [step for step in wanted if (number, step) not in done]
        if missing:
            write_corpus(project / "data/01_raw/demo", number, movies)
        for step in missing:
            command = words(step, workers) if step in COMMANDS else []
            done[number, step] = (measure if command else serve)(command, project, environment)
            with file.open("a") as results:
                results.write(json.dumps([number, step, *done[number, step]]) + "\n")
            print(number, step, done[number, step], file=sys.stderr, flush=True)
    return done


def table(done: Results, clips: list[int], steps: list[str]) -> str:
    """One row per step and number of clips."""
    rows = ["| step | clips | wall, s | processor, s | ms per added clip | driver, MiB | worker, MiB |"]
    rows.append("|---|---|---|---|---|---|---|")
    for step in steps:
        sizes = [number for number in clips if (number, step) in done]
        for before, number in zip([None, *sizes], sizes, strict=False):
            wall, cpu, driver, worker = done[number, step]
            base = done[sizes[0], step].cpu
            cost = f"{1000 * (cpu - base) / (number - before):.1f}" if before and step in DATA else ""
            largest = f"{worker:.0f}" if worker else ""
            rows.append(f"| {step} | {number:,} | {wall:.1f} | {cpu:.1f} | {cost} | {driver:.0f} | {largest} |")
    return "\n".join(rows)


def main() -> None:
    """Measure what is missing, print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100, 1000, 10000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--more", nargs="*", choices=GROUPS, default=[])
    given = parser.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    steps = [*DATA, "kedro alone", *(f"{name} again" for name in DATA)]
    steps += [step for group in given.more for step in GROUPS[group]]
    print(table(measured(folder, sorted(given.clips), steps, given.workers), sorted(given.clips), steps))


if __name__ == "__main__":
    main()
