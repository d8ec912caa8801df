"""Peak memory of per-video work on a long video against a short one: it is not to grow with the video's length.

    python benchmarks/memory.py [--fps 25] [--minutes 3 60] [--steps faces audio ...]

Each step runs in a process of its own; its peak resident memory is what the kernel says of it at its end. The videos
are made here, 160x120 px with one face that moves and a voice-like tone: twenty seconds are encoded once and repeated
packet by packet. Prints a Markdown table; the one in docs/engineering/performance.md came from it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from iaca.engine.worker import ONE_THREAD

SECONDS, WIDTH, HEIGHT = 20, 160, 120
PAUSE_S = 0.1  # between repetitions: the last packet of a sound reaches a little beyond its pictures


def movie(path: Path, fps: int) -> None:
    """A face of 60 to 80 px in slow motion, a tone that comes and goes."""
    import cv2
    import skimage.data

    from iaca.media import write_movie

    portrait = skimage.data.astronaut()[:300, 60:400]
    noise = np.random.default_rng(0).integers(90, 140, (HEIGHT, WIDTH, 3), dtype=np.uint8)

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        for i in range(SECONDS * fps):
            phase = 2 * np.pi * i / (SECONDS * fps)
            scale = 0.38 + 0.04 * np.sin(phase)
            shift = np.array([[scale, 0, 15 + 10 * np.sin(phase)], [0, scale, 2]])
            picture = noise.copy()
            yield i / fps, cv2.warpAffine(portrait, shift, (WIDTH, HEIGHT), picture, borderMode=cv2.BORDER_TRANSPARENT)

    clock = np.arange(SECONDS * 16_000) / 16_000
    tone = 0.1 * np.sin(2 * np.pi * 140 * clock) * (np.sin(2 * np.pi * 3 * clock) > 0)
    write_movie(path, frames(), fps, tone.astype(np.float32), 16_000)


def repeat(source: Path, target: Path, times: int) -> None:
    """The packets of a file, many times over, one after the other."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        packets = [packet for packet in given.demux() if packet.dts is not None]
        for turn in range(times):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                offset = round(turn * (SECONDS + PAUSE_S) / packet.time_base)
                copy.pts, copy.dts, copy.time_base = packet.pts + offset, packet.dts + offset, packet.time_base
                copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
                copy.stream = streams[packet.stream.index]
                made.mux(copy)


def timeline(folder: Path) -> None:
    from iaca.corpora.timeline import build_timeline

    build_timeline(folder / "video.mkv", target=folder / "timeline.parquet")


def faces(folder: Path) -> None:
    from iaca.faces import FaceConfig, extract_faces_file

    extract_faces_file(folder / "video.mkv", folder / "faces.parquet", FaceConfig())


def audio(folder: Path) -> None:
    from iaca.media import extract_audio

    extract_audio(folder / "video.mkv", folder / "audio.flac")


def embedding(folder: Path) -> None:
    from iaca.encoders.config import EmbeddingConfig, describe
    from iaca.encoders.embed import embed_file

    config = EmbeddingConfig()
    files = (folder / "faces.parquet", folder / "audio.flac")
    embed_file(*files, target=folder / "embedding.safetensors", config=config, encoders=describe(config))


def model(folder: Path) -> None:
    """Not measured: an untrained model of the embeddings' widths, for the next step."""
    from iaca.encoders import read_embedding
    from iaca.fusion import FusionConfig, FusionModel
    from iaca.training.model_file import TrainedModel, save_model
    from iaca.training.sample import Normalisation

    clip = read_embedding(folder / "embedding.safetensors")
    dims = (clip.audio.shape[1], clip.visual.shape[1])
    config = FusionConfig(audio_dim=dims[0], visual_dim=dims[1], attention="jca", gate="iaca")
    normalisation = Normalisation(*(np.ones(dim, np.float32) for dim in (dims[0], *dims, dims[1])))
    save_model(
        TrainedModel(config, FusionModel(config).state_dict(), normalisation, dict(clip.metadata)),
        folder.parent / "model.safetensors",
    )


def inference(folder: Path, overlay: bool = False) -> None:
    from iaca.faces import FaceConfig
    from iaca.inference.config import Drawing
    from iaca.inference.write import analyse_video

    analyse_video(
        folder / "video.mkv", folder.parent / "model.safetensors", target=folder / "result.json", folder=folder,
        name="result", drawing=Drawing(overlay=overlay), faces=FaceConfig(),
    )  # fmt: skip


def overlay(folder: Path) -> None:
    inference(folder, overlay=True)


STEPS = {step.__name__: step for step in (timeline, faces, audio, embedding, inference, overlay)}


def measured(step: str, folder: Path) -> tuple[float, float]:
    """Peak memory (MiB) of a step in a fresh process, and its seconds of processor time."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        peak, seconds = pool.apply(_run, (step, folder))
    return peak, seconds


def _run(step: str, folder: Path) -> tuple[float, float]:
    start = time.process_time()
    STEPS[step](folder)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.process_time() - start


def prepare(scratch: Path, minutes: list[int], fps: int) -> dict[int, Path]:
    """A folder with the video for each length."""
    movie(scratch / "source.mkv", fps)
    folders = {length: scratch / str(length) for length in minutes}
    for length, folder in folders.items():
        folder.mkdir()
        repeat(scratch / "source.mkv", folder / "video.mkv", length * 60 // SECONDS)
    return folders


def main() -> None:
    """Measure every step on the short and the long video, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--minutes", type=int, nargs=2, default=[3, 60])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    given = parser.parse_args()
    os.environ.update(ONE_THREAD)  # for the processes that are started here
    short, long = given.minutes
    print(f"| step, {given.fps} frames/s | {short} min | {long} min | ratio | processor time of the latter |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folders = prepare(Path(scratch), given.minutes, given.fps)
        for step in given.steps:
            if step == "inference":
                model(folders[short])
            (small, _), (large, seconds) = (measured(step, folders[length]) for length in (short, long))
            print(f"| {step} | {small:.0f} MiB | {large:.0f} MiB | {large / small:.2f} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
