"""The photo puppet: one person who can be drawn onto a picture in any expression and pose.

A person is the portrait in the colours, light and shape of an identity.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from iaca.corpora.demo.face import (
    EYES,
    PORTRAIT_SMILE,
    Expression,
    ExpressionWarp,
    FaceFrame,
    Floats,
    Image,
    Portrait,
    Pose,
    bump,
    combine,
    place_portrait,
    pose_basis,
    ramp,
    shape_field,
    to_image,
)
from iaca.corpora.demo.plan import Identity

MARGIN = 0.8
"""Width by which the portrait's canvas exceeds the picture on each side, in eye distances: room to move."""
FOLDS = (
    ((-0.46, 0.63), (-0.62, 0.76), (-0.69, 0.85), (-0.67, 0.93)),
    ((0.43, 0.62), (0.55, 0.74), (0.62, 0.86), (0.59, 0.95)),
)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Puppet:
    """A person at a place in the picture. Construction takes about 0.1 s, drawing about 3 ms. It keeps no state.

    Args:
        identity: the person.
        frame: place of the face in the picture; its `mirror` must be the identity's.
        size: width and height of the picture (px).
    """

    def __init__(self, identity: Identity, frame: FaceFrame, size: tuple[int, int]):
        margin = round(MARGIN * frame.unit)
        canvas, canvas_frame = _widen(size, margin), replace(frame, x=frame.x + margin, y=frame.y + margin)
        portrait = place_portrait(canvas_frame, canvas)
        self.frame, self.size = frame, size
        texture, self.matte = _paint(portrait, canvas_frame, identity), portrait.matte
        self.texture, self.straight = to_image(texture), to_image(_soften_creases(texture, canvas_frame))
        self.warp = ExpressionWarp(canvas_frame, canvas)
        self.poses = pose_basis(frame, size)
        self.grid = _pixels(size) + np.float32(margin)
        shape = _pixels(canvas) + shape_field(canvas_frame, canvas, identity.shape)
        self.shape = np.ascontiguousarray(np.moveaxis(shape, 0, -1))

    def draw(self, picture: Image, expression: Expression, pose: Pose) -> Image:
        """`picture`, uint8 RGB (h, w, 3), with the person in front of it."""
        column, row = self._source(pose)
        texture = self.warp.apply(self._skin(expression), expression)
        person = cv2.remap(texture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        matte = cv2.remap(self.matte, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(cv2.blendLinear(person, picture, matte, 1 - matte))

    def place(self, point: tuple[float, float], pose: Pose) -> tuple[float, float]:
        """Pixel (x, y) at which a point of the face (face coordinates) appears in this pose, to first order."""
        x, y = self.frame.pixels([point])[0]
        column, row = (int(np.clip(c, 0, n - 1)) for c, n in zip((x, y), self.size, strict=True))
        moved = combine(_coefficients(pose), self.poses[:, :, row, column])
        return float(x - moved[0]), float(y - moved[1])

    def _skin(self, expression: Expression) -> Image:
        """The texture, with the folds of the smile in proportion to this smile."""
        depth = float(np.clip(expression.smile / PORTRAIT_SMILE, 0, 1))
        return np.asarray(cv2.addWeighted(self.texture, depth, self.straight, 1 - depth, 0))

    def _source(self, pose: Pose) -> tuple[Floats, Floats]:
        """Columns and rows (h, w) on the portrait's canvas from which each pixel takes its colour."""
        column, row = self.grid + combine(_coefficients(pose), self.poses)
        shaped = cv2.remap(self.shape, column, row, cv2.INTER_LINEAR, borderValue=(-9.0, -9.0))
        return np.ascontiguousarray(shaped[..., 0]), np.ascontiguousarray(shaped[..., 1])


def _coefficients(pose: Pose) -> Floats:
    return np.array([pose.yaw, pose.pitch, pose.roll, pose.x, pose.y, pose.scale], dtype=np.float32)


def _widen(size: tuple[int, int], margin: int) -> tuple[int, int]:
    return size[0] + 2 * margin, size[1] + 2 * margin


def _pixels(size: tuple[int, int]) -> Floats:
    columns, rows = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    return np.stack([columns, rows])


# Colours and light


def _paint(portrait: Portrait, frame: FaceFrame, identity: Identity) -> Floats:
    """The portrait's texture (h, w, 3), float32 in 0-255, in this person's colours and light."""
    u, v = frame.grid(0, 0, portrait.matte.shape[1], portrait.matte.shape[0])
    skin = portrait.skin * (1 - 0.8 * _whites(portrait.texture, u, v))
    texture = portrait.texture * (1 + skin[..., None] * (np.array(identity.skin, np.float32) - 1))
    if identity.hair is not None:
        texture = _tint(texture, portrait.hair, np.array(identity.hair, np.float32))
    if identity.suit is not None:
        texture = _tint(texture, portrait.suit, np.array(identity.suit, np.float32))
    lit = texture * _light(u, v, frame.mirror, identity.light)[..., None]
    return np.asarray(np.clip(lit, 0, 255), dtype=np.float32)


def _whites(texture: Floats, u: Floats, v: Floats) -> Floats:
    """Weights of teeth and whites of the eyes: bright pixels of low saturation in the mouth or an eye."""
    places = bump(u, v, (0.0, 1.02), 0.36, 0.09) + sum(bump(u, v, eye, 0.22, 0.07) for eye in EYES)
    pale = np.clip(1.6 - (texture.max(axis=2) - texture.min(axis=2)) / 40, 0, 1)
    return np.asarray(np.clip(1.5 * places, 0, 1) * pale * ramp(texture @ LUMA, 90.0, 150.0), dtype=np.float32)


def _tint(texture: Floats, region: Floats, colour: Floats) -> Floats:
    """Give a region the mean colour `colour` and keep its shading, with less contrast in dark colours."""
    luma = texture @ LUMA
    mean = float((luma * region).sum() / max(float(region.sum()), 1.0))
    shading = (luma / max(mean, 1.0)) ** 0.85
    return np.asarray(texture + region[..., None] * (shading[..., None] * colour - texture))


def _light(u: Floats, v: Floats, mirror: int, light: tuple[float, float]) -> Floats:
    """Gain of a soft light from one side on a convex head; `u` is in the portrait's direction."""
    angle, strength = light
    across, down = np.tanh(mirror * u / 1.4), np.tanh((v - 0.3) / 1.8)
    gain = 1 + 0.38 * strength * (across * np.cos(angle) - down * np.sin(angle))
    return np.asarray(np.clip(gain, 0.55, 1.4), dtype=np.float32)


def _soften_creases(texture: Floats, frame: FaceFrame) -> Floats:
    """The texture without the folds at the sides of the mouth that come from the portrait's smile."""
    mask = np.zeros(texture.shape[:2], np.uint8)
    for fold in FOLDS:
        points = np.round(frame.pixels(fold) * 16).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, max(2, round(0.13 * frame.unit)), cv2.LINE_AA, 4)
    filled = cv2.inpaint(np.clip(texture, 0, 255).astype(np.uint8), mask, 3, cv2.INPAINT_TELEA).astype(np.float32)
    weight = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.03 * frame.unit)[..., None]
    return np.asarray(texture + 0.8 * weight * (cv2.GaussianBlur(filled, (0, 0), 0.05 * frame.unit) - texture))
