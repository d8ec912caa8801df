"""Aligned faces with less to see: blurred by losing pixels, or with a block over the mouth or the eyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.faces.alignment import TEMPLATE, TEMPLATE_SIDE
from iaca.faces.extract import decode_face

Face = NDArray[np.uint8]
Spoil = Callable[[Face], Face]
Part = Literal["mouth", "eyes"]
GREY = 128


class _Block(NamedTuple):
    """Which points of the template a block covers, and how far it goes beyond them, in shares of their distance."""

    points: tuple[int, int]
    beside: float
    above: float
    below: float


BLOCKS: dict[Part, _Block] = {"mouth": _Block((3, 4), 0.4, 0.5, 0.65), "eyes": _Block((0, 1), 0.4, 0.4, 0.4)}
"""From under the nose to the chin, an open mouth included; from above the brows to the cheekbones."""


def blurred(face: Face, factor: float) -> Face:
    """A face (side, side, 3) made smaller by a factor >= 1 (pixels are averaged), and stretched to its size again."""
    side = len(face)
    small = max(round(side / factor), 1)
    if small >= side:
        return face
    fewer = cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(fewer, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def block(part: Part, side: int) -> tuple[slice, slice]:
    """Rows and columns of the block over a part of an aligned face of `side` px, found by the template's landmarks."""
    over = BLOCKS[part]
    points = TEMPLATE[list(over.points)]
    reach = float(np.ptp(points[:, 0]))
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    edges = (y0 - over.above * reach, y1 + over.below * reach, x0 - over.beside * reach, x1 + over.beside * reach)
    top, bottom, left, right = (round(min(max(edge / TEMPLATE_SIDE, 0.0), 1.0) * side) for edge in edges)
    return slice(top, bottom), slice(left, right)


def covered(face: Face, part: Part) -> Face:
    """A copy of an aligned face (side, side, 3) with a flat grey block over its mouth or its eyes."""
    result = face.copy()
    result[block(part, len(face))] = GREY
    return result


class Jpegs(Protocol):
    """The stored image of each frame."""

    def __getitem__(self, frame: int, /) -> bytes: ...


class SpoiltFaces:
    """Stored faces of which some are spoilt when they are asked for; all others are the very bytes that are stored.

    Args:
        jpegs: by frame.
        steps: (t,) bool, the frames to spoil.
        spoil: makes another face of a face. It is stored without loss, as PNG: what an encoder sees is its result.
    """

    def __init__(self, jpegs: Jpegs, steps: NDArray[np.bool_], spoil: Spoil):
        self._jpegs, self._steps, self._spoil = jpegs, steps, spoil

    def __getitem__(self, frame: int, /) -> bytes:
        jpeg = self._jpegs[frame]
        return _png(self._spoil(decode_face(jpeg))) if self._steps[frame] else jpeg


def _png(face: Face) -> bytes:
    _, data = cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(data)
