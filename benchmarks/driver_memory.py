"""Memory and time per clip of the driver of three pipelines, without media work and without Kedro.

    python benchmarks/driver_memory.py FOLDER [--clips 1000 5000] [--rounds 3]

Nodes and engine are the real ones; videos and results are placeholders of a few bytes, and timelines contain little
more than their metadata. Each step is a process of its own, once with everything to do and once with everything up to
date. The cost of a clip is the difference in peak resident memory (VmHWM) and in processor time between the two numbers
of clips, divided by the difference of these; medians over `--rounds`. Prints the Markdown table of
docs/engineering/load.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from iaca.audio import AudioConfig
from iaca.corpora.check import FACTS
from iaca.corpora.index import CLIP_COLUMNS, problem_table
from iaca.corpora.timeline import write_timeline
from iaca.encoders.config import EmbeddingConfig
from iaca.engine import ClipPaths, ExecutorConfig, executors, results, run_tasks
from iaca.engine.task import Task, read_digest
from iaca.faces.detect import FaceConfig
from iaca.files import replacing
from iaca.media.container import MediaLimits
from iaca.pipelines.embedding.pipeline import plan_embeddings
from iaca.pipelines.ingestion.nodes import IngestionConfig, describe_corpus, plan_timelines
from iaca.pipelines.preprocessing import pipeline as preprocessing

DEMO = IngestionConfig.model_validate({"importer": "demo"})
STEPS = ("ingestion", "preprocessing", "embedding")
SUFFIX = {
    "frame_labels": ".parquet",
    "faces": ".parquet",
    "audio": ".flac",
    "timelines": ".parquet",
    "embeddings": ".e",
}


def placeholder(_: Task, final: Path, __: str) -> dict[str, str]:
    """Replaces `iaca.engine.worker.work`: every result is the same timeline."""
    with replacing(final) as partial:
        shutil.copyfile("timeline", partial)
        return {final.name: read_digest(partial)}


def prepare(clips: int) -> None:
    """Write a corpus into the working directory."""
    names, rows = [f"clip{number:06d}" for number in range(clips)], []
    write_timeline(
        Path("timeline"),
        np.arange(3) / 3,
        np.zeros((3, 2), np.float32),
        dict.fromkeys(FACTS, 1) | {"annotation_rows": 3},
    )
    labels = "VA_Estimation_Challenge/Train_Set"
    Path("raw", labels).mkdir(parents=True)
    for number, name in enumerate(names):
        for file in (f"{name}.mp4", f"{labels}/{name}.txt"):
            Path("raw", file).write_text(name)
        rows.append((name, f"{number // 10:05d}", "train", f"{name}.mp4", f"{labels}/{name}.txt", ""))
    pd.DataFrame(rows, columns=list(CLIP_COLUMNS)).to_csv("clip_index.csv", index=False)


def found(name: str) -> ClipPaths:
    """Results of an earlier step."""
    return results(Path(name), SUFFIX[name])


def work(step: str) -> None:
    """Run a pipeline's nodes, one after the other."""
    root, limits, serial = Path("raw"), MediaLimits(), ExecutorConfig(kind="serial")

    def save(name: str, tasks: object) -> None:
        run_tasks(tasks, Path(name), SUFFIX[name], serial, bar=False)  # type: ignore[arg-type]

    if step == "ingestion":
        index = pd.read_csv("clip_index.csv", dtype=str, keep_default_na=False)
        save("frame_labels", plan_timelines(root, index, problem_table([]), DEMO, limits))
        clips, _, _ = describe_corpus(root, index, problem_table([]), found("frame_labels"), DEMO)
        clips.to_csv("clips.csv", index=False, chunksize=500)
    elif step == "preprocessing":
        clips = pd.read_csv("clips.csv", dtype={"clip": str, "subject": str})
        save("faces", preprocessing.plan_faces(root, clips, found("frame_labels"), FaceConfig(), limits, DEMO))
        save("audio", preprocessing.plan_audio(root, clips, AudioConfig(), limits, DEMO))
        save("timelines", preprocessing.plan_timelines(found("frame_labels"), found("faces"), found("audio")))
    else:
        parts, clips = [found(name) for name in ("faces", "audio", "timelines")], pd.read_csv("clips.csv")
        save("embeddings", plan_embeddings(*parts, EmbeddingConfig(), DEMO, root, clips))


def measured(step: str, folder: Path) -> tuple[float, float]:
    """Peak memory (KiB) and processor time (ms) of a step in a process of its own."""
    words = [sys.executable, str(Path(__file__).absolute()), ".", "--step", step]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    memory, milliseconds = json.loads(done.stdout)
    return memory, milliseconds


def main() -> None:
    """Print the table; with `--step`, run that step and print its measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, nargs=2, default=[1000, 5000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        executors.work = placeholder  # type: ignore[assignment]
        started = time.process_time()
        work(given.step)
        peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
        print(json.dumps([int(peak), 1000 * (time.process_time() - started)]))
        return
    few, many = given.clips
    taken: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for _ in range(given.rounds):
        for clips in given.clips:
            folder = given.folder.absolute() / f"{clips}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            os.chdir(folder)
            prepare(clips)
            for state in ("first", "again"):
                for step in STEPS:
                    taken.setdefault((step, state, clips), []).append(measured(step, folder))
    print("| step | | KiB a clip | ms a clip |\n|---|---|---|---|")
    for step, state in ((step, state) for step in STEPS for state in ("first", "again")):
        low, high = (np.array(taken[step, state, clips]) for clips in (few, many))
        memory, spent = (statistics.median(high[:, i]) - statistics.median(low[:, i]) for i in (0, 1))
        print(f"| {step} | {state} | {memory / (many - few):.1f} | {spent / (many - few):.2f} |")


if __name__ == "__main__":
    main()
