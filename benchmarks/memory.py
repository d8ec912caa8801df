"""Peak memory of per-video work on a long video and on a short one: it must not grow with the video's length.

    python benchmarks/memory.py [--fps 25] [--minutes 3 60] [--steps faces audio ...]

Each step runs in a process of its own, which imports only what it needs: hence the imports inside the steps. Its peak
resident memory is read from the kernel at its end. The videos are generated, 160x120 px with a moving face and a
voice-like tone: twenty seconds are encoded once and repeated packet by packet. Prints the Markdown table of
docs/engineering/performance.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from iaca.engine.worker import ONE_THREAD

SECONDS, SIZE = 20, (160, 120)
PAUSE_S = 0.1  # between repetitions: the last audio packet ends a little after the pictures


def motion(time_s: float) -> tuple[float, float, float]:
    """A face of 60 to 80 px in slow motion."""
    phase = 2 * np.pi * time_s / SECONDS
    return 0.38 + 0.04 * np.sin(phase), 15 + 10 * np.sin(phase), 2


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the packets of a file many times, one after the other."""
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
    """Not measured: write an untrained model with the embeddings' widths, for inference."""
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
    """A folder with a video for each length (min)."""
    from portrait_movie import write_portrait_movie

    write_portrait_movie(scratch / "source.mkv", SECONDS, fps, SIZE, motion)
    folders = {length: scratch / str(length) for length in minutes}
    for length, folder in folders.items():
        folder.mkdir()
        repeat(scratch / "source.mkv", folder / "video.mkv", length * 60 // SECONDS)
    return folders


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--minutes", type=int, nargs=2, default=[3, 60])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    given = parser.parse_args()
    os.environ.update(ONE_THREAD)  # inherited by the processes of the steps
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
    main()
