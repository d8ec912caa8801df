"""Align a face: the five-point template, and the similarity transform that brings a face onto it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

TEMPLATE_SIDE = 112.0
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Left eye, right eye, nose, left and right mouth corner (px, image order) of an upright 112 x 112 face: the reference
points of ArcFace (Deng et al., CVPR 2019), which most pretrained face models expect."""


def align(image: NDArray[np.uint8], landmarks: NDArray[np.floating], size: int = 112) -> NDArray[np.uint8]:
    """Cut out a face, upright and at the scale of the template.

    Args:
        image: (h, w, 3) uint8.
        landmarks: (5, 2) px, in the order of `TEMPLATE`.
        size: side of the result (px).

    Returns:
        (size, size, 3) uint8; black outside the image. Faces much larger than `size` are averaged, not sampled.
    """
    matrix = similarity(landmarks, _template(size))
    shrink = int(1.0 / max(float(np.hypot(*matrix[:, 0])), 1e-6))
    if shrink >= 2:
        image, matrix = _shrunk(image, matrix, size, shrink)
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def within(shape: tuple[int, ...], landmarks: NDArray[np.floating], cells: int) -> NDArray[np.bool_]:
    """Which parts of an aligned face, cut into (cells, cells), are inside the image of this (height, width, ...)."""
    size = int(TEMPLATE_SIDE)
    edges = np.linspace(-0.5, size - 0.5, cells + 1)
    corners = np.stack(np.meshgrid(edges, edges), -1).reshape(-1, 2)
    back = similarity(_template(size), np.asarray(landmarks, np.float64))
    x, y = apply(back, corners).T.reshape(2, cells + 1, cells + 1)
    inside = (x >= -0.5) & (y >= -0.5) & (x <= shape[1] - 0.5) & (y <= shape[0] - 0.5)
    return np.asarray(inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:] & inside[:-1, :-1])


def _template(size: int) -> NDArray[np.float64]:
    """The template for a side of `size` px. Pixel centres are at integers, so sizes scale around -0.5."""
    return np.asarray((TEMPLATE + 0.5) * (size / TEMPLATE_SIDE) - 0.5)


def _shrunk(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int, shrink: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Average the part of the image that the face needs over blocks; return it with its transform to the template."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    needed = apply(np.asarray(cv2.invertAffineTransform(matrix), dtype=np.float64), corners)
    height, width = image.shape[:2]
    x0, y0 = (int(v) for v in np.clip(needed.min(0) - shrink, 0, [width - 1, height - 1]))
    x1, y1 = (int(v) for v in np.clip(needed.max(0) + shrink, [x0 + 1, y0 + 1], [width, height]))
    across, down = max((x1 - x0) // shrink, 1), max((y1 - y0) // shrink, 1)
    part = np.asarray(cv2.resize(image[y0:y1, x0:x1], (across, down), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    step = np.array([(x1 - x0) / across, (y1 - y0) / down])
    back = np.array([[step[0], 0.0, x0 + step[0] / 2 - 0.5], [0.0, step[1], y0 + step[1] / 2 - 0.5], [0.0, 0.0, 1.0]])
    return part, matrix @ back


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares similarity transform (2, 3) from points (n, 2) to points (n, 2): rotation, scale and shift.

    In complex numbers it is t = a s + b, with a = sum(conj(s) t) / sum(|s|^2) on centred points. Points that all
    coincide give a transform of scale 0.
    """
    s, t = (np.asarray(p, dtype=np.float64) @ np.array([1.0, 1.0j]) for p in (source, target))
    s_mean, t_mean = s.mean(), t.mean()
    spread = float(np.sum(np.abs(s - s_mean) ** 2))
    a = complex(np.vdot(s - s_mean, t - t_mean)) / spread if spread > 0 else 0j
    b = t_mean - a * s_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def apply(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Transform points (n, 2) by a matrix (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)
