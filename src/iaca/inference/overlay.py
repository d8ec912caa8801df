"""The overlay: a video's own frames with face box and, on a panel beneath, the dial, the values and the gates.

The panel lies below the picture and hides none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.errors import InputError
from iaca.inference import canvas
from iaca.inference.canvas import Colour, Image
from iaca.inference.dial import Dial

if TYPE_CHECKING:
    from iaca.media import VideoFrame

PANEL_WIDTH, PANEL_HEIGHT = 640, 120
"""The panel in design units; everything on it is placed in these and scaled."""
_NEEDED = ("frame", "time_s", "valence", "arousal")
_BOX = ("x0", "y0", "x1", "y1")
_GATES = ("gate_modalities_audio", "gate_modalities_visual")
_METER_LEFT, _METER_RIGHT, _NARROW_RIGHT = 136, 628, 376


class OverlayPainter:
    """Draws the predictions of one clip onto its frames: call it with each frame, in any order.

    Args:
        table: predictions of ONE clip: frame, time_s, valence, arousal and, where there are any, face_found,
            audio_present, x0, y0, x1, y1 (px of the original frame, NaN where there is no face),
            gate_modalities_audio and gate_modalities_visual (left out by models with one modality).
        width, height: of the frames, in px.
        min_width: smaller frames are enlarged to this width, so that the text can be read.
        trail_s: how much of the past the dial shows, in s.

    Attributes:
        size: (width, height) of the painted frames in px, both even as H.264 wants them.
        picture: (width, height) in px of the part that shows the frame; the panel lies beneath it.

    Raises:
        InputError: if the table lacks a column or holds more than one clip.
    """

    def __init__(self, table: pd.DataFrame, width: int, height: int, min_width: int = 640, trail_s: float = 2.0):
        _check(table)
        table = table.sort_values("frame", ignore_index=True)
        self._row_of = {int(frame): row for row, frame in enumerate(table["frame"])}
        self._time_s = table["time_s"].to_numpy(np.float64)
        self._values = table[["valence", "arousal"]].to_numpy(np.float64)
        self._boxes = _columns(table, _BOX)
        self._gates = _columns(table, _GATES)
        self._face = table["face_found"].to_numpy(bool) if "face_found" in table else np.ones(len(table), bool)
        self._sound = table["audio_present"].to_numpy(bool) if "audio_present" in table else np.ones(len(table), bool)
        self._trail_s = trail_s
        self._scale = max(1.0, min_width / width)
        self.picture = (_even(width * self._scale), _even(height * self._scale))
        self._unit = self.picture[0] / PANEL_WIDTH
        self.size = (self.picture[0], self.picture[1] + _even(PANEL_HEIGHT * self._unit))
        self._dial = Dial(66 * self._unit, 60 * self._unit, 50 * self._unit, self._unit)
        self._meter_right = _METER_RIGHT if self._gates is None else _NARROW_RIGHT
        self._panel = self._empty_panel()

    def __call__(self, frame: VideoFrame) -> Image:
        """The frame (h, w, 3) uint8 RGB with everything drawn on it, as a new (size[1], size[0], 3) uint8 RGB image."""
        image = np.empty((self.size[1], self.size[0], 3), np.uint8)
        picture, panel = image[: self.picture[1]], image[self.picture[1] :]
        if frame.image.shape[1::-1] == self.picture:
            picture[:] = frame.image
        else:
            picture[:] = cv2.resize(frame.image, self.picture, interpolation=cv2.INTER_CUBIC)
        panel[:] = self._panel
        row = self._row_of.get(frame.index)
        if row is None:
            self._notices(picture, ["no prediction"])
            return image
        if self._boxes is not None and np.isfinite(self._boxes[row]).all():
            canvas.frame_box(picture, self._boxes[row] * self._scale, canvas.VISUAL, 2 * self._unit)
        missing = (("no face", self._face[row]), ("no sound", self._sound[row]))
        self._notices(picture, [words for words, there in missing if not there])
        self._fill_panel(panel, row)
        return image

    def _notices(self, picture: Image, notices: list[str]) -> None:
        left = 12 * self._unit
        for words in notices:
            left = canvas.pill(picture, words, left, 12 * self._unit, 17 * self._unit) + 8 * self._unit

    def _fill_panel(self, panel: Image, row: int) -> None:
        first = int(np.searchsorted(self._time_s, self._time_s[row] - self._trail_s))
        self._dial.draw_point(panel, self._values[first : row + 1])
        self._meter(panel, 34, float(self._values[row, 0]), canvas.VALENCE)
        self._meter(panel, 84, float(self._values[row, 1]), canvas.AROUSAL)
        if self._gates is not None:
            self._gate_bar(panel, self._gates[row])

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
        u, left, right = self._unit, 412, _METER_RIGHT
        total = float(weights.sum())
        if not np.isfinite(total) or total <= 0:
            canvas.text(panel, "nothing to weigh", left * u, 62 * u, 17 * u, canvas.DIM)
            return
        voice = float(weights[0]) / total
        split = left + voice * (right - left)
        percent = round(100 * voice)
        canvas.text(panel, f"voice {percent} %", left * u, 62 * u, 18 * u, canvas.AUDIO, bold=True)
        canvas.text(
            panel, f"face {100 - percent} %", right * u, 62 * u, 18 * u, canvas.VISUAL, bold=True, align="right"
        )
        canvas.bar(panel, left * u, 74 * u, split * u, 102 * u, canvas.AUDIO)
        canvas.bar(panel, split * u, 74 * u, right * u, 102 * u, canvas.VISUAL)

    def _empty_panel(self) -> Image:
        u, right = self._unit, self._meter_right
        panel = np.full((self.size[1] - self.picture[1], self.size[0], 3), canvas.PANEL, np.uint8)
        self._dial.draw_face(panel)
        for name, baseline in (("valence", 34), ("arousal", 84)):
            canvas.text(panel, name, _METER_LEFT * u, baseline * u, 18 * u, canvas.WHITE)
            canvas.bar(panel, _METER_LEFT * u, (baseline + 9) * u, right * u, (baseline + 18) * u, canvas.RAISED)
            middle = (_METER_LEFT + right) / 2
            canvas.bar(
                panel, (middle - 0.6) * u, (baseline + 6) * u, (middle + 0.6) * u, (baseline + 21) * u, canvas.DIM
            )
        if self._gates is not None:
            canvas.text(panel, "relies on", 412 * u, 34 * u, 18 * u, canvas.WHITE)
        return panel


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> npt.NDArray[np.float64] | None:
    return table[list(names)].to_numpy(np.float64) if set(names) <= set(table) else None


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _check(table: pd.DataFrame) -> None:
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise InputError(f"the predictions lack the columns {', '.join(missing)}")
    if "clip" in table and table["clip"].nunique() > 1:
        raise InputError(f"an overlay shows one clip, the table holds {table['clip'].nunique()}")
