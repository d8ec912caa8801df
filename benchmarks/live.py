"""How far behind the camera is a stream, does its memory grow over an hour, and what does causality cost?

    python benchmarks/live.py latency [--seconds 60] [--model zero_shot]
    python benchmarks/live.py hour [--minutes 60] [--fps 15] [--size 160 120]
    python benchmarks/live.py causality [--seeds 0 1 2]

`latency` plays a portrait at 15 frames/s and 640x360 px in real time, with its sound, on the number of threads of this
process (OMP_NUM_THREADS). `hour` is fed as fast as it takes, and reads its resident memory from the kernel.
`causality` trains `iaca` on the demo corpus in three forms, on the same seeds: as it is, causal on the
same embeddings, and causal on causal ones; it needs `kedro run` and `kedro run --env causal`. Each prints a Markdown
table of docs/guide/live.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from portrait_movie import write_portrait_movie

from iaca.encoders.config import EmbeddingConfig, identity
from iaca.encoders.embedding import AnnotatedClip, read_annotated
from iaca.evaluation.metrics import DIMENSIONS, ccc
from iaca.fusion import FusionModel, preset
from iaca.inference import Predictor
from iaca.media import read_audio, read_frames
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel, save_model
from iaca.training.predict import predict_clip
from iaca.training.sample import Normalisation
from iaca.training.train import TrainingRun, train

FPS, RATE = 15, 16_000
SHOWN_MIN = (3, 10, 20, 30, 45, 60)
"""Minutes at which memory is read."""


def portrait(size: tuple[int, int]) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Ten seconds of pictures at 15 Hz, and of sound."""

    def motion(time_s: float) -> tuple[float, float, float]:
        phase, unit = 2 * np.pi * time_s / 10, size[1] / 360
        return (1.0 + 0.1 * np.sin(phase)) * unit, (150 + 30 * np.sin(phase)) * unit, 10 * unit

    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "portrait.mp4"
        write_portrait_movie(movie, 10, FPS, size, motion)
        return [frame.image for frame in read_frames(movie)], read_audio(movie).samples[: 10 * RATE]


def untrained(folder: Path) -> Path:
    """A causal model of the usual size, which takes as long as a trained one."""
    config = EmbeddingConfig(causal=True)
    fusion = preset("iaca", config.dim("audio"), config.dim("visual"), causal=True)
    moments = [x for n in (44, 135) for x in (np.zeros(n, np.float32), np.ones(n, np.float32))]
    model = TrainedModel(fusion, FusionModel(fusion).state_dict(), Normalisation(*moments), identity(config))
    save_model(model, folder / "causal.safetensors")
    return folder / "causal.safetensors"


class Measured(NamedTuple):
    """Of each frame: how late its row was (s), and the processor's time that it took (s)."""

    behind_s: list[float]
    cpu_s: list[float]


def latency(predictor: Predictor, seconds: float) -> Measured:
    """Play the portrait in real time."""
    images, sound = portrait((640, 360))
    step, measured = RATE // FPS, Measured([], [])
    stream, captured = predictor.stream(), dict[int, float]()
    start = time.monotonic() + 1.0
    for k in range(round(seconds * FPS)):
        due = start + k / FPS
        time.sleep(max(due - time.monotonic(), 0.0))
        captured[k], begun = due, time.process_time()
        place = (k * step) % (len(sound) - 2 * step)
        rows = stream.sound(sound[place : place + step + (step if k == 0 else 0)])
        rows += stream.frame(images[k % len(images)], k / FPS)
        measured.cpu_s.append(time.process_time() - begun)
        measured.behind_s.extend(time.monotonic() - captured.pop(row["frame"]) for row in rows)
    return measured


def print_latency(models: Sequence[str], seconds: float) -> None:
    """The table of latencies."""
    print(
        "| model | behind the camera, median | 95 % | processor's time a frame, median | 95 % |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            predictor = Predictor.load(untrained(Path(folder)) if name == "causal" else name)
            latency(predictor, 2.0)
            found = latency(predictor, seconds)
            parts = [np.percentile(1000 * np.array(part), [50, 95]) for part in found]
            cells = " | ".join(f"{value:.0f} ms" for part in parts for value in part)
            print(f"| {name} | {cells} |", flush=True)


def resident_mb() -> float:
    """Anonymous memory of this process, MiB: files that are mapped do not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def print_hour(minutes: float, fps: int, size: tuple[int, int]) -> None:
    """The table of memory over time."""
    images, sound = portrait(size)
    print("| minutes of input | memory, MiB | computed in, min |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        stream = Predictor.load(untrained(Path(folder))).stream()
        start, step, rows = time.monotonic(), RATE // fps, 0
        shown = [round(60 * fps * at) for at in SHOWN_MIN if at <= minutes]
        for k in range(round(60 * fps * minutes) + 1):
            place = (k * step) % (len(sound) - step)
            rows += len(stream.sound(sound[place : place + step])) + len(stream.frame(images[k % len(images)], k / fps))
            if k in shown:
                spent = (time.monotonic() - start) / 60
                print(f"| {k / 60 / fps:.0f} | {resident_mb():.0f} | {spent:.1f} |", flush=True)
        assert rows > 0.99 * k


FORMS = {
    "as it is": ("", False),
    "causal, on the same embeddings": ("", True),
    "causal, on causal embeddings": ("causal/", True),
}


def clips_of(at: str, partition: str, clips: pd.DataFrame) -> dict[str, AnnotatedClip]:
    """The annotated clips of a partition of the demo corpus, embedded in an environment."""
    names = clips.loc[clips["partition"] == partition, "clip"].astype(str)
    found = {}
    for name in names:
        embedding = Path(f"data/04_feature/{at}embeddings/{name}.safetensors")
        timeline = Path(f"data/03_primary/{at}timelines/{name}.parquet")
        if embedding.exists() and timeline.exists():
            found[name] = read_annotated(embedding, timeline)
    return found


def scores(model: TrainedModel, clips: dict[str, AnnotatedClip]) -> Iterator[float]:
    """Pooled CCC of valence and of arousal."""
    predicted = {name: predict_clip(model, clip.embedding).prediction for name, clip in clips.items()}
    rows = {n: np.isfinite(c.labels).all(axis=1) & c.embedding.observed for n, c in clips.items()}
    for d in range(len(DIMENSIONS)):
        parts = [(predicted[name][rows[name], d], clip.labels[rows[name], d]) for name, clip in clips.items()]
        yield ccc(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def print_causality(seeds: Sequence[int], forms: Sequence[str]) -> None:
    """The table of scores: mean CCC of valence and arousal, by form and seed, and paired differences."""
    clips = pd.read_csv("data/02_intermediate/clips.csv", dtype={"clip": str})
    subjects = dict(zip(clips["clip"], clips["subject"], strict=True))
    found: dict[tuple[str, str], list[float]] = {}
    for form in forms:
        at, causal = FORMS[form]
        parts = {part: clips_of(at, part, clips) for part in ("train", "validation", "test")}
        dims = next(iter(parts["train"].values())).embedding.dims
        fusion = preset("iaca", dims["audio"], dims["visual"], causal=causal)
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                config = TrainingConfig(seed=seed, threads=1, device="cpu")
                run = TrainingRun(fusion, config, parts["train"], parts["validation"], Path(folder), subjects=subjects)
                model, _ = train(run)
            for part in ("validation", "test"):
                found.setdefault((form, part), []).append(float(np.mean(list(scores(model, parts[part])))))
            print(form, seed, found[form, "validation"][-1], found[form, "test"][-1], file=sys.stderr, flush=True)
    print("| `iaca` | validation | test | test, minus the first row, by seed |\n|---|---|---|---|")
    for form in forms:
        pairs = zip(found[form, "test"], found[forms[0], "test"], strict=True)
        apart = "" if form == forms[0] else ", ".join(f"{one - other:+.3f}" for one, other in pairs)
        print(f"| {form} | {_mean(found[form, 'validation'])} | {_mean(found[form, 'test'])} | {apart} |")


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("latency", "hour", "causality"))
    parser.add_argument("--model", nargs="+", default=["causal", "zero_shot"], help="causal is an untrained one")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--fps", type=int, default=FPS, help="of the hour")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 120))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=tuple(FORMS), help="of the models")
    given = parser.parse_args()
    cv2.setNumThreads(torch.get_num_threads())
    if given.what == "latency":
        print_latency(given.model, given.seconds)
    elif given.what == "hour":
        print_hour(given.minutes, given.fps, tuple(given.size))
    else:
        print_causality(given.seeds, given.forms)


if __name__ == "__main__":
    main()
