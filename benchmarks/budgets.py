"""Measure the budgets of a two-core machine without a GPU: faces, embedding, inference, training.

    python benchmarks/budgets.py [--repeat 5] [--inference]

Prints the Markdown table of docs/engineering/performance.md. Medians of several runs on one thread, on a machine that
does nothing else. The video is generated: a portrait that moves and grows in front of noise, 640x360, 25 frames/s. The
ratio of a training step to its bare products is measured by `fusion_speed.py`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from portrait_movie import write_portrait_movie

from iaca.encoders import AnnotatedClip, ClipEmbedding
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embed import embed
from iaca.encoders.networks import build_encoders
from iaca.evaluation.style import png
from iaca.faces import FaceConfig, decode_face, extract_faces
from iaca.faces.detect import Detection, FaceDetector, iou, make_detector
from iaca.fusion.config import ModelChoice
from iaca.inference.config import Drawing
from iaca.inference.plot import prediction_plot
from iaca.inference.write import analyse_video
from iaca.media import read_audio, read_frames
from iaca.media.write import rewrite_movie
from iaca.parameters import MODALITIES
from iaca.training.config import TrainingConfig
from iaca.training.model_file import save_model
from iaca.training.train import TrainingRun, train

SECONDS, FPS, SIZE = 20, 25, (640, 360)
AUDIO_DIM, VISUAL_DIM = (EmbeddingConfig().dim(modality) for modality in MODALITIES)
BUDGETS = {
    "faces: detect, track, align, store, 640x360": "150",
    "box IoU >= 0.8 with per-frame detection": "99 %",
    "embedding / bare visual encoder": "0.88",
    "embedding / both bare encoders, one after the other": "",
    "inference with plot, without overlay": "6; 1.25",
    "inference with overlay": "3.5; 1.25",
    "training epoch, 40,000 steps, width 128": "8 s",
    "the same on two threads": "8 s",
}
"""What is measured -> its budget. Of inference: the least speed, and the largest ratio to the time of its parts."""


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
        embedding = ClipEmbedding(
            noise(AUDIO_DIM), noise(VISUAL_DIM), present, present, times, noise(1), metadata=encoders
        )
        return AnnotatedClip(embedding, noise(2).clip(-1, 1))

    return {f"clip{i}": clip() for i in range(clips)}


def epoch_seconds(threads: int, scratch: Path) -> float:
    """Seconds of a training epoch over 40,000 steps without overlap of windows, including validation on 300 steps."""
    clips, held_out = synthetic(40, 1000), synthetic(1, 300)
    config = TrainingConfig(epochs=3, length=250, hop=250, threads=threads, patience=9)
    start = time.perf_counter()
    model, _ = train(TrainingRun(ModelChoice().build(AUDIO_DIM, VISUAL_DIM), config, clips, held_out, scratch / "run"))
    save_model(model, scratch / "model.safetensors")
    return (time.perf_counter() - start) / config.epochs


class RecordingDetector:
    """A detector that keeps the batches of images it was given."""

    def __init__(self, detector: FaceDetector):
        self.detector, self.batches = detector, list[list[NDArray[np.uint8]]]()

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Detect, and keep the images."""
        self.batches.append(list(images))
        return self.detector.detect(images)


class Cost(NamedTuple):
    """Seconds of a call, by the clock and of the processor (all threads)."""

    wall: float
    cpu: float

    @classmethod
    def of(cls, work: Callable[[], object]) -> Cost:
        """Of one call."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return cls(time.perf_counter() - wall, time.process_time() - cpu)


def inference_row(video: Path, model: Path, overlay: bool, rounds: int) -> str:
    """Inference including all files that a user gets, compared with its bare parts.

    The parts are the work that no way of tracking, storing or predicting could spare: decoding pictures and sound, the
    detector on the images that tracking asked for, both encoders in full batches, drawing the finished plot, and with
    an overlay encoding its finished frames. They run one after the other on one thread.

    Returns:
        Text: how many times faster than real time; the ratio of inference to its parts by the clock and by processor
        time; and the same without sound and plot among the parts, as it was counted before.
    """
    folder, drawing, faces = video.parent, Drawing(overlay=overlay), FaceConfig()
    detector = RecordingDetector(make_detector(faces))
    table, audio = extract_faces(video, faces, detector=detector), read_audio(video)
    images, times = np.stack([decode_face(jpeg) for jpeg in table["jpeg"] if jpeg]), table["time_s"].to_numpy()
    visual, audio_encoder = build_encoders(EmbeddingConfig())

    def work() -> None:
        target = folder / "result.json"
        analyse_video(video, model, target=target, folder=folder, name="result", drawing=drawing, faces=faces)

    def networks_and_pictures() -> None:
        for _ in read_frames(video):
            pass
        for batch in detector.batches:
            detector.detector.detect(batch)
        for i in range(0, len(images), visual.batch):
            visual.encode(images[i : i + visual.batch])
        audio_encoder.encode(audio.samples, times)
        if overlay:
            rewrite_movie(folder / "result.mp4", folder / "encoded.mp4", lambda frame: frame.image)

    work()
    predictions = pd.read_csv(folder / "result.csv")

    def sound_and_plot() -> None:
        read_audio(video)
        png(prediction_plot(predictions, "result"))

    networks_and_pictures(), sound_and_plot()
    rounds_of = [[Cost.of(call) for call in (work, networks_and_pictures, sound_and_plot)] for _ in range(rounds)]
    whole, less, more = (np.array([costs[part] for costs in rounds_of]) for part in range(3))  # (rounds, 2) each
    (wall, cpu), (wall_before, cpu_before) = np.median(whole / (less + more), 0), np.median(whole / less, 0)
    return (
        f"{SECONDS / np.median(whole[:, 0]):.1f} x real time; {wall:.2f} x its parts by the clock, {cpu:.2f} by "
        f"processor time ({wall_before:.2f} and {cpu_before:.2f} without sound and plot)"
    )


def measure(scratch: Path, repeat: int, inference: bool) -> dict[str, str]:
    """What was measured, by the names of `BUDGETS`, in their order; with `inference` only that."""
    video, model, names = scratch / "video.mp4", scratch / "model.safetensors", list(BUDGETS)
    write_portrait_movie(video, SECONDS, FPS, SIZE, motion)
    epochs = {threads: epoch_seconds(threads, scratch) for threads in ((1,) if inference else (1, 2))}
    rows = {name: inference_row(video, model, name == names[5], repeat) for name in names[4:6]}
    if inference:
        return rows
    alone, both = embedding_rows(video, 3 * repeat)
    frames = SECONDS * FPS / median_seconds(lambda: extract_faces(video, FaceConfig()), repeat)
    before = (f"{frames:.0f} frames/s", f"{100 * overlap(video):.1f} % of frames", alone, both)
    after = (f"{epochs[threads]:.1f} s" for threads in (1, 2))
    return dict(zip(names, (*before, *rows.values(), *after), strict=True))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--inference", action="store_true", help="only the rows of inference")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), given.repeat, given.inference)
    print("| what | measured | budget |\n|---|---|---|")
    for what, found in measured.items():
        print(f"| {what} | {found} | {BUDGETS[what]} |")


if __name__ == "__main__":
    main()
