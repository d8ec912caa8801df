"""The photo puppet: one person who can be drawn onto a picture in any expression and pose."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from iaca.corpora.demo.expression import PORTRAIT_SMILE, Expression, ExpressionWarp
from iaca.corpora.demo.geometry import FaceFrame, Floats, Image, combine, to_image
from iaca.corpora.demo.identity import Identity
from iaca.corpora.demo.look import paint, soften_creases
from iaca.corpora.demo.portrait import place_portrait
from iaca.corpora.demo.pose import Pose, pose_basis, shape_field

MARGIN = 0.8
"""How far the portrait's canvas reaches beyond the picture, in eye distances: room for the person to move."""


class Puppet:
    """A person at a place in the picture. Building takes some 0.1 s, drawing some 3 ms; it keeps no state.

    Args:
        identity: the person.
        frame: where the face lies in the picture (its `mirror` must be the identity's).
        size: width and height of the picture (px).
    """

    def __init__(self, identity: Identity, frame: FaceFrame, size: tuple[int, int]):
        margin = round(MARGIN * frame.unit)
        canvas, canvas_frame = _widen(size, margin), replace(frame, x=frame.x + margin, y=frame.y + margin)
        portrait = place_portrait(canvas_frame, canvas)
        self.frame, self.size = frame, size
        texture, self.matte = paint(portrait, canvas_frame, identity), portrait.matte
        self.texture, self.straight = to_image(texture), to_image(soften_creases(texture, canvas_frame))
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
        """Pixel at which a point of the face (face coordinates) is seen in this pose, to the first order."""
        x, y = self.frame.pixels([point])[0]
        column, row = (int(np.clip(c, 0, n - 1)) for c, n in zip((x, y), self.size, strict=True))
        moved = combine(_coefficients(pose), self.poses[:, :, row, column])
        return float(x - moved[0]), float(y - moved[1])

    def _skin(self, expression: Expression) -> Image:
        """The texture with the folds of a smile as deep as this smile makes them."""
        depth = float(np.clip(expression.smile / PORTRAIT_SMILE, 0, 1))
        return np.asarray(cv2.addWeighted(self.texture, depth, self.straight, 1 - depth, 0))

    def _source(self, pose: Pose) -> tuple[Floats, Floats]:
        """Columns and rows (h, w) of the portrait's canvas from which each pixel takes its colour."""
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
