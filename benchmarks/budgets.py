"""Measure the budgets of a two-core machine without a GPU: faces, embedding, inference, training.

    python benchmarks/budgets.py [--repeat 3]

Prints the Markdown table of docs/engineering/performance.md. Medians of several runs on one thread, on a machine that
does nothing else. The video is generated: a portrait that moves and grows in front of noise, 640x360, 25 frames/s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from portrait_movie import write_portrait_movie

from iaca.encoders import AnnotatedClip, ClipEmbedding
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embed import embed
from iaca.encoders.networks import build_encoders
from iaca.faces import FaceConfig, decode_face, extract_faces
from iaca.faces.detect import iou, make_detector
from iaca.inference.config import Drawing
from iaca.inference.write import analyse_video
from iaca.media import read_audio, read_frames
from iaca.training.choice import ModelChoice
from iaca.training.config import TrainingConfig
from iaca.training.model_file import save_model
from iaca.training.train import TrainingRun, train

SECONDS, FPS, SIZE = 20, 25, (640, 360)


def motion(time_s: float) -> tuple[float, float, float]:
    """A face of 160 to 220 px in slow motion."""
    phase = 2 * np.pi * time_s / 8
    return 1.05 + 0.12 * np.sin(phase), 140 + 60 * np.sin(phase / 2), 20 + 15 * np.cos(phase)


def median_seconds(work: Callable[[], object], repeat: int) -> float:
    """Median wall time of a call, after one call as warm-up."""
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def side_by_side(work: Callable[[], object], baseline: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median wall times of two calls that alternate, and the median of baseline / work over the rounds.

    Other load on the machine slows both calls of a round, so the ratio is more reliable than the times.
    """
    work(), baseline()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        middle = time.perf_counter()
        baseline()
        times.append((middle - start, time.perf_counter() - middle))
    ratio = statistics.median(of_baseline / of_work for of_work, of_baseline in times)
    return statistics.median(t for t, _ in times), statistics.median(t for _, t in times), ratio


def overlap(video: Path) -> float:
    """Share of frames whose tracked box has an IoU of at least 0.8 with the detector's box in that frame."""
    config = FaceConfig()
    detector, table = make_detector(config), extract_faces(video, config)
    boxes = table[["x0", "y0", "x1", "y1"]].to_numpy()
    agreed = []
    for frame in read_frames(video):
        found = detector.detect([frame.image])[0]
        if found:
            agreed.append(max(iou(face.box, boxes[frame.index]) for face in found) >= 0.8)
    return float(np.mean(agreed))


def embedding_rows(video: Path, rounds: int) -> tuple[str, str]:
    """The embedding step compared with its bare networks on decoded faces: the visual one, and both.

    Returns:
        For each of the two, as text: faces/s of step and networks, and their ratio.
    """
    faces, audio, config = extract_faces(video, FaceConfig()), read_audio(video), EmbeddingConfig()
    images, times = np.stack([decode_face(jpeg) for jpeg in faces["jpeg"] if jpeg]), faces["time_s"].to_numpy()
    visual, audio_encoder = build_encoders(config)
    chunks = [images[i : i + visual.batch] for i in range(0, len(images), visual.batch)]

    def step() -> None:
        embed(faces, faces["jpeg"], audio, config)

    def visual_alone() -> None:
        for chunk in chunks:
            visual.encode(chunk)

    def both() -> None:
        visual_alone()
        audio_encoder.encode(audio.samples, times)

    times = [side_by_side(step, bare, rounds) for bare in (visual_alone, both)]
    texts = [f"{len(images) / a:.0f} / {len(images) / b:.0f} faces/s = {ratio:.2f}" for a, b, ratio in times]
    return texts[0], texts[1]


def synthetic(clips: int, steps: int) -> dict[str, AnnotatedClip]:
    """Random embeddings with the default encoders' widths and random annotations."""
    rng = np.random.default_rng(0)
    present, times = np.ones(steps, bool), np.arange(steps) / 25
    encoders = {"visual_encoder": "mini_xception", "audio_encoder": "prosody"}

    def noise(width: int) -> np.ndarray:
        return rng.normal(0, 0.4, (steps, width)).astype(np.float32)

    def clip() -> AnnotatedClip:
        embedding = ClipEmbedding(noise(40), noise(135), present, present, times, noise(1), metadata=encoders)
        return AnnotatedClip(embedding, noise(2).clip(-1, 1))

    return {f"clip{i}": clip() for i in range(clips)}


def epoch_seconds(threads: int, scratch: Path) -> float:
    """Seconds of a training epoch over 40,000 steps without overlap of windows, including validation on 300 steps."""
    clips, held_out = synthetic(40, 1000), synthetic(1, 300)
    config = TrainingConfig(epochs=3, length=250, hop=250, threads=threads, patience=9)
    start = time.perf_counter()
    model, _ = train(TrainingRun(ModelChoice().build(40, 135), config, clips, held_out, scratch / "run"))
    save_model(model, scratch / "model.safetensors")
    return (time.perf_counter() - start) / config.epochs


def real_time(video: Path, model: Path, overlay: bool, repeat: int) -> float:
    """The video's duration divided by the time of inference, including all files that a user gets."""
    drawing = Drawing(overlay=overlay)

    def work() -> None:
        target = video.parent / "result.json"
        analyse_video(
            video, model, target=target, folder=video.parent, name="result", drawing=drawing, faces=FaceConfig()
        )

    return SECONDS / median_seconds(work, repeat)


def measure(scratch: Path, repeat: int) -> list[tuple[str, str, str]]:
    """(what, measured, budget)."""
    video, model = scratch / "video.mp4", scratch / "model.safetensors"
    write_portrait_movie(video, SECONDS, FPS, SIZE, motion)
    epochs = {threads: epoch_seconds(threads, scratch) for threads in (1, 2)}
    alone, both = embedding_rows(video, 3 * repeat)
    frames = SECONDS * FPS / median_seconds(lambda: extract_faces(video, FaceConfig()), repeat)
    plain, overlaid = (real_time(video, model, overlay, repeat) for overlay in (False, True))
    return [
        ("faces: detect, track, align, store, 640x360", f"{frames:.0f} frames/s", "150"),
        ("... box IoU >= 0.8 with per-frame detection", f"{100 * overlap(video):.1f} % of frames", "99 %"),
        ("embedding / bare visual encoder", alone, "0.85"),
        ("... / both bare encoders, one after the other", both, ""),
        ("inference with plot, without overlay", f"{plain:.1f} x real time", "5"),
        ("inference with overlay", f"{overlaid:.1f} x real time", "2.5"),
        ("training epoch, 40,000 steps, width 128", f"{epochs[1]:.1f} s", "10 s"),
        ("... on two threads", f"{epochs[2]:.1f} s", "10 s"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), repeat)
    print("| what | measured | budget |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
