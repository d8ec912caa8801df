"""The overlay: a video's own frames with face boxes and, on rows beneath, dial, values, gates and confidence.

The rows lie below the picture and hide none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from iaca.inference import canvas, panel
from iaca.inference.canvas import Image
from iaca.inference.panel import PersonPanel
from iaca.inference.track import DrawnTrack

if TYPE_CHECKING:
    from iaca.media import VideoFrame

ROWS = 3
"""People with a row of their own; of those after them only the boxes are drawn."""
TALLEST = 4
"""Greatest height of an enlarged frame, in widths of the rows; a taller one stays narrower than they are."""


class OverlayPainter:
    """Draws the predictions of one clip onto its frames: call it with each frame, in any order.

    Args:
        table: predictions of ONE clip: frame, time_s, valence, arousal and, where there are any, face_found,
            audio_present, x0, y0, x1, y1 (px of the original frame, NaN where there is no face), confidence,
            gate_modalities_audio and gate_modalities_visual (left out by models with one modality). Of several people
            in the video, the table of each: their boxes and rows are then numbered.
        width, height: of the frames, in px.
        min_width: smaller frames are enlarged to this width, so that the text can be read.
        trail_s: how much of the past the dial shows, in s.
        kind: what the model is, written on every frame where it is none that was trained.

    Attributes:
        size: (width, height) of the painted frames in px, both even as H.264 wants them.
        picture: (width, height) in px of the part that shows the frame; the rows lie beneath it.

    Raises:
        InputError: if a table lacks a column or holds more than one clip.
    """

    def __init__(
        self,
        table: pd.DataFrame | Sequence[pd.DataFrame],
        width: int,
        height: int,
        min_width: int = 640,
        trail_s: float = 2.0,
        kind: str = "",
    ):
        self._tracks = [DrawnTrack.of(one) for one in ([table] if isinstance(table, pd.DataFrame) else table)]
        self._trail_s, self._numbered = trail_s, len(self._tracks) > 1
        self._scale = max(1.0, min(min_width / width, TALLEST * min_width / height))
        self.picture = (_even(width * self._scale), _even(height * self._scale))
        across = max(self.picture[0], min_width)
        self._unit = across / panel.WIDTH
        self._row_height = _even(panel.HEIGHT * self._unit)
        self._panels = [
            PersonPanel(track, across, self._row_height, number if self._numbered else None, kind)
            for number, track in enumerate(self._tracks[:ROWS], start=1)
        ]
        self.size = (across, self.picture[1] + len(self._panels) * self._row_height)

    def __call__(self, frame: VideoFrame) -> Image:
        """The frame (h, w, 3) uint8 RGB with everything drawn on it, as a new (size[1], size[0], 3) uint8 RGB image."""
        image = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        picture = image[: self.picture[1], : self.picture[0]]
        if frame.image.shape[1::-1] == self.picture:
            picture[:] = frame.image
        else:
            picture[:] = cv2.resize(frame.image, self.picture, interpolation=cv2.INTER_CUBIC)
        rows = [track.row_of.get(frame.index) for track in self._tracks]
        for number, person in enumerate(self._panels):
            place = image[self.picture[1] + number * self._row_height :][: self._row_height]
            row = rows[number]
            person.clear(place) if row is None else person.draw(place, row, self._trail_s)
        self._boxes(picture, rows)
        self._notices(picture, self._missing(rows))
        return image

    def _boxes(self, picture: Image, rows: list[int | None]) -> None:
        """The largest person last, so that nobody covers it."""
        for number, (track, row) in reversed(list(enumerate(zip(self._tracks, rows, strict=True), start=1))):
            if row is None or track.boxes is None or not np.isfinite(track.boxes[row]).all():
                continue
            colour, box = canvas.PEOPLE[(number - 1) % len(canvas.PEOPLE)], track.boxes[row] * self._scale
            canvas.frame_box(picture, box, colour, 2 * self._unit)
            if self._numbered:
                x, y = (float(max(corner, 15 * self._unit)) for corner in box[:2])
                canvas.badge(picture, number, x, y, 17 * self._unit, colour)

    def _missing(self, rows: list[int | None]) -> list[str]:
        """What nobody in the frame has."""
        known = [(track, row) for track, row in zip(self._tracks, rows, strict=True) if row is not None]
        if not known:
            return ["no prediction"]
        there = {
            "no face": any(track.face[row] for track, row in known),
            "no sound": any(track.sound[row] for track, row in known),
        }
        return [words for words, found in there.items() if not found]

    def _notices(self, picture: Image, notices: list[str]) -> None:
        left = 12 * self._unit
        for words in notices:
            left = canvas.pill(picture, words, left, 12 * self._unit, 17 * self._unit) + 8 * self._unit


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
