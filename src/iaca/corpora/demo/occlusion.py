"""What hides a face: a hand, a board, or a mosaic."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.corpora.demo.geometry import Floats, Image, to_image
from iaca.corpora.demo.identity import Colour
from iaca.corpora.demo.schedule import Event

KINDS = ("hand", "board", "mosaic")
HAND = ((-0.78, -0.6, 0.21), (-0.28, -0.85, 0.22), (0.24, -0.88, 0.22), (0.74, -0.62, 0.2))
"""Finger tips (u, v) and half thickness in face units; the palm lies over nose and mouth."""
PALM, PALM_SIZE = (0.0, 0.95), (1.15, 1.0)
THUMB = ((0.85, 1.15), (1.35, 0.35), 0.22)
BOARD = ((-1.35, -0.75), (1.35, 2.0))
SLIDE_S = 0.2


def occlude(
    picture: Image, event: Event, time_s: float, centre: tuple[float, float], unit: float, skin: Colour
) -> Image:
    """The picture (h, w, 3) with most of a face hidden, as this event does it.

    Args:
        centre: where the point between the eyes is seen (px).
        unit: distance of the eyes (px).
        skin: gain of the person's skin colour.
    """
    rng = np.random.default_rng([event.seed, 6])
    kind = KINDS[int(rng.integers(len(KINDS)))]
    if kind == "mosaic":
        return _pixelate(picture, centre, unit)
    progress = np.clip(min(time_s - event.start_s, event.end_s - time_s) / SLIDE_S, 0, 1)
    anchor = (centre[0], centre[1] + float(1 - progress) ** 2 * 4.5 * unit)
    if kind == "hand":
        return _cover(picture, _hand(picture.shape, anchor, unit), np.array(skin, np.float32) * (222, 176, 148), unit)
    colour = rng.uniform(40, 150) * rng.uniform(0.8, 1.2, 3)
    return _cover(picture, _board(picture.shape, anchor, unit, float(rng.uniform(-0.15, 0.15))), colour, unit)


def _cover(picture: Image, mask: Floats, colour: NDArray[np.floating[Any]], unit: float) -> Image:
    """Paint a thing of one colour, darker towards its edges, over the picture."""
    soft = cv2.GaussianBlur(mask, (0, 0), 0.03 * unit)
    shading = 0.62 + 0.42 * cv2.GaussianBlur(mask, (0, 0), 0.12 * unit)
    thing = to_image(shading[..., None] * colour)
    return np.asarray(cv2.blendLinear(thing, picture, soft, 1 - soft))


def _hand(shape: tuple[int, ...], anchor: tuple[float, float], unit: float) -> Floats:
    mask = np.zeros(shape[:2], np.float32)
    cv2.ellipse(
        mask, _at(anchor, PALM, unit), (round(PALM_SIZE[0] * unit), round(PALM_SIZE[1] * unit)), 0, 0, 360, 1.0, -1
    )
    cv2.line(mask, _at(anchor, (0.0, 1.4), unit), _at(anchor, (0.25, 5.0), unit), 1.0, round(1.3 * unit))
    cv2.line(mask, _at(anchor, THUMB[0], unit), _at(anchor, THUMB[1], unit), 1.0, round(2 * THUMB[2] * unit))
    for u, v, thickness in HAND:
        finger = np.zeros_like(mask)
        cv2.line(
            finger, _at(anchor, (0.85 * u, 0.8), unit), _at(anchor, (u, v), unit), 1.0, round(2 * thickness * unit)
        )
        mask = np.maximum(mask * (1 - 0.35 * cv2.GaussianBlur(finger, (0, 0), 0.06 * unit) * (1 - finger)), finger)
    return mask


def _board(shape: tuple[int, ...], anchor: tuple[float, float], unit: float, angle: float) -> Floats:
    mask = np.zeros(shape[:2], np.float32)
    (left, top), (right, bottom) = BOARD
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    cv2.fillConvexPoly(mask, np.round(np.array(anchor) + corners @ turn * unit).astype(np.int32), 1.0)
    return mask


def _pixelate(picture: Image, centre: tuple[float, float], unit: float) -> Image:
    """Large blocks over the face, as broadcasters hide one."""
    left, top = _at(centre, (-1.35, -1.0), unit)
    right, bottom = _at(centre, (1.35, 2.0), unit)
    window = np.s_[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    part = picture[window]
    if part.size == 0:
        return picture
    blocks = cv2.resize(part, (4, 4), interpolation=cv2.INTER_AREA)
    out = picture.copy()
    out[window] = cv2.resize(blocks, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return out


def _at(anchor: tuple[float, float], point: tuple[float, float], unit: float) -> tuple[int, int]:
    return round(anchor[0] + point[0] * unit), round(anchor[1] + point[1] * unit)
