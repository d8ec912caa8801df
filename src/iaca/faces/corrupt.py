"""Corrupt aligned faces: lower their resolution, or cover the mouth or the eyes with a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.faces.alignment import TEMPLATE, TEMPLATE_SIDE
from iaca.faces.store import Jpegs, decode_face

Face = NDArray[np.uint8]
Corruption = Callable[[Face], Face]
Part = Literal["mouth", "eyes"]
GREY = 128


class _Block(NamedTuple):
    """Which template points a block covers, and its margins around them as fractions of their distance."""

    points: tuple[int, int]
    beside: float
    above: float
    below: float


BLOCKS: dict[Part, _Block] = {"mouth": _Block((3, 4), 0.4, 0.5, 0.65), "eyes": _Block((0, 1), 0.4, 0.4, 0.4)}
"""The mouth block reaches from below the nose to the chin, so it covers an open mouth; the eyes block from above the
brows to the cheekbones."""


def blurred(face: Face, factor: float) -> Face:
    """Average a face (side, side, 3) down by a factor >= 1 and scale it back up to its size."""
    side = len(face)
    small = max(round(side / factor), 1)
    if small >= side:
        return face
    reduced = cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def block(part: Part, side: int) -> tuple[slice, slice]:
    """Rows and columns of the block over a part of an aligned face of `side` px, placed by the template."""
    cover = BLOCKS[part]
    points = TEMPLATE[list(cover.points)]
    reach = float(np.ptp(points[:, 0]))
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    edges = (y0 - cover.above * reach, y1 + cover.below * reach, x0 - cover.beside * reach, x1 + cover.beside * reach)
    top, bottom, left, right = (round(min(max(edge / TEMPLATE_SIDE, 0.0), 1.0) * side) for edge in edges)
    return slice(top, bottom), slice(left, right)


def covered(face: Face, part: Part) -> Face:
    """A copy of an aligned face (side, side, 3) with a flat grey block over its mouth or its eyes."""
    result = face.copy()
    result[block(part, len(face))] = GREY
    return result


class CorruptedFaces:
    """Stored faces, some of which are corrupted when they are read; the others keep their stored bytes.

    Args:
        jpegs: by frame.
        steps: (t,) bool, the frames to corrupt.
        corruption: from a face to its corrupted form, which is stored losslessly (PNG), so that an encoder sees it
            exactly.
    """

    def __init__(self, jpegs: Jpegs, steps: NDArray[np.bool_], corruption: Corruption):
        self._jpegs, self._steps, self._corruption = jpegs, steps, corruption

    def __getitem__(self, frame: int, /) -> bytes:
        jpeg = self._jpegs[frame]
        return _png(self._corruption(decode_face(jpeg))) if self._steps[frame] else jpeg


def _png(face: Face) -> bytes:
    _, data = cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(data)
