"""What a face detector is, and the detectors known by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from iaca.faces.config import FaceConfig


@dataclass(frozen=True)
class Detection:
    """A face in an image, in px (pixel centres at whole numbers).

    Attributes:
        box: (4,) float64 x0, y0, x1, y1; it may reach beyond the image.
        landmarks: (5, 2) float64 left eye, right eye, nose, left and right mouth corner, as seen in the image.
        score: 0..1, the detector's confidence.
    """

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Area of the box (px^2)."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class FaceDetector(Protocol):
    """Anything that finds faces in images."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Faces of each RGB image (h, w, 3) uint8, best or largest first; the images may differ in size."""
        ...


def _mtcnn(config: FaceConfig) -> FaceDetector:
    from iaca.faces.detect import MtcnnDetector  # imports torch

    return MtcnnDetector(config.min_face, config.min_face_px, config.min_score, config.device)


def _yunet(config: FaceConfig) -> FaceDetector:
    from iaca.faces.yunet import YunetDetector

    return YunetDetector(config.weights, config.min_score)


DETECTORS: dict[str, Callable[[FaceConfig], FaceDetector]] = {"mtcnn": _mtcnn, "yunet": _yunet}
"""Makers of detectors by name; a new detector is one entry more."""


def make_detector(config: FaceConfig) -> FaceDetector:
    """The detector that the configuration names.

    Raises:
        InputError: its weights are missing.
    """
    return DETECTORS[config.detector](config)


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union (0..1) of two boxes x0, y0, x1, y1."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return float(width * height) / (sum(areas) - float(width * height))
