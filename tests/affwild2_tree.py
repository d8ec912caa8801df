"""A small tree in the shape of the Aff-Wild2 download: videos, annotations, the organisers' crops with their gaps."""

from pathlib import Path

import cv2
import numpy as np

from iaca.media import write_movie

FRAMES, FPS = 30, 30.0


def movie(path: Path, frames: int = FRAMES) -> None:
    """Grey pictures of 64x48 px and a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clock = np.arange(round(frames / FPS * 16_000)) / 16_000
    sound = (0.3 * np.sin(2 * np.pi * 220 * clock)).astype(np.float32)
    write_movie(path, ((i / FPS, np.full((48, 64, 3), 4 * i, np.uint8)) for i in range(frames)), FPS, sound, 16_000)


def crops(folder: Path, numbers: range | list[int], size: int = 112) -> None:
    """Images in the organisers' naming, each of its own grey."""
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), np.full((size, size, 3), 7 * number % 250, np.uint8))


def annotate(path: Path, rows: int) -> None:
    """Rows of slowly changing labels; the third is not annotated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{np.sin(i / 5):.3f},{np.cos(i / 7):.3f}" for i in range(rows)]
    lines[2] = "-5,-5"
    path.write_text("\n".join(["valence,arousal", *lines]) + "\n")


def tree(root: Path, top: str = "VA_Estimation_Challenge") -> Path:
    """Seven clips of six videos, among them a second person, and two that do not fit."""
    for video in ("1-30-64x48", "video2", "3-30-64x48", "4-30-64x48", "5-30-64x48", "video6"):
        movie(root / "videos" / f"{video}.mp4")
    sets = {"Train_Set": {"1-30-64x48": 30, "video2": 32, "video2_left": 28}, "Validation_Set": {"3-30-64x48": 30}}
    sets["Train_Set"]["4-30-64x48"] = 34  # too many rows: left out, and reported
    for folder, clips in sets.items():
        for clip, rows in clips.items():
            annotate(root / top / folder / f"{clip}.txt", rows)
    crops(root / "cropped_aligned/1-30-64x48", [n for n in range(1, 31) if n not in (4, 5, 20)])
    crops(root / "cropped_aligned/video2", range(1, 34))  # three more than the video has frames
    crops(root / "cropped_aligned/video2_left", range(11, 31))
    crops(root / "cropped_aligned/5-30-64x48_right", range(1, 31))  # of the test partition
    crops(root / "cropped_aligned_new/3-30-64x48", range(1, 31), size=96)
    (root / "cropped_aligned/1-30-64x48/.DS_Store").write_text("not ours")
    (root / "cropped_aligned/1-30-64x48/00007.jpg").write_text("torn")
    return root
