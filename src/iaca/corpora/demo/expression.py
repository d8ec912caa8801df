"""Facial expressions as displacement fields, linear in their amplitudes, and the mouth that opens along the lip line.

All maps run backwards: at a point of the picture to be made they say where in the portrait its colour comes from.
The portrait smiles with parted lips, so a neutral face is itself a displacement of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.corpora.demo import geometry as g
from iaca.corpora.demo.geometry import FaceFrame, Floats, Image, bump, combine, ramp, to_image

WINDOW = (-1.55, -1.05, 1.55, 2.35)
"""Left, top, right and bottom of the part of the picture that expressions move, in face units."""
PORTRAIT_SMILE = 0.75
WIDEST = 0.34
"""Height of the widest open mouth in face units."""
CAVITY, TONGUE = (42.0, 16.0, 18.0), (120.0, 52.0, 54.0)


@dataclass(frozen=True)
class Expression:
    """What a face does at one moment.

    Attributes:
        smile: mouth corners, -1 (down) to 1 (up and wide), 0 = neutral.
        mouth_open: 0 (closed) to 1.
        brow_raise, brow_knit: 0 to 1 (brow_raise may be slightly negative).
        lids: 0 (as in the portrait) to 1 (closed); slightly negative = wide open.
    """

    smile: float = 0.0
    mouth_open: float = 0.0
    brow_raise: float = 0.0
    brow_knit: float = 0.0
    lids: float = 0.0


class ExpressionWarp:
    """Moves a portrait's texture (h, w, channels) into an expression, inside a window around the face.

    Args:
        frame: where the face lies on the canvas.
        size: width and height of the canvas (px).
    """

    def __init__(self, frame: FaceFrame, size: tuple[int, int]):
        self.frame = frame
        corners = frame.pixels([(frame.mirror * WINDOW[0], WINDOW[1]), (frame.mirror * WINDOW[2], WINDOW[3])])
        self.left, self.top = (int(max(0, c)) for c in corners[0])
        right, bottom = (int(c) for c in np.minimum(corners[1], size))
        self.u, self.v = frame.grid(self.left, self.top, right - self.left, bottom - self.top)
        self.basis = _basis(self.u, self.v) * _fade(self.u, self.v)
        rows = np.flatnonzero((self.v[:, 0] > 0.55) & (self.v[:, 0] < WINDOW[3]))
        self.mouth_rows = slice(int(rows[0]), int(rows[-1]) + 1)

    def apply(self, texture: Image, expression: Expression) -> Image:
        """The texture (h, w, 3), uint8, with this expression on its face; only the window is changed."""
        u, v = self._source(expression)
        moved = self._sample(texture, u, v)
        rows = self.mouth_rows
        moved[rows] = self._open_mouth(texture, moved[rows], u[rows], v[rows], expression)
        out = texture.copy()
        out[self.top : self.top + moved.shape[0], self.left : self.left + moved.shape[1]] = moved
        return out

    def _source(self, expression: Expression) -> tuple[Floats, Floats]:
        """Face coordinates (rows, columns) of the portrait from which each point takes its colour."""
        field = combine(_amplitudes(expression), self.basis)
        return self.u + field[0], self.v + field[1]

    def _sample(self, texture: Image, u: Floats, v: Floats) -> Image:
        x = u * (self.frame.mirror * self.frame.unit) + self.frame.x
        y = v * self.frame.unit + self.frame.y
        return np.asarray(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def _open_mouth(self, texture: Image, upper: Image, u: Floats, v: Floats, expression: Expression) -> Image:
        """Part the face along the lip line: jaw and lower lip move with the opening, teeth and cavity fill the gap."""
        opening = max(expression.mouth_open, 0.55 * max(0.0, expression.smile - 0.25)) * WIDEST
        lip = _lip_edge(u)
        depth = v - lip
        across = np.abs((u - g.MOUTH_CENTRE) / (g.MOUTH_HALF_WIDTH * (1 + 0.8 * np.clip(depth - opening, 0, 1))))
        gap = opening * _arch(u)
        below = np.clip(depth - gap, 0, None)
        shift = (opening - g.LIP_GAP) * np.clip(1 - across**2.5, 0, 1) * np.exp(-((below / 0.62) ** 2))
        lower = self._sample(texture, u, v - shift * _fade(u, v))
        softness = 0.6 / self.frame.unit
        under_upper, on_lower = (_edge(x / softness)[..., None] for x in (depth, depth - gap))
        inside = upper + ramp(_arch(u), 0.0, 0.25)[..., None] * (_cavity(upper, depth, opening, _arch(u)) - upper)
        upper_face = upper + under_upper * (inside - upper.astype(np.float32))
        return to_image(upper_face + on_lower * (lower - upper_face))


def _amplitudes(expression: Expression) -> Floats:
    lift = expression.smile - PORTRAIT_SMILE
    spread = lift if lift > -0.75 else -0.75 + 0.25 * (lift + 0.75)
    values = (spread, lift, expression.brow_raise, expression.brow_knit, expression.lids, max(0.0, expression.smile))
    return np.array(values, dtype=np.float32)


def _basis(u: Floats, v: Floats) -> Floats:
    """Displacement fields (6, 2, rows, columns): mouth spread, mouth lift, brow raise, brow knit, lids, squint."""
    none = np.zeros_like(u)
    left, right = (bump(u, v, corner, 0.26, 0.24) for corner in g.MOUTH_CORNERS)
    cheeks = bump(u, v, (-0.78, 0.5), 0.3, 0.22) + bump(u, v, (0.78, 0.5), 0.3, 0.22)
    brows = bump(u, v, g.BROWS[0], 0.36, 0.2) + bump(u, v, g.BROWS[1], 0.36, 0.2)
    inner = [bump(u, v, brow, 0.2, 0.17) for brow in g.INNER_BROWS]
    pouch = bump(u, v, (-0.55, 0.2), 0.25, 0.11) + bump(u, v, (0.5, 0.2), 0.25, 0.11)
    fields = [
        (0.12 * (left - right), none),
        (none, 0.155 * (left + right) + 0.03 * cheeks),
        (none, 0.13 * brows),
        (0.06 * (inner[1] - inner[0]), -0.10 * (inner[0] + inner[1])),
        (none, _lids(u, v)),
        (none, 0.035 * pouch),
    ]
    return np.array(fields, dtype=np.float32)


def _lids(u: Floats, v: Floats) -> Floats:
    """The upper lids come down: skin above the eye stretches down to the lower lid's edge."""
    total = np.zeros_like(u)
    for (x, top), (_, bottom) in zip(g.UPPER_LIDS, g.LOWER_LIDS, strict=True):
        height, reach = bottom - top, 0.16
        shape = np.clip(1 - ((u - x) / g.EYE_HALF_WIDTH) ** 2, 0, 1)
        low = top + height * (0.5 + 0.5 * shape)
        rise = np.clip((v - (top - reach)) / (low - top + reach), 0, 1)
        total -= height * shape * rise * _edge((low - v) / 0.035)
    return total


def _fade(u: Floats, v: Floats) -> Floats:
    """1 inside the window, 0 at its border, so that nothing tears there."""
    sides = ramp(np.abs(u), WINDOW[2] - 0.02, WINDOW[2] - 0.35)
    return sides * ramp(v, WINDOW[1] + 0.02, WINDOW[1] + 0.3) * ramp(v, WINDOW[3] - 0.02, WINDOW[3] - 0.4)


def _lip_edge(u: Floats) -> Floats:
    return np.polynomial.polynomial.polyval(np.clip(u, -0.7, 0.7), _LIP_CURVE).astype(np.float32)


def _arch(u: Floats) -> Floats:
    """How far the lips part along the mouth, 1 in the middle, 0 at the corners."""
    return np.asarray(np.clip(1 - np.abs((u - g.MOUTH_CENTRE) / g.MOUTH_HALF_WIDTH) ** 2.5, 0, 1), dtype=np.float32)


def _edge(x: NDArray[np.floating[Any]]) -> Floats:
    return np.asarray(0.5 + 0.5 * np.clip(x, -1, 1), dtype=np.float32)


def _cavity(teeth: Image, depth: Floats, opening: float, arch: Floats) -> Floats:
    """The inside of the mouth: upper teeth under the lip, darkness below, a hint of the tongue in a wide mouth."""
    end = 0.15 * arch
    dark = np.clip((depth - 0.7 * end) / np.maximum(0.3 * end, 0.01), 0, 1)[..., None]
    tongue = (np.clip(depth / max(opening, 0.05) - 0.62, 0, 0.38) / 0.38 * min(1.0, 3 * opening) * arch)[..., None]
    hole = np.array(CAVITY, np.float32) * (1 - tongue) + np.array(TONGUE, np.float32) * tongue
    return np.asarray(teeth * (0.92 - 0.92 * dark) + hole * dark, dtype=np.float32)


_LIP_CURVE = np.polynomial.polynomial.polyfit([u for u, _ in g.UPPER_LIP_EDGE], [v for _, v in g.UPPER_LIP_EDGE], 4)
