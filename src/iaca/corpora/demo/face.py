"""The portrait as a face that moves: its geometry, cut-out and regions, and the warps of shape, pose and expression.

Face coordinates (u, v): the origin is between the eyes, u runs along the line of the eyes, v down the face, one unit is
the distance of the eyes. The proportions of brows, lids, lips, chin and outline are given in these coordinates.

All displacement fields run backwards: for a point of the new picture they give the point of the portrait from which it
takes its colour. The portrait smiles with parted lips, so a neutral face is itself a displacement of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from iaca.corpora.demo.plan import Shape

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Outline = tuple[tuple[float, float], ...]
Scaling = tuple[tuple[float, float], float, float, float, float]

PORTRAIT_LANDMARKS = ((205.0, 101.7), (246.8, 103.7), (224.7, 129.0), (201.7, 139.2), (245.3, 141.9))
"""Eyes, nose tip and mouth corners of `skimage.data.astronaut()` in px, from the left, as MTCNN finds them."""
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
_LIP_CURVE = np.polynomial.polynomial.polyfit([u for u, _ in UPPER_LIP_EDGE], [v for _, v in UPPER_LIP_EDGE], 4)
LIP_GAP = 0.165
LOWER_LIP_BOTTOM = (-0.03, 1.225)
CHIN = (-0.03, 1.79)
FACE_SIDES = ((-1.06, 0.34), (1.07, 0.25))
BODY: Outline = (
    (-4.4, 10.0), (-4.55, 6.85), (-4.3, 3.85), (-3.1, 2.84), (-2.7, 2.0), (-1.77, 1.03),
    (-1.42, 0.72), (-1.86, 0.14), (-1.96, -0.93), (-1.43, -1.96), (-0.25, -2.3), (1.2, -2.0),
    (1.91, -1.11), (1.92, -0.04), (1.43, 0.82), (2.18, 2.46), (3.44, 3.84), (3.77, 5.74),
    (2.78, 6.0), (1.87, 7.0), (1.76, 9.7),
)  # fmt: skip
CORE: Outline = (
    (-4.0, 9.98), (-4.0, 6.83), (-3.77, 4.18), (-2.5, 3.28), (-2.3, 2.32), (-1.5, 1.6),
    (-0.86, 1.75), (-0.78, 1.29), (-0.93, 0.58), (-1.46, 0.0), (-1.54, -0.83), (-1.18, -1.61),
    (-0.23, -1.87), (1.1, -1.6), (1.53, -0.98), (1.48, -0.14), (0.95, 0.56), (0.8, 1.2),
    (0.74, 1.78), (1.25, 2.2), (1.67, 2.85), (2.81, 4.11), (3.11, 5.53), (2.53, 5.8),
    (1.63, 7.03), (1.4, 9.73),
)  # fmt: skip
"""Outlines in face coordinates: the person is inside BODY, and everything inside CORE is the person."""
FACE: Outline = (
    (-0.98, -0.55), (-0.75, -0.48), (-0.4, -0.47), (0.0, -0.54), (0.45, -0.55), (0.75, -0.45),
    (1.0, -0.38), (1.05, -0.1), (1.07, 0.3), (1.02, 0.6), (0.98, 0.85), (0.83, 1.2),
    (0.55, 1.57), (0.25, 1.76), (-0.03, 1.8), (-0.35, 1.73), (-0.65, 1.5), (-0.88, 1.15),
    (-1.0, 0.8), (-1.03, 0.45), (-1.02, 0.1),
)  # fmt: skip
EARS: tuple[Outline, Outline] = (((-1.28, 0.45), (-1.02, 0.4), (-0.98, 0.78), (-1.12, 0.75)),
                                 ((1.02, 0.42), (1.32, 0.55), (1.22, 0.76), (1.05, 0.76)))  # fmt: skip
NECK: Outline = ((-0.86, 1.2), (0.85, 1.2), (0.74, 1.95), (0.4, 2.08), (-0.4, 2.05), (-0.83, 1.85))
PIVOT = (0.0, 1.9)
"""The point of the neck about which a head rolls."""
WINDOW = (-1.55, -1.05, 1.55, 2.35)
"""Left, top, right and bottom of the region that expressions move, in face units."""
PORTRAIT_SMILE = 0.75
"""`Expression.smile` of the portrait."""
WIDEST = 0.34
"""Height of the widest open mouth in face units."""
CAVITY, TONGUE = (42.0, 16.0, 18.0), (120.0, 52.0, 54.0)


# Face coordinates


@dataclass(frozen=True)
class FaceFrame:
    """A similarity transform between face coordinates and pixels.

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


# The portrait on a canvas


@dataclass(frozen=True)
class Portrait:
    """The portrait on a canvas (h, w): its colours, and the weights in [0, 1] of its regions.

    Attributes:
        texture: RGB, float32 (h, w, 3), 0-255.
        matte: opacity of the person (h, w).
        face, skin, hair, suit: region weights (h, w).
    """

    texture: Floats
    matte: Floats
    face: Floats
    skin: Floats
    hair: Floats
    suit: Floats


def place_portrait(frame: FaceFrame, size: tuple[int, int]) -> Portrait:
    """The portrait on a canvas of `size` (width, height) px with the face in `frame`."""
    photo, matte = cut_out()
    affine = _affine(frame)
    warped = cv2.warpAffine(photo, affine, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    texture = np.clip(warped, 0, 255).astype(np.float32)
    opacity = np.clip(cv2.warpAffine(matte, affine, size, flags=cv2.INTER_LINEAR), 0, 1).astype(np.float32)
    return Portrait(texture, opacity, **_regions(frame, size, texture, opacity))


@lru_cache(maxsize=1)
def cut_out() -> tuple[Floats, Floats]:
    """The photo, float32 (h, w, 3), with the person's colours extended beyond their edge, and the matte (h, w)."""
    photo: Image = data.astronaut()  # type: ignore[no-untyped-call]
    frame = portrait_frame()
    trimap = np.full(photo.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.fillPoly(trimap, [frame.pixels(BODY).round().astype(np.int32)], cv2.GC_PR_FGD)
    cv2.fillPoly(trimap, [frame.pixels(CORE).round().astype(np.int32)], cv2.GC_FGD)
    cv2.setRNGSeed(0)
    cv2.grabCut(photo, trimap, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    person = ((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)).astype(np.float32)
    inside = np.asarray(cv2.erode(person, np.ones((3, 3), np.uint8), iterations=2), dtype=np.float32)
    matte = cv2.GaussianBlur(cv2.erode(person, np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    return _extend(photo.astype(np.float32), inside), np.asarray(matte, dtype=np.float32)


def _extend(photo: Floats, inside: Floats) -> Floats:
    """Replace the backdrop by the nearest colours of the person, so that it does not show through soft edges."""
    spread = cv2.GaussianBlur(photo * inside[..., None], (0, 0), 3.0)
    share = cv2.GaussianBlur(inside, (0, 0), 3.0)[..., None]
    extended = np.where(share > 1e-4, spread / np.maximum(share, 1e-4), photo)
    return np.where(inside[..., None] > 0, photo, extended).astype(np.float32)


def _affine(frame: FaceFrame) -> NDArray[np.float64]:
    """The affine map (2, 3) from pixels of the photo to pixels of the canvas."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    source, target = portrait_frame().pixels(corners), frame.pixels(corners)
    return np.asarray(cv2.getAffineTransform(source.astype(np.float32), target.astype(np.float32)))


def _regions(frame: FaceFrame, size: tuple[int, int], texture: Floats, matte: Floats) -> dict[str, Floats]:
    face = _soft([FACE], frame, size)
    bare = np.maximum(face, _soft([NECK, *EARS], frame, size))
    skin = (
        np.clip(2.2 * bare, 0, 1) * matte
    )  # slightly beyond the outline, since a rim of another colour looks like a mask
    _, v = frame.grid(0, 0, *size)
    orange = np.clip((texture[..., 0] - texture[..., 2] - 70) / 50, 0, 1)
    hair = np.clip(1 - skin * 1.2, 0, 1) * matte * (v < 1.0)
    suit = cv2.GaussianBlur(orange, (0, 0), 0.7) * matte * np.clip((v - 1.5) * 2, 0, 1) * (1 - skin)
    return {"face": face, "skin": skin, "hair": hair.astype(np.float32), "suit": suit.astype(np.float32)}


def _soft(outlines: list[Outline], frame: FaceFrame, size: tuple[int, int]) -> Floats:
    mask = np.zeros((size[1], size[0]), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.round(frame.pixels(outline) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.03 * frame.unit), dtype=np.float32)


# Shape


def shape_field(frame: FaceFrame, size: tuple[int, int], shape: Shape) -> Floats:
    """Backward displacement (2, h, w), px, that gives the portrait's face this shape."""
    u, v = frame.grid(0, 0, *size)
    across, down = np.zeros_like(u), np.zeros_like(v)
    for amount, (centre, width, height, gain_u, gain_v) in _scalings(shape):
        near = bump(u, v, centre, width, height) * amount
        across -= gain_u * near * (u - centre[0])
        down -= gain_v * near * (v - centre[1])
    down -= 0.09 * shape.brows * sum(bump(u, v, brow, 0.4, 0.17) for brow in BROWS)
    for side, eye in zip((-1, 1), EYES, strict=True):
        across -= 0.055 * shape.eye_distance * side * bump(u, v, eye, 0.32, 0.35)
    return np.stack([frame.mirror * across, down]).astype(np.float32) * np.float32(frame.unit)


def _scalings(shape: Shape) -> list[tuple[float, Scaling]]:
    """Local enlargements: amount, then centre, extent across and down, and gain across and down."""
    eyes = [(shape.eye_size, (eye, 0.3, 0.22, 0.12, 0.22)) for eye in EYES]
    return [
        (shape.jaw, ((0.0, 1.35), 1.3, 0.5, 0.17, 0.0)),
        (shape.length, ((0.0, 0.3), 1.6, 1.1, 0.0, 0.11)),
        (shape.nose, (NOSE, 0.3, 0.34, 0.26, 0.12)),
        (shape.mouth, ((0.0, 1.02), 0.55, 0.3, 0.15, 0.12)),
        (shape.hair, ((0.0, -1.5), 1.7, 0.9, 0.1, 0.16)),
        *eyes,
    ]


# Pose


@dataclass(frozen=True)
class Pose:
    """Position and orientation of a head; all zero = as in the portrait.

    Attributes:
        yaw, pitch: turn to the right and down in the picture, radians, small (|x| < 0.35).
        roll: clockwise tilt, radians, small.
        x, y: shift of the whole person to the right and down, in eye distances.
        scale: relative growth of the head (0.03 = 3 % nearer).
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    scale: float = 0.0


def pose_basis(frame: FaceFrame, size: tuple[int, int]) -> Floats:
    """Fields (6, 2, h, w), px: backward displacement per unit of yaw, pitch, roll, x, y and scale.

    Head movements fade out from the chin to the collar. Turning is parallax: points nearer to the viewer move more. The
    head is modelled as an ellipsoid with a nose.
    """
    u, v = frame.grid(0, 0, *size)
    x, zero, one = frame.mirror * u, np.zeros_like(u), np.ones_like(u)
    head = ramp(v, 3.0, 1.55)
    depth = head * _depth(u, v)
    fields = [
        (-depth, zero),
        (zero, -depth),
        (head * (v - PIVOT[1]), -head * (x - PIVOT[0])),
        (-one, zero),
        (zero, -one),
        (-head * x, -head * (v - PIVOT[1])),
    ]
    return np.array(fields, dtype=np.float32) * np.float32(frame.unit)


def _depth(u: Floats, v: Floats) -> Floats:
    """Distance of the head's surface in front of the ears, in face units."""
    skull = np.sqrt(np.clip(1 - (u / 2.1) ** 2 - ((v - 0.2) / 2.6) ** 2, 0, 1))
    return np.asarray(1.3 * skull * skull + 0.32 * bump(u, v, NOSE, 0.24, 0.3), dtype=np.float32)


# Expression


@dataclass(frozen=True)
class Expression:
    """The expression of a face at one moment.

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
    """Warps a portrait's texture (h, w, channels) to an expression, inside a window around the face.

    Args:
        frame: place of the face on the canvas.
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
        """The texture (h, w, 3), uint8, with this expression; only the window changes."""
        u, v = self._source(expression)
        moved = self._sample(texture, u, v)
        rows = self.mouth_rows
        moved[rows] = self._open_mouth(texture, moved[rows], u[rows], v[rows], expression)
        out = texture.copy()
        out[self.top : self.top + moved.shape[0], self.left : self.left + moved.shape[1]] = moved
        return out

    def _source(self, expression: Expression) -> tuple[Floats, Floats]:
        """Face coordinates u, v (rows, columns) in the portrait from which each point takes its colour."""
        field = combine(_amplitudes(expression), self.basis)
        return self.u + field[0], self.v + field[1]

    def _sample(self, texture: Image, u: Floats, v: Floats) -> Image:
        x = u * (self.frame.mirror * self.frame.unit) + self.frame.x
        y = v * self.frame.unit + self.frame.y
        return np.asarray(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def _open_mouth(self, texture: Image, upper: Image, u: Floats, v: Floats, expression: Expression) -> Image:
        """Split the face along the lip line: jaw and lower lip move with the opening, teeth and cavity fill the gap."""
        opening = max(expression.mouth_open, 0.55 * max(0.0, expression.smile - 0.25)) * WIDEST
        lip = _lip_edge(u)
        depth = v - lip
        across = np.abs((u - MOUTH_CENTRE) / (MOUTH_HALF_WIDTH * (1 + 0.8 * np.clip(depth - opening, 0, 1))))
        gap = opening * _arch(u)
        below = np.clip(depth - gap, 0, None)
        shift = (opening - LIP_GAP) * np.clip(1 - across**2.5, 0, 1) * np.exp(-((below / 0.62) ** 2))
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
    zero = np.zeros_like(u)
    left, right = (bump(u, v, corner, 0.26, 0.24) for corner in MOUTH_CORNERS)
    cheeks = bump(u, v, (-0.78, 0.5), 0.3, 0.22) + bump(u, v, (0.78, 0.5), 0.3, 0.22)
    brows = bump(u, v, BROWS[0], 0.36, 0.2) + bump(u, v, BROWS[1], 0.36, 0.2)
    inner = [bump(u, v, brow, 0.2, 0.17) for brow in INNER_BROWS]
    pouch = bump(u, v, (-0.55, 0.2), 0.25, 0.11) + bump(u, v, (0.5, 0.2), 0.25, 0.11)
    fields = [
        (0.12 * (left - right), zero),
        (zero, 0.155 * (left + right) + 0.03 * cheeks),
        (zero, 0.13 * brows),
        (0.06 * (inner[1] - inner[0]), -0.10 * (inner[0] + inner[1])),
        (zero, _lids(u, v)),
        (zero, 0.035 * pouch),
    ]
    return np.array(fields, dtype=np.float32)


def _lids(u: Floats, v: Floats) -> Floats:
    """Vertical displacement of the upper lids: skin above the eye stretches down to the lower lid's edge."""
    total = np.zeros_like(u)
    for (x, top), (_, bottom) in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        height, reach = bottom - top, 0.16
        shape = np.clip(1 - ((u - x) / EYE_HALF_WIDTH) ** 2, 0, 1)
        low = top + height * (0.5 + 0.5 * shape)
        rise = np.clip((v - (top - reach)) / (low - top + reach), 0, 1)
        total -= height * shape * rise * _edge((low - v) / 0.035)
    return total


def _fade(u: Floats, v: Floats) -> Floats:
    """1 inside the window, 0 at its border, so that the picture is continuous there."""
    sides = ramp(np.abs(u), WINDOW[2] - 0.02, WINDOW[2] - 0.35)
    return sides * ramp(v, WINDOW[1] + 0.02, WINDOW[1] + 0.3) * ramp(v, WINDOW[3] - 0.02, WINDOW[3] - 0.4)


def _lip_edge(u: Floats) -> Floats:
    """v of the upper lip's lower edge."""
    return np.polynomial.polynomial.polyval(np.clip(u, -0.7, 0.7), _LIP_CURVE).astype(np.float32)


def _arch(u: Floats) -> Floats:
    """Relative opening along the mouth: 1 in the middle, 0 at the corners."""
    return np.asarray(np.clip(1 - np.abs((u - MOUTH_CENTRE) / MOUTH_HALF_WIDTH) ** 2.5, 0, 1), dtype=np.float32)


def _edge(x: NDArray[np.floating[Any]]) -> Floats:
    """Linear step from 0 at -1 to 1 at 1."""
    return np.asarray(0.5 + 0.5 * np.clip(x, -1, 1), dtype=np.float32)


def _cavity(teeth: Image, depth: Floats, opening: float, arch: Floats) -> Floats:
    """The inside of the mouth: upper teeth under the lip, dark below, the tongue in a wide mouth."""
    end = 0.15 * arch
    dark = np.clip((depth - 0.7 * end) / np.maximum(0.3 * end, 0.01), 0, 1)[..., None]
    tongue = (np.clip(depth / max(opening, 0.05) - 0.62, 0, 0.38) / 0.38 * min(1.0, 3 * opening) * arch)[..., None]
    hole = np.array(CAVITY, np.float32) * (1 - tongue) + np.array(TONGUE, np.float32) * tongue
    return np.asarray(teeth * (0.92 - 0.92 * dark) + hole * dark, dtype=np.float32)


# Fields and pictures


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
