"""The cost of a corpus of many clips: ingestion, preprocessing and embedding of the real pipelines, their rerun, DVC
and kedro-viz, for growing numbers of tiny clips.

    python benchmarks/load.py FOLDER [--clips 10 100 1000 10000] [--workers 2] [--more training dvc viz]

FOLDER/project is a git clone of this project (committed files only) with a generated corpus in place of the demo's. The
corpus grows from one number of clips to the next, and every step is a command. Measurements are kept in
FOLDER/results.jsonl and not repeated; an interrupted run continues. Prints a Markdown table, from which those in
docs/engineering/load.md were made.

Processor time is that of all processes of a command, user and system. The cost of a clip is the processor time of a
step minus that of the same step for the smallest number of clips (start-up, loading networks), divided by the number of
added clips.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from iaca.corpora.demo.plan import FOLDERS, DemoConfig, annotation_texts, plan_corpus
from iaca.corpora.demo.render import render_movie
from iaca.corpora.index import CARD_FILE, CorpusCard, card_text

ROOT = Path(__file__).parents[1]
DATA = ("ingestion", "preprocessing", "embedding")
LARGE_FACES = "faces.min_face=0.35"  # the face fills half of the picture, so fewer sizes are searched
SHORT = "training.length=10,training.hop=10,training.epochs=1,training.batch_size=64"
COMMANDS: dict[str, list[str]] = {
    **{name: ["kedro", "run", "--pipelines", name] for name in DATA},
    **{f"{name} again": ["kedro", "run", "--pipelines", name] for name in DATA},
    "kedro alone": ["kedro", "registry", "list"],
    "training": ["kedro", "run", "--pipelines", "training"],
    "evaluation": ["kedro", "run", "--pipelines", "evaluation"],
    "dvc commit": ["dvc", "commit", "--force", "demo_corpus", *DATA],
    "dvc status": ["dvc", "status", *DATA],
    "dvc repro": ["dvc", "repro", "--single-item", *DATA],
    "viz build": ["kedro", "viz", "build", "--include-previews"],
}
GROUPS = {
    "training": ["training", "evaluation"],
    "dvc": ["dvc commit", "dvc status", "dvc repro"],
    "viz": ["viz build", "viz run"],
}
GROUPS_FROM_CLIPS = 1000
"""The groups are measured from this number of clips on."""
POLL_S = 0.2


class Measured(NamedTuple):
    """Seconds, and peak resident memory in MiB; `worker` is the largest of all processes except the driver."""

    wall: float
    cpu: float
    driver: float
    worker: float


Results = dict[tuple[int, str], Measured]


def measure_all(folder: Path, clips: list[int], steps: list[str], workers: int) -> Results:
    """All results, including those of earlier runs."""
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    done = {(clips, step): Measured(*numbers) for clips, step, *numbers in map(json.loads, lines)}
    project, movies = clone(folder), render(folder)
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for number in clips:
        grouped = {step for group in GROUPS.values() for step in group}
        wanted = [
            s for s in steps if s in DATA or (number > clips[0] and (s not in grouped or number >= GROUPS_FROM_CLIPS))
        ]
        missing = [step for step in wanted if (number, step) not in done]
        if missing:
            write_corpus(project / "data/01_raw/demo", number, movies)
        for step in missing:
            if step in COMMANDS:
                done[number, step] = measure(words(step, workers), project, environment)
            else:
                done[number, step] = measure_viz(project, environment)
            with file.open("a") as results:
                results.write(json.dumps([number, step, *done[number, step]]) + "\n")
            print(number, step, done[number, step], file=sys.stderr, flush=True)
    return done


def clone(folder: Path) -> Path:
    """A clone of the project in the folder."""
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
    return [*command, "--params", f"executor.workers={workers},{LARGE_FACES}{more}"]


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


# The corpus: tiny clips in Aff-Wild2's layout, made from three dozen movies of the demo corpus's puppet

MOVIES, SECONDS, FPS = 36, 1.0, 3.0
CLIPS_PER_SUBJECT = 10
PARTITIONS = ("train", "train", "train", "validation", "test")  # of the subjects, in turn
Movie = tuple[bytes, str]
"""A video file and its annotation file."""


def render(scratch: Path) -> list[Movie]:
    """The distinct movies: 1 s, 3 frames/s, 160x120 px, one face, sound."""
    config = DemoConfig(
        identities=MOVIES, clips_per_identity=1, seconds=2, width=160, height=120, pairs=False, variable_rate=0,
        events=False,
    )  # fmt: skip
    movies = []
    for plan in plan_corpus(config):
        short = replace(plan, seconds=SECONDS, fps=FPS)
        render_movie(short, config, scratch / "movie.mp4")
        (text,) = annotation_texts([short]).values()
        movies.append(((scratch / "movie.mp4").read_bytes(), text))
    return movies


def write_corpus(root: Path, clips: int, movies: list[Movie]) -> None:
    """Write the missing clips below `root`.

    A `free` box at the end of each video, which players skip, contains the clip's number, so that no two files are
    equal.
    """
    for folder in ("videos", *(f"VA_Estimation_Challenge/{name}" for name in FOLDERS.values())):
        (root / folder).mkdir(parents=True, exist_ok=True)
    subjects = ["clip,subject\n"]
    for number in range(clips):
        name, subject = f"clip{number:06d}", number // CLIPS_PER_SUBJECT
        movie, text = movies[number % len(movies)]
        video = root / "videos" / f"{name}.mp4"
        if not video.exists():
            video.write_bytes(movie + struct.pack(">I4sQ", 16, b"free", number))
        folder = FOLDERS[PARTITIONS[subject % len(PARTITIONS)]]
        (root / "VA_Estimation_Challenge" / folder / f"{name}.txt").write_text(text)
        subjects.append(f"{name},{subject:05d}\n")
    (root / "subjects.csv").write_text("".join(subjects))
    caveat = "A few rendered movies, repeated: it measures the cost of clips and nothing else."
    (root / CARD_FILE).write_text(card_text(CorpusCard(name=f"{clips} tiny clips", caveat=caveat)))


# Measuring a command


def measure(words: list[str], folder: Path, environment: dict[str, str]) -> Measured:
    """Run a command in a folder.

    Raises:
        RuntimeError: it fails; the message contains its output.
    """
    log = folder / "load.log"
    started = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=output, stderr=output)
    peaks: dict[int, float] = {}
    while True:
        # Not `poll`: it would reap the process without returning its resource usage.
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        record_peaks(process.pid, peaks)
        time.sleep(POLL_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{log.read_text()}")
    driver = peaks.pop(process.pid, 0.0)
    cpu = usage.ru_utime + usage.ru_stime  # including children that it has waited for
    return Measured(time.monotonic() - started, cpu, driver, max(peaks.values(), default=0.0))


def record_peaks(root: int, peaks: dict[int, float]) -> None:
    """Update the peak memory (MiB, the kernel's VmHWM) of a process and of all its descendants."""
    for pid in family(root):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        marks = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")]
        peaks[pid] = max([peaks.get(pid, 0.0), *marks])


def family(pid: int) -> list[int]:
    """The process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(member for child in children for member in family(int(child)))]


def measure_viz(folder: Path, environment: dict[str, str]) -> Measured:
    """Start kedro-viz's server. `wall` is the time until it serves its graph, `cpu` that of the slowest dataset's
    details after that."""
    port = next(port for port in range(4200, 4300) if socket.socket().connect_ex(("127.0.0.1", port)))
    words = ["kedro", "viz", "run", "--no-browser", "--port", str(port)]
    started, peaks = time.monotonic(), dict[int, float]()
    with (folder / "viz.log").open("w") as output:
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        graph = _fetch_json(port, "main", process)
        opened = time.monotonic() - started
        slowest = 0.0
        for node in (node for node in graph["nodes"] if node["type"] == "data"):
            asked = time.monotonic()
            _fetch_json(port, f"nodes/{node['id']}", process)
            slowest = max(slowest, time.monotonic() - asked)
        record_peaks(process.pid, peaks)
        return Measured(opened, slowest, peaks.pop(process.pid, 0.0), max(peaks.values(), default=0.0))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _fetch_json(port: int, path: str, process: subprocess.Popen[bytes]) -> Any:
    """JSON of one of the server's addresses; waits until the server listens."""
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=600) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                raise
            time.sleep(POLL_S)


def main() -> None:
    """Measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100, 1000, 10000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--more", nargs="*", choices=GROUPS, default=[])
    given = parser.parse_args()
    folder, clips = given.folder.absolute(), sorted(given.clips)
    folder.mkdir(parents=True, exist_ok=True)
    steps = [*DATA, "kedro alone", *(f"{name} again" for name in DATA)]
    steps += [step for group in given.more for step in GROUPS[group]]
    print(table(measure_all(folder, clips, steps, given.workers), clips, steps))


if __name__ == "__main__":
    main()
