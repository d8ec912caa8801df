"""Measure the budgets of a two-core machine without a GPU: faces, embedding, inference, training.

    python benchmarks/budgets.py [--repeat 3]

Prints the Markdown table of docs/engineering/performance.md. Medians of several runs, one thread, nothing
else running. The video is made here: a portrait that moves and grows before a noisy background, 640x360, 25 frames/s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch

from iaca.encoders import AnnotatedClip, ClipEmbedding
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embed import embed
from iaca.encoders.networks import build_encoders
from iaca.faces import FaceConfig, decode_face, extract_faces
from iaca.faces.detect import iou, make_detector
from iaca.inference.config import Drawing
from iaca.inference.write import analyse_video
from iaca.media import read_audio, read_frames, write_movie
from iaca.training.choice import ModelChoice
from iaca.training.config import TrainingConfig
from iaca.training.model_file import save_model
from iaca.training.train import train

SECONDS, FPS, WIDTH, HEIGHT = 20, 25, 640, 360


def movie(path: Path) -> None:
    """One face, 160 to 220 px wide, in slow motion; a voice-like tone beside it."""
    portrait = skimage.data.astronaut()[:300, 60:400]
    noise = np.random.default_rng(0).integers(90, 140, (HEIGHT, WIDTH, 3), dtype=np.uint8)

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        for i in range(SECONDS * FPS):
            phase = 2 * np.pi * i / (8 * FPS)
            scale = 1.05 + 0.12 * np.sin(phase)
            shift = np.array([[scale, 0, 140 + 60 * np.sin(phase / 2)], [0, scale, 20 + 15 * np.cos(phase)]])
            picture = noise.copy()
            yield i / FPS, cv2.warpAffine(portrait, shift, (WIDTH, HEIGHT), picture, borderMode=cv2.BORDER_TRANSPARENT)

    clock = np.arange(SECONDS * 16_000) / 16_000
    tone = 0.1 * np.sin(2 * np.pi * 140 * clock) * (np.sin(2 * np.pi * 3 * clock) > 0)
    write_movie(path, frames(), FPS, tone.astype(np.float32), 16_000)


def median_seconds(work: Callable[[], object], repeat: int) -> float:
    """Median wall time of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def side_by_side(work: Callable[[], object], baseline: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median wall times of two calls that take turns, and the median of baseline / work over the rounds.

    What else the machine does slows both of a round alike: the ratio holds where the times do not.
    """
    work(), baseline()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        middle = time.perf_counter()
        baseline()
        times.append((middle - start, time.perf_counter() - middle))
    ratio = statistics.median(bare / whole for whole, bare in times)
    return statistics.median(t for t, _ in times), statistics.median(t for _, t in times), ratio


def overlap(video: Path) -> float:
    """Share of frames whose followed box has an IoU of at least 0.8 with the detector's own box in that frame."""
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
    """The whole embedding step beside its bare networks on faces that are decoded: the visual one, and both.

    Returns:
        Faces a second of either, and their ratio, in words.
    """
    faces, audio, config = extract_faces(video, FaceConfig()), read_audio(video), EmbeddingConfig()
    images, times = np.stack([decode_face(jpeg) for jpeg in faces["jpeg"] if jpeg]), faces["time_s"].to_numpy()
    visual, sound = build_encoders(config)
    chunks = [images[i : i + visual.batch] for i in range(0, len(images), visual.batch)]

    def whole() -> None:
        embed(faces, faces["jpeg"], audio, config)

    def seen() -> None:
        for chunk in chunks:
            visual.encode(chunk)

    def both() -> None:
        seen()
        sound.encode(audio.samples, times)

    ratios = [side_by_side(whole, bare, rounds) for bare in (seen, both)]
    words = [f"{len(images) / a:.0f} / {len(images) / b:.0f} faces/s = {ratio:.2f}" for a, b, ratio in ratios]
    return words[0], words[1]


def synthetic(clips: int, steps: int) -> dict[str, AnnotatedClip]:
    """Random embeddings of the default encoders' widths, annotated at random."""
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
    """Seconds of a training epoch over 40,000 steps (windows do not overlap), its validation on 300 steps included."""
    clips, held_out = synthetic(40, 1000), synthetic(1, 300)
    config = TrainingConfig(epochs=3, length=250, hop=250, threads=threads, patience=9)
    start = time.perf_counter()
    model, _ = train(ModelChoice().build(40, 135), config, clips, held_out, scratch / "run")
    save_model(model, scratch / "model.safetensors")
    return (time.perf_counter() - start) / config.epochs


def real_time(video: Path, model: Path, overlay: bool, repeat: int) -> float:
    """How many times faster than the video's own duration inference is, writing what a user gets."""
    drawing = Drawing(overlay=overlay)

    def work() -> None:
        target = video.parent / "result.json"
        analyse_video(
            video, model, target=target, folder=video.parent, name="result", drawing=drawing, faces=FaceConfig()
        )

    return SECONDS / median_seconds(work, repeat)


def measure(scratch: Path, repeat: int) -> list[tuple[str, str, str]]:
    """What was measured, the figure, and the budget."""
    video, model = scratch / "video.mp4", scratch / "model.safetensors"
    movie(video)
    epochs = {threads: epoch_seconds(threads, scratch) for threads in (1, 2)}
    alone, both = embedding_rows(video, 3 * repeat)
    frames = SECONDS * FPS / median_seconds(lambda: extract_faces(video, FaceConfig()), repeat)
    plain, painted = (real_time(video, model, overlay, repeat) for overlay in (False, True))
    return [
        ("faces: detect, follow, align, store, 640x360", f"{frames:.0f} frames/s", "150"),
        ("... box IoU >= 0.8 with per-frame detection", f"{100 * overlap(video):.1f} % of frames", "99 %"),
        ("embedding / bare visual encoder", alone, "0.85"),
        ("... / both bare encoders, one after the other", both, ""),
        ("inference with plot, without overlay", f"{plain:.1f} x real time", "5"),
        ("inference with overlay", f"{painted:.1f} x real time", "2.5"),
        ("training epoch, 40,000 steps, width 128", f"{epochs[1]:.1f} s", "10 s"),
        ("... on two threads", f"{epochs[2]:.1f} s", "10 s"),
    ]


def main() -> None:
    """Measure everything and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeat", type=int, default=3)
    repeat = arguments.parse_args().repeat
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), repeat)
    print("| what | measured | budget |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
