"""The portrait, cut out of its backdrop and brought upright to a canvas: texture, matte, regions to recolour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from iaca.corpora.demo.geometry import FaceFrame, Floats, Image, portrait_frame

Outline = tuple[tuple[float, float], ...]

# Outlines in face coordinates: nothing of the person lies outside BODY, everything inside CORE is the person.
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
FACE: Outline = (
    (-0.98, -0.55), (-0.75, -0.48), (-0.4, -0.47), (0.0, -0.54), (0.45, -0.55), (0.75, -0.45),
    (1.0, -0.38), (1.05, -0.1), (1.07, 0.3), (1.02, 0.6), (0.98, 0.85), (0.83, 1.2),
    (0.55, 1.57), (0.25, 1.76), (-0.03, 1.8), (-0.35, 1.73), (-0.65, 1.5), (-0.88, 1.15),
    (-1.0, 0.8), (-1.03, 0.45), (-1.02, 0.1),
)  # fmt: skip
EARS: tuple[Outline, Outline] = (((-1.28, 0.45), (-1.02, 0.4), (-0.98, 0.78), (-1.12, 0.75)),
                                 ((1.02, 0.42), (1.32, 0.55), (1.22, 0.76), (1.05, 0.76)))  # fmt: skip
NECK: Outline = ((-0.86, 1.2), (0.85, 1.2), (0.74, 1.95), (0.4, 2.08), (-0.4, 2.05), (-0.83, 1.85))


@dataclass(frozen=True)
class Portrait:
    """The portrait on a canvas (h, w): what it looks like, and which part of it is what (weights in [0, 1]).

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
    """The portrait as it lies on a canvas of `size` (width, height) px with the face in `frame`."""
    photo, matte = cut_out()
    placing = _affine(frame)
    warped = cv2.warpAffine(photo, placing, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    texture = np.clip(warped, 0, 255).astype(np.float32)
    opacity = np.clip(cv2.warpAffine(matte, placing, size, flags=cv2.INTER_LINEAR), 0, 1).astype(np.float32)
    return Portrait(texture, opacity, **_regions(frame, size, texture, opacity))


@lru_cache(maxsize=1)
def cut_out() -> tuple[Floats, Floats]:
    """The photo, float32 (h, w, 3), its person's colours grown beyond the edge, and the person's matte (h, w)."""
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
    return _grow(photo.astype(np.float32), inside), np.asarray(matte, dtype=np.float32)


def _grow(photo: Floats, inside: Floats) -> Floats:
    """Replace what lies outside by the nearest colours of the person, so that no backdrop shines through soft edges."""
    spread = cv2.GaussianBlur(photo * inside[..., None], (0, 0), 3.0)
    share = cv2.GaussianBlur(inside, (0, 0), 3.0)[..., None]
    grown = np.where(share > 1e-4, spread / np.maximum(share, 1e-4), photo)
    return np.where(inside[..., None] > 0, photo, grown).astype(np.float32)


def _affine(frame: FaceFrame) -> NDArray[np.float64]:
    """The affine map (2, 3) from pixels of the photo to pixels of the canvas."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    source, target = portrait_frame().pixels(corners), frame.pixels(corners)
    return np.asarray(cv2.getAffineTransform(source.astype(np.float32), target.astype(np.float32)))


def _regions(frame: FaceFrame, size: tuple[int, int], texture: Floats, matte: Floats) -> dict[str, Floats]:
    face = _soft([FACE], frame, size)
    bare = np.maximum(face, _soft([NECK, *EARS], frame, size))
    skin = np.clip(2.2 * bare, 0, 1) * matte  # a little beyond the outline: a rim of another colour looks like a mask
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
