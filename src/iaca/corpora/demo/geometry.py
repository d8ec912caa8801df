"""Where things lie in the portrait, and how face coordinates relate to pixels.

Face coordinates (u, v): the origin lies between the eyes, u along the line of the eyes, v down the face, one unit
is the distance of the eyes. Everything else (brows, lids, lips, chin, outline) is a proportion in these coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

PORTRAIT_LANDMARKS = ((205.0, 101.7), (246.8, 103.7), (224.7, 129.0), (201.7, 139.2), (245.3, 141.9))
"""Eyes, nose tip and mouth corners of `skimage.data.astronaut()` in px, in image order, as MTCNN finds them."""

EYES = ((-0.55, -0.02), (0.51, -0.01))
UPPER_LIDS = ((-0.565, -0.10), (0.52, -0.09))
LOWER_LIDS = ((-0.55, 0.065), (0.50, 0.07))
EYE_HALF_WIDTH = 0.28
BROWS = ((-0.62, -0.285), (0.58, -0.265))
INNER_BROWS = ((-0.32, -0.235), (0.28, -0.235))
NOSE = (0.0, 0.62)
MOUTH_CORNERS = ((-0.525, 0.905), (0.5, 0.885))
MOUTH_CENTRE, MOUTH_HALF_WIDTH = -0.015, 0.515
UPPER_LIP_EDGE = ((-0.52, 0.905), (-0.42, 0.918), (-0.3, 0.935), (-0.1, 0.956), (0.0, 0.958), (0.15, 0.95),
                  (0.3, 0.922), (0.4, 0.898), (0.49, 0.885))  # fmt: skip
LIP_GAP = 0.165
LOWER_LIP_BOTTOM = (-0.03, 1.225)
CHIN = (-0.03, 1.79)
FACE_SIDES = ((-1.06, 0.34), (1.07, 0.25))


@dataclass(frozen=True)
class FaceFrame:
    """A similarity between face coordinates and pixels.

    Args:
        x, y: pixel position of the point between the eyes.
        unit: px per face unit, the distance of the eyes.
        angle: slope of the line of the eyes in radians, clockwise in the picture.
        mirror: -1 where the picture is a mirror image, else 1.
    """

    x: float
    y: float
    unit: float
    angle: float = 0.0
    mirror: int = 1

    def pixels(self, points: object) -> NDArray[np.float64]:
        """Face coordinates (n, 2) to pixels (n, 2)."""
        return np.asarray(points, dtype=np.float64) @ self._axes() * self.unit + (self.x, self.y)

    def face(self, pixels: object) -> NDArray[np.float64]:
        """Pixels (n, 2) to face coordinates (n, 2)."""
        return (np.asarray(pixels, dtype=np.float64) - (self.x, self.y)) / self.unit @ self._axes().T

    def grid(self, left: int, top: int, width: int, height: int) -> tuple[Floats, Floats]:
        """Face coordinates u, v (height, width) of a window of pixels of an upright frame."""
        u = self.mirror * (np.arange(left, left + width, dtype=np.float32) - self.x) / self.unit
        v = (np.arange(top, top + height, dtype=np.float32) - self.y) / self.unit
        columns, rows = np.meshgrid(u.astype(np.float32), v.astype(np.float32))
        return columns, rows

    def _axes(self) -> NDArray[np.float64]:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[self.mirror * cosine, self.mirror * sine], [-sine, cosine]])


def portrait_frame() -> FaceFrame:
    """The face frame of the portrait, from its two eyes."""
    left, right = np.array(PORTRAIT_LANDMARKS[:2])
    across, middle = right - left, (left + right) / 2
    return FaceFrame(middle[0], middle[1], float(np.hypot(*across)), float(np.arctan2(across[1], across[0])))


def bump(u: Floats, v: Floats, centre: tuple[float, float], width: float, height: float | None = None) -> Floats:
    """A Gaussian of height 1 around `centre`; `width` and `height` are its standard deviations in face units."""
    across, down = (u - centre[0]) / width, (v - centre[1]) / (width if height is None else height)
    return np.exp(-0.5 * (across * across + down * down)).astype(np.float32)


def ramp(x: Floats, start: float, end: float) -> Floats:
    """Smooth step from 0 at `start` to 1 at `end`."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def combine(amplitudes: Floats, fields: Floats) -> Floats:
    """The sum of `fields` (k, ...) times `amplitudes` (k,), without BLAS and so without its threads."""
    total = np.zeros_like(fields[0])
    for amplitude, field in zip(amplitudes, fields, strict=True):
        if amplitude:
            total += amplitude * field
    return np.asarray(total)


def to_image(picture: NDArray[np.floating[Any]]) -> Image:
    """A picture (h, w, 3) of floats in 0-255 as uint8."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), dtype=np.uint8)
