"""Following a face from one frame to the next by pyramidal Lucas-Kanade optical flow (Bouguet, Intel 2000)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.faces.alignment import apply, similarity
from iaca.faces.detector import Detection

FLOW_SIDE = 240
"""Flow works on images reduced by the smallest whole factor that brings the shorter side to this many px or fewer."""
THUMB = (32, 18)
"""Width and height (px) of the pictures by which scenes are compared."""
CUT_LEVELS = 20.0
"""Mean grey difference (of 255) between thumbnails of neighbouring frames that passes for a change of scene ..."""
CUT_CORRELATION = 0.5
"""... if the thumbnails also correlate less than this."""

_WINDOW, _LEVELS = (15, 15), 2
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.03)
_GRID = np.stack(np.meshgrid([0.25, 0.5, 0.75], [0.2, 0.5, 0.8]), -1).reshape(-1, 2)  # shares of the box


@dataclass(frozen=True)
class FlowImage:
    """What flow needs of a frame: a reduced grey picture and its scale (reduced px per image px)."""

    grey: NDArray[np.uint8]
    scale: float

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> FlowImage:
        """From an RGB image (h, w, 3)."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        factor = -(-min(grey.shape) // FLOW_SIDE)
        if factor > 1:
            grey = cv2.resize(grey, (grey.shape[1] // factor, grey.shape[0] // factor), interpolation=cv2.INTER_AREA)
        return cls(np.asarray(grey, dtype=np.uint8), 1.0 / factor)

    @cached_property
    def thumb(self) -> NDArray[np.float32]:
        """A few hundred pixels, for the comparison of scenes."""
        return cv2.resize(self.grey, THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)


def is_cut(before: FlowImage, after: FlowImage) -> bool:
    """Whether the scene changes between two frames. A fade or a flash keeps the picture's structure and is no cut."""
    if before.grey.shape != after.grey.shape:
        return True
    a, b = before.thumb, after.thumb
    if float(np.abs(a - b).mean()) < CUT_LEVELS:
        return False
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return norm == 0 or float((a * b).sum()) / norm < CUT_CORRELATION


def follow(face: Detection, before: FlowImage, after: FlowImage) -> Detection | None:
    """Where a face of one frame is in the next one, or None where the flow loses it.

    The five landmarks and nine points of the box are followed forth and back; the similarity transform of those that
    come back to within a fiftieth of the face moves box and landmarks. It is lost when fewer than half come back, when
    they do not move as one, when its size leaps, or when its middle leaves the picture.
    """
    width = face.box[2:] - face.box[:2]
    points = np.concatenate([face.landmarks, face.box[:2] + _GRID * width])
    start = np.ascontiguousarray((points * before.scale).astype(np.float32)[:, None])
    there, found = _lucas_kanade(before.grey, after.grey, start)
    back, returned = _lucas_kanade(after.grey, before.grey, there)
    astray = np.linalg.norm(back - start, axis=2)[:, 0]
    near = max(0.5, 0.02 * float(width.max()) * before.scale)
    kept = (astray < near) & found & returned
    if kept.sum() * 2 < len(points):
        return None
    return _moved(face, points[kept], there[kept, 0] / after.scale, after)


def _lucas_kanade(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (n, 1, 2) go, and which of them (n,) were found."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.empty_like(points), winSize=_WINDOW, maxLevel=_LEVELS, criteria=_CRITERIA
    )
    return np.asarray(there, dtype=np.float32), np.asarray(found)[:, 0] == 1


def _moved(
    face: Detection, source: NDArray[np.float64], target: NDArray[np.floating], after: FlowImage
) -> Detection | None:
    side = float((face.box[2:] - face.box[:2]).max())
    matrix = similarity(source, target)
    residual = np.linalg.norm(apply(matrix, source) - target, axis=1)
    steady = residual <= max(2.0 * float(np.median(residual)), 0.5)  # a mouth or a lid that moves by itself is left out
    matrix = similarity(source[steady], target[steady])
    scale = float(np.hypot(*matrix[:, 0]))
    if float(np.median(residual)) > 0.08 * side or not 0.8 < scale < 1.25:
        return None
    middle = apply(matrix, (face.box[:2] + face.box[2:])[None] / 2)[0]
    if not (middle * after.scale >= 0).all() or not (middle * after.scale < after.grey.shape[::-1]).all():
        return None
    half = scale * (face.box[2:] - face.box[:2]) / 2
    return Detection(np.concatenate([middle - half, middle + half]), apply(matrix, face.landmarks), face.score)
