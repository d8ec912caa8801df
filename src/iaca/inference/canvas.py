"""Anti-aliased drawing on RGB images, in fractions of a pixel and in design units that scale with the video."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

PANEL: Colour = (20, 26, 33)
RAISED: Colour = (46, 55, 66)
WHITE: Colour = (245, 247, 250)
DIM: Colour = (158, 170, 183)
VALENCE: Colour = (92, 178, 240)
AROUSAL: Colour = (244, 160, 72)
AUDIO: Colour = (76, 196, 178)
VISUAL: Colour = (214, 128, 180)
PEOPLE: tuple[Colour, ...] = (VISUAL, (240, 220, 90), (150, 205, 100), (176, 156, 240), (235, 105, 95), (225, 225, 225))
"""Colours of boxes, by person; with more people they come round again, and the number tells."""

_SHIFT = 4
_ONE = 1 << _SHIFT


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")  # comes inside OpenCV: the same letters on every machine


def text(
    image: Image,
    words: str,
    x: float,
    y: float,
    size: float,
    colour: Colour,
    *,
    bold: bool = False,
    align: str = "left",
) -> None:
    """Write `words` with their baseline at (x, y) px, `size` px high; align is "left", "centre" or "right" of x."""
    if align != "left":
        x -= text_width(words, size, bold=bold) * (0.5 if align == "centre" else 1.0)
    cv2.putText(image, words, (round(x), round(y)), colour, _font(), round(size), 650 if bold else 450)


@cache
def text_width(words: str, size: float, *, bold: bool = False) -> int:
    """Width in px of `words` at `size` px."""
    box = cv2.getTextSize((4096, 4096), words, (0, 0), _font(), round(size), 650 if bold else 450)
    return int(box[2])


def line(image: Image, start: tuple[float, float], end: tuple[float, float], colour: Colour, width: float) -> None:
    """A line between two points (x, y) in px."""
    cv2.line(image, _fixed(start), _fixed(end), colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def path(image: Image, points: npt.NDArray[np.float64], colour: Colour, width: float) -> None:
    """Lines from each of the points (n, 2) in px to the next; NaN breaks them."""
    known = np.isfinite(points).all(axis=1)
    runs = [points] if known.all() else [run for run in np.split(points, np.flatnonzero(~known)) if len(run) > 1]
    fixed = [np.rint(run[np.isfinite(run).all(axis=1)] * _ONE).astype(np.int32) for run in runs]
    if fixed:
        cv2.polylines(image, fixed, False, colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def disc(image: Image, centre: tuple[float, float], radius: float, colour: Colour, width: float = -1) -> None:
    """A circle about (x, y) px: filled by default, or a ring of `width` px."""
    thickness = -1 if width < 0 else max(1, round(width))
    cv2.circle(image, _fixed(centre), round(radius * _ONE), colour, thickness, cv2.LINE_AA, _SHIFT)


def bar(image: Image, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    """A filled rectangle with edges in px, rounded to whole pixels; nothing is drawn where right <= left."""
    if right > left:
        image[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = colour


def frame_box(image: Image, box: npt.NDArray[np.float64], colour: Colour, width: float) -> None:
    """Corner brackets of a box x0, y0, x1, y1 in px, on a dark rim that keeps them visible on a bright picture."""
    x0, y0, x1, y1 = (float(value) for value in box)
    arm_x, arm_y = (x1 - x0) * 0.22, (y1 - y0) * 0.22
    corners = ((x0, y0, arm_x, arm_y), (x1, y0, -arm_x, arm_y), (x0, y1, arm_x, -arm_y), (x1, y1, -arm_x, -arm_y))
    angles = np.array([[(x + dx, y), (x, y), (x, y + dy)] for x, y, dx, dy in corners])
    for shade, thickness in ((PANEL, width * 2.2), (colour, width)):
        fixed = list(np.rint(angles * _ONE).astype(np.int32))
        cv2.polylines(image, fixed, False, shade, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)


def badge(image: Image, number: int, x: float, y: float, size: float, colour: Colour, *, filled: bool = True) -> None:
    """A number of `size` px in a disc of the colour about (x, y) px; a ring for what is not there."""
    disc(image, (x, y), size * 0.8, PANEL)
    if filled:
        disc(image, (x, y), size * 0.7, colour)
    else:
        disc(image, (x, y), size * 0.65, colour, 0.1 * size)
    text(image, str(number), x, y + size * 0.35, size, PANEL if filled else colour, bold=True, align="centre")


def pill(image: Image, words: str, left: float, top: float, size: float) -> float:
    """A notice in a dark rounded box whose corner is (left, top) px; returns its right edge in px."""
    height, pad = size * 1.75, size * 0.75
    right = left + text_width(words, size, bold=True) + 2 * pad
    middle, cap = top + height / 2, height / 2  # a thick line has round ends
    line(image, (left + cap, middle), (right - cap, middle), PANEL, height)
    text(image, words, left + pad, top + height * 0.69, size, AROUSAL, bold=True)
    return right


def _fixed(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0] * _ONE), round(point[1] * _ONE)
