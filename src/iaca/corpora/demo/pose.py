"""Head pose and the lasting shape of a face: backward displacement fields over the whole canvas, in face units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iaca.corpora.demo import geometry as g
from iaca.corpora.demo.geometry import FaceFrame, Floats, bump, ramp
from iaca.corpora.demo.identity import Shape

PIVOT = (0.0, 1.9)
"""The point of the neck about which a head rolls."""


@dataclass(frozen=True)
class Pose:
    """Where a head is and which way it looks; all zero = as in the portrait.

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

    Head movements fade out from the chin to the collar. Turning is parallax: what is nearer to the viewer moves more,
    for a head taken as an ellipsoid with a nose.
    """
    u, v = frame.grid(0, 0, *size)
    x, none, one = frame.mirror * u, np.zeros_like(u), np.ones_like(u)
    head = ramp(v, 3.0, 1.55)
    depth = head * _depth(u, v)
    fields = [
        (-depth, none),
        (none, -depth),
        (head * (v - PIVOT[1]), -head * (x - PIVOT[0])),
        (-one, none),
        (none, -one),
        (-head * x, -head * (v - PIVOT[1])),
    ]
    return np.array(fields, dtype=np.float32) * np.float32(frame.unit)


def _depth(u: Floats, v: Floats) -> Floats:
    """Distance of the head's surface in front of the ears, in face units."""
    skull = np.sqrt(np.clip(1 - (u / 2.1) ** 2 - ((v - 0.2) / 2.6) ** 2, 0, 1))
    return np.asarray(1.3 * skull * skull + 0.32 * bump(u, v, g.NOSE, 0.24, 0.3), dtype=np.float32)


def shape_field(frame: FaceFrame, size: tuple[int, int], shape: Shape) -> Floats:
    """Backward displacement (2, h, w), px, that gives the portrait's face another shape."""
    u, v = frame.grid(0, 0, *size)
    across, down = np.zeros_like(u), np.zeros_like(v)
    for amount, (centre, width, height, gain_u, gain_v) in _scalings(shape):
        near = bump(u, v, centre, width, height) * (amount)
        across -= gain_u * near * (u - centre[0])
        down -= gain_v * near * (v - centre[1])
    down -= 0.09 * shape.brows * sum(bump(u, v, brow, 0.4, 0.17) for brow in g.BROWS)
    for side, eye in zip((-1, 1), g.EYES, strict=True):
        across -= 0.055 * shape.eye_distance * side * bump(u, v, eye, 0.32, 0.35)
    return np.stack([frame.mirror * across, down]).astype(np.float32) * np.float32(frame.unit)


Scaling = tuple[tuple[float, float], float, float, float, float]


def _scalings(shape: Shape) -> list[tuple[float, Scaling]]:
    """Local enlargements: amount, then centre, extent across and down, and gain across and down."""
    eyes = [(shape.eye_size, (eye, 0.3, 0.22, 0.12, 0.22)) for eye in g.EYES]
    return [
        (shape.jaw, ((0.0, 1.35), 1.3, 0.5, 0.17, 0.0)),
        (shape.length, ((0.0, 0.3), 1.6, 1.1, 0.0, 0.11)),
        (shape.nose, (g.NOSE, 0.3, 0.34, 0.26, 0.12)),
        (shape.mouth, ((0.0, 1.02), 0.55, 0.3, 0.15, 0.12)),
        (shape.hair, ((0.0, -1.5), 1.7, 0.9, 0.1, 0.16)),
        *eyes,
    ]
