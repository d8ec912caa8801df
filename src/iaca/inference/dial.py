"""The valence-arousal dial: where on the circumplex a frame lies, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from iaca.inference import canvas
from iaca.inference.canvas import Image

SHADES = 8
"""Steps in which a trail gets brighter."""


@dataclass(frozen=True)
class Dial:
    """A circle of the valence-arousal plane: valence to the right, arousal upwards, both in [-1, 1].

    Attributes:
        x, y: centre in px.
        radius: px from the centre to valence or arousal 1.
        unit: px of one design unit, which sets the widths of lines.
    """

    x: float
    y: float
    radius: float
    unit: float

    def draw_face(self, image: Image) -> None:
        """The parts that never change: disc, axes and rim."""
        canvas.disc(image, (self.x, self.y), self.radius, canvas.RAISED)
        for start, end in (((-1.0, 0.0), (1.0, 0.0)), ((0.0, -1.0), (0.0, 1.0))):
            canvas.line(image, self.place(*start), self.place(*end), (78, 90, 104), self.unit)
        canvas.disc(image, (self.x, self.y), self.radius, (98, 111, 126), 1.2 * self.unit)

    def place(self, valence: float, arousal: float) -> tuple[float, float]:
        """Pixel (x, y) of a point of the plane; what lies outside the circle is drawn on its rim."""
        length = float(np.hypot(valence, arousal))
        scale = self.radius / max(length, 1.0)
        return self.x + valence * scale, self.y - arousal * scale

    def places(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """`place` of each row (n, 2); NaN where it is unknown."""
        scale = self.radius / np.maximum(np.hypot(values[:, 0], values[:, 1]), 1.0)
        return np.stack([self.x + values[:, 0] * scale, self.y - values[:, 1] * scale], axis=1)

    def draw_point(self, image: Image, trail: npt.NDArray[np.float64]) -> None:
        """The trail, brighter towards its end, and the present point.

        Args:
            image: drawn on in place.
            trail: (n, 2) valence and arousal, oldest first; the last row is the present. NaN rows break the trail.
        """
        points = self.places(trail)
        edges = np.rint(np.linspace(0, len(points) - 1, SHADES + 1)).astype(int)
        for step, (first, last) in enumerate(pairwise(edges), start=1):
            if last > first:
                shade = _blend(canvas.RAISED, canvas.WHITE, 0.75 * step / SHADES)
                canvas.path(image, points[first : last + 1], shade, (1 + 1.6 * step / SHADES) * self.unit)
        if len(points) and np.isfinite(points[-1]).all():
            here = (float(points[-1, 0]), float(points[-1, 1]))
            canvas.disc(image, here, 6.5 * self.unit, canvas.PANEL)
            canvas.disc(image, here, 5 * self.unit, canvas.WHITE)


def _blend(low: canvas.Colour, high: canvas.Colour, share: float) -> canvas.Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue
