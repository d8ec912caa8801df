"""Movies with known faces, and detectors with known answers, for the tests of `iaca.faces`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.data import astronaut

from iaca.faces import Detection, KeptFaces
from iaca.media import write_movie

FPS = 25.0
SIZE = (240, 320)
FACE = (222.0, 120.0)
"""Middle of the portrait's face (px)."""


@cache
def portrait() -> NDArray[np.uint8]:
    """The public-domain portrait of an astronaut, 512 x 512."""
    return astronaut()


@cache
def background(seed: int = 0) -> NDArray[np.uint8]:
    """Soft coloured clouds without a face."""
    noise = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 12), None, 30, 200, cv2.NORM_MINMAX)


def with_face(
    x: float,
    y: float = 110.0,
    scale: float = 0.8,
    roll: float = 0.0,
    image: NDArray[np.uint8] | None = None,
    half: float = 75,
) -> NDArray[np.uint8]:
    """A picture with the portrait's face in an ellipse around (x, y) px, turned by `roll` degrees."""
    matrix = cv2.getRotationMatrix2D(FACE, roll, scale)
    matrix[:, 2] += np.array([x, y]) - FACE
    mask = np.zeros((512, 512), np.uint8)
    cv2.ellipse(mask, (222, 120), (int(half), 95), 0, 0, 360, 255, -1)
    face, mask = (cv2.warpAffine(part, matrix, SIZE[::-1]) for part in (portrait(), mask))
    return np.where(mask[..., None] > 127, face, background() if image is None else image)


def save(path: Path, images: Sequence[NDArray[np.uint8]]) -> Path:
    """A movie of the images at 25 Hz."""
    write_movie(path, ((k / FPS, image) for k, image in enumerate(images)), FPS)
    return path


def face_at(x: float, y: float = 110.0, side: float = 60.0, score: float = 0.99) -> Detection:
    """A made-up detection around (x, y)."""
    shares = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    corner = np.array([x, y]) - side / 2
    return Detection(np.array([*corner, *(corner + side)]), corner + shares * side, score)


class Counting:
    """Passes images to another detector and counts them."""

    def __init__(self, detect: Callable[[Sequence[NDArray[np.uint8]]], list[list[Detection]]]):
        self._detect, self.images = detect, 0

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        self.images += len(images)
        return self._detect(images)


def whole(kept: KeptFaces) -> pd.DataFrame:
    """The faces of an analysis as the table that `extract_faces` returns."""
    with kept as jpegs:
        return kept.table.assign(jpeg=pd.Series([jpegs[i] for i in range(len(kept))], dtype=object))
