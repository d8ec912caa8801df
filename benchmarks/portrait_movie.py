"""A video for measurements: a portrait that moves and grows in front of noise, with a voice-like tone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from iaca.media import write_movie

RATE_HZ = 16_000
Motion = Callable[[float], tuple[float, float, float]]
"""Time (s) -> scale of the portrait, and its left and upper edge (px)."""


def write_portrait_movie(path: Path, seconds: int, fps: int, size: tuple[int, int], motion: Motion) -> None:
    """Write a video of the given width and height (px)."""
    portrait = skimage.data.astronaut()[:300, 60:400]
    noise = np.random.default_rng(0).integers(90, 140, (size[1], size[0], 3), dtype=np.uint8)

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        for i in range(seconds * fps):
            scale, left, top = motion(i / fps)
            affine = np.array([[scale, 0, left], [0, scale, top]])
            yield i / fps, cv2.warpAffine(portrait, affine, size, noise.copy(), borderMode=cv2.BORDER_TRANSPARENT)

    times = np.arange(seconds * RATE_HZ) / RATE_HZ
    tone = 0.1 * np.sin(2 * np.pi * 140 * times) * (np.sin(2 * np.pi * 3 * times) > 0)
    write_movie(path, frames(), fps, tone.astype(np.float32), RATE_HZ)
