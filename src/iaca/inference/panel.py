"""One person's row beneath the picture: the dial, the values, the gates and the confidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from iaca.inference import canvas
from iaca.inference.canvas import Colour, Image
from iaca.inference.dial import Dial
from iaca.inference.track import DrawnTrack

WIDTH, HEIGHT = 640, 120
"""The row in design units; everything on it is placed in these and scaled."""
_METER_LEFT, _RIGHT, _METER_RIGHT, _COLUMN = 136, 628, 376, 412


class PersonPanel:
    """Draws the row of one person.

    Args:
        track: what to show.
        width, height: of the row in px.
        number: shown with the person's colour where there are several people; None where there is one.
        kind: what the model is; nothing is written where it is empty.
    """

    def __init__(self, track: DrawnTrack, width: int, height: int, number: int | None = None, kind: str = ""):
        self._track, self._number, self._size = track, number, (width, height)
        self._unit = width / WIDTH
        self._dial = Dial(66 * self._unit, 60 * self._unit, 50 * self._unit, self._unit)
        alone = track.gates is None and track.confidence is None
        self._meter_right = _RIGHT if alone else _METER_RIGHT
        self._empty = self._background(kind)

    def clear(self, panel: Image) -> None:
        """The row without any values."""
        panel[:] = self._empty

    def draw(self, panel: Image, row: int, trail_s: float) -> None:
        """The row of the table's `row`, with `trail_s` (s) of its past."""
        track = self._track
        self.clear(panel)
        first = int(np.searchsorted(track.time_s, track.time_s[row] - trail_s))
        self._dial.draw_point(panel, track.values[first : row + 1])
        if self._number is not None:
            self._badge(panel, in_view=bool(track.face[row]))
        self._meter(panel, 34, float(track.values[row, 0]), canvas.VALENCE)
        self._meter(panel, 84, float(track.values[row, 1]), canvas.AROUSAL)
        if track.gates is not None:
            self._gate_bar(panel, track.gates[row])
        if track.confidence is not None:
            self._confidence_bar(panel, float(track.confidence[row]))

    def _badge(self, panel: Image, in_view: bool) -> None:
        u, number = self._unit, self._number or 0
        canvas.badge(
            panel, number, 17 * u, 18 * u, 17 * u, canvas.PEOPLE[(number - 1) % len(canvas.PEOPLE)], filled=in_view
        )

    def _meter(self, panel: Image, baseline: float, value: float, colour: Colour) -> None:
        """A value in [-1, 1] as a number and as a bar that grows from the middle."""
        u, right = self._unit, self._meter_right
        known = np.isfinite(value)
        words = f"{value:+.2f}".replace("-", "−") if known else "–"
        canvas.text(
            panel, words, right * u, baseline * u, 22 * u, colour if known else canvas.DIM, bold=True, align="right"
        )
        if known:
            middle = (_METER_LEFT + right) / 2
            end = middle + float(np.clip(value, -1, 1)) * (right - _METER_LEFT) / 2
            top = baseline + 9
            canvas.bar(panel, min(middle, end) * u, top * u, max(middle, end) * u, (top + 9) * u, colour)

    def _gate_bar(self, panel: Image, weights: npt.NDArray[np.float64]) -> None:
        """The share of voice and face as one divided bar with both numbers above it."""
        u, left, right = self._unit, _COLUMN, _RIGHT
        total = float(weights.sum())
        if not np.isfinite(total) or total <= 0:
            canvas.text(panel, "nothing to weigh", left * u, 50 * u, 17 * u, canvas.DIM)
            return
        voice = float(weights[0]) / total
        split = left + voice * (right - left)
        percent = round(100 * voice)
        canvas.text(panel, f"voice {percent} %", left * u, 48 * u, 18 * u, canvas.AUDIO, bold=True)
        canvas.text(
            panel, f"face {100 - percent} %", right * u, 48 * u, 18 * u, canvas.VISUAL, bold=True, align="right"
        )
        canvas.bar(panel, left * u, 56 * u, split * u, 74 * u, canvas.AUDIO)
        canvas.bar(panel, split * u, 56 * u, right * u, 74 * u, canvas.VISUAL)

    def _confidence_bar(self, panel: Image, value: float) -> None:
        """A number and a bar from the left, 0 to 1."""
        u, shade = self._unit, canvas.WHITE if value >= 0.5 else canvas.DIM
        canvas.text(panel, f"{value:.2f}", _RIGHT * u, 98 * u, 18 * u, shade, bold=True, align="right")
        canvas.bar(panel, _COLUMN * u, 104 * u, (_COLUMN + value * (_RIGHT - _COLUMN)) * u, 111 * u, shade)

    def _background(self, kind: str) -> Image:
        u, right = self._unit, self._meter_right
        panel = np.full((self._size[1], self._size[0], 3), canvas.PANEL, np.uint8)
        self._dial.draw_face(panel)
        for name, baseline in (("valence", 34), ("arousal", 84)):
            canvas.text(panel, name, _METER_LEFT * u, baseline * u, 18 * u, canvas.WHITE)
            canvas.bar(panel, _METER_LEFT * u, (baseline + 9) * u, right * u, (baseline + 18) * u, canvas.RAISED)
            middle = (_METER_LEFT + right) / 2
            canvas.bar(
                panel, (middle - 0.6) * u, (baseline + 6) * u, (middle + 0.6) * u, (baseline + 21) * u, canvas.DIM
            )
        if self._track.gates is not None:
            canvas.text(panel, "relies on", _COLUMN * u, 25 * u, 17 * u, canvas.WHITE)
        if self._track.confidence is not None:
            canvas.text(panel, "confidence", _COLUMN * u, 98 * u, 17 * u, canvas.WHITE)
            canvas.bar(panel, _COLUMN * u, 104 * u, _RIGHT * u, 111 * u, canvas.RAISED)
        if self._number is not None:
            self._badge(panel, in_view=False)
        canvas.text(panel, kind, right * u, 117 * u, 13 * u, canvas.AROUSAL, align="right")
        return panel
