"""The overlay: a video's own frames with face boxes and, below the picture, dial, values, gates and disagreement.

    OverlayPainter   the picture with boxes and notices, and a row for each of the first people
    PersonPanel      one row: dial, valence and arousal with intervals, gates, disagreement, words
    Dial             the valence-arousal circle with the recent past as a trail
    DrawnTrack       one person's predictions as arrays by row
    draw_*           anti-aliased drawing on RGB images, in fractions of a pixel

The rows are below the picture and hide none of it. Sizes are in design units that scale with the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from iaca.errors import InputError
from iaca.evaluation.events import believed, has_modality_gates
from iaca.inference.summary import UNUSUAL, caption
from iaca.media import VideoFrame

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

PANEL: Colour = (20, 26, 33)
RAISED: Colour = (46, 55, 66)
WHITE: Colour = (245, 247, 250)
DIM: Colour = (158, 170, 183)
VALENCE: Colour = (92, 178, 240)
AROUSAL: Colour = (244, 160, 72)
AUDIO: Colour = (76, 196, 178)
VISUAL: Colour = (214, 128, 180)
PEOPLE: tuple[Colour, ...] = (VISUAL, (240, 220, 90), (150, 205, 100), (176, 156, 240), (235, 105, 95), (225, 225, 225))
"""Colours of boxes, by person; with more people they repeat, and the number distinguishes them."""

ROWS = 3
"""People with a row of their own; for others only the boxes are drawn."""
TALLEST = 4
"""Greatest height of an enlarged frame, in widths of the rows; a taller one stays narrower than the rows."""


class OverlayPainter:
    """Draws the predictions of one clip onto its frames: call it with each frame, in any order.

    Args:
        table: predictions of ONE clip: frame, time_s, valence, arousal; optionally face_found, audio_present, x0, y0,
            x1, y1 (px of their own frame, NaN where there is no face), {valence,arousal}_{low,high}, inconsistency,
            the gates of `iaca.evaluation.events.modality_gates`. For several people in the video, the table of each:
            their boxes and rows are then numbered.
        width, height: of the first frame, in px. Frames of another size are scaled to fit its place.
        min_width: smaller frames are enlarged to this width, so that the text is readable.
        trail_s: how much of the past the dial shows, in s.
        stamp: what every frame says about its model, on a line of its own below the rows; empty for none.

    Attributes:
        size: (width, height) of the painted frames in px, both even as H.264 wants them.
        picture: (width, height) in px of the part that shows the frame; the rows and the stamp are below it.

    Raises:
        InputError: a table lacks a column or has more than one clip.
    """

    def __init__(
        self,
        table: pd.DataFrame | Sequence[pd.DataFrame],
        width: int,
        height: int,
        min_width: int = 640,
        trail_s: float = 2.0,
        stamp: str = "",
    ):
        self._tracks = [DrawnTrack.of(one) for one in ([table] if isinstance(table, pd.DataFrame) else table)]
        self._trail_s, self._numbered = trail_s, len(self._tracks) > 1
        self._first = (width, height)
        self._scale = max(1.0, min(min_width / width, TALLEST * min_width / height))
        self.picture = (_even(width * self._scale), _even(height * self._scale))
        across = max(self.picture[0], min_width)
        self._unit = across / PANEL_WIDTH
        self._row_height = _even(PANEL_HEIGHT * self._unit)
        self._panels = [
            PersonPanel(track, across, self._row_height, number if self._numbered else None)
            for number, track in enumerate(self._tracks[:ROWS], start=1)
        ]
        self._stamp = stamp_line(stamp, across, self._unit)
        self.size = (across, self.picture[1] + len(self._panels) * self._row_height + len(self._stamp))

    def __call__(self, frame: VideoFrame) -> Image:
        """The frame (h, w, 3) uint8 RGB with all drawings, as a new (size[1], size[0], 3) uint8 RGB image."""
        image = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        picture = image[: self.picture[1], : self.picture[0]]
        scale, left, top = self._place(picture, frame.image)
        rows = [track.row_of.get(frame.index) for track in self._tracks]
        for number, person in enumerate(self._panels):
            panel = image[self.picture[1] + number * self._row_height :][: self._row_height]
            row = rows[number]
            person.clear(panel) if row is None else person.draw(panel, row, self._trail_s)
        image[self.size[1] - len(self._stamp) :] = self._stamp
        self._boxes(picture, rows, scale, np.array([left, top, left, top]))
        self._notices(picture, self._missing(rows))
        return image

    def _place(self, picture: Image, shown: Image) -> tuple[float, int, int]:
        """Draw a frame into the picture, as large as fits and in its middle; return its scale, left and top (px).

        Frames of a call may change their size and shape; the movie keeps that of the first.
        """
        height, width = shown.shape[:2]
        if (width, height) == self._first:
            scale, size = self._scale, self.picture
        else:
            scale = min(self.picture[0] / width, self.picture[1] / height)
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
        left, top = ((whole - part) // 2 for whole, part in zip(self.picture, size, strict=True))
        inside = picture[top : top + size[1], left : left + size[0]]
        if (width, height) == size:
            inside[:] = shown
        else:
            shrinks = scale < 1
            inside[:] = cv2.resize(shown, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return scale, left, top

    def _boxes(self, picture: Image, rows: list[int | None], scale: float, corner: Array) -> None:
        """Draw the largest person last, on top of the others."""
        for number, (track, row) in reversed(list(enumerate(zip(self._tracks, rows, strict=True), start=1))):
            if row is None or track.boxes is None or not np.isfinite(track.boxes[row]).all():
                continue
            colour, box = PEOPLE[(number - 1) % len(PEOPLE)], track.boxes[row] * scale + corner
            draw_frame_box(picture, box, colour, 2 * self._unit)
            if self._numbered:
                x, y = (float(max(corner, 15 * self._unit)) for corner in box[:2])
                draw_badge(picture, number, x, y, 17 * self._unit, colour)

    def _missing(self, rows: list[int | None]) -> list[str]:
        """Notices of what is missing for everyone in the frame."""
        known = [(track, row) for track, row in zip(self._tracks, rows, strict=True) if row is not None]
        if not known:
            return ["no prediction"]
        present = {
            "no face": any(track.face[row] for track, row in known),
            "no sound": any(track.sound[row] for track, row in known),
        }
        return [notice for notice, found in present.items() if not found]

    def _notices(self, picture: Image, notices: list[str]) -> None:
        left = 12 * self._unit
        for notice in notices:
            left = draw_pill(picture, notice, left, 12 * self._unit, 17 * self._unit) + 8 * self._unit


STAMP_HEIGHT, STAMP_SIZE = 26, 15
"""Of the line with the stamp, and of its text, in design units; long text is smaller."""


def stamp_line(stamp: str, width: int, unit: float) -> Image:
    """The line (h, width, 3) below the rows that says what the model is; without rows (h = 0) for an empty stamp."""
    line = np.full((_even(STAMP_HEIGHT * unit) if stamp else 0, width, 3), PANEL, np.uint8)
    if stamp:
        size = STAMP_SIZE * unit
        size *= min(1.0, (width - 24 * unit) / text_width(stamp, size))
        line[: max(1, round(unit))] = RAISED
        draw_text(line, stamp, 12 * unit, 18 * unit, size, AROUSAL)
    return line


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


PANEL_WIDTH, PANEL_HEIGHT = 640, 138
"""Size of a row in design units; everything on it is placed in these and scaled."""
_METER_LEFT, _RIGHT, _METER_RIGHT, _COLUMN = 136, 628, 376, 412


class PersonPanel:
    """Draws the row of one person.

    Args:
        track: what to show.
        width, height: of the row in px.
        number: shown in the person's colour if there are several people; None for a single person.
    """

    def __init__(self, track: DrawnTrack, width: int, height: int, number: int | None = None):
        self._track, self._number, self._size = track, number, (width, height)
        self._unit = width / PANEL_WIDTH
        self._dial = Dial(66 * self._unit, 60 * self._unit, 50 * self._unit, self._unit)
        alone = track.gates is None and track.inconsistency is None
        self._meter_right = _RIGHT if alone else _METER_RIGHT
        self._empty = self._background()

    def clear(self, panel: Image) -> None:
        """Draw the row without any values."""
        panel[:] = self._empty

    def draw(self, panel: Image, row: int, trail_s: float) -> None:
        """Draw the values of the table's `row`, with `trail_s` (s) of the past."""
        track = self._track
        self.clear(panel)
        first = int(np.searchsorted(track.time_s, track.time_s[row] - trail_s))
        self._dial.draw_point(panel, track.values[first : row + 1])
        self._words(panel, track.values[row])
        if self._number is not None:
            self._badge(panel, in_view=bool(track.face[row]))
        for i, (baseline, colour) in enumerate(((34, VALENCE), (84, AROUSAL))):
            self._meter(panel, baseline, float(track.values[row, i]), colour)
            if track.bounds is not None and np.isfinite(track.bounds[row, i]).all():
                self._whisker(panel, baseline, track.bounds[row, i])
        if track.gates is not None:
            self._gate_bar(panel, track.gates[row])
        if track.inconsistency is not None:
            self._disagreement_bar(panel, float(track.inconsistency[row]))

    def _badge(self, panel: Image, in_view: bool) -> None:
        u, number = self._unit, self._number or 0
        draw_badge(panel, number, 17 * u, 18 * u, 17 * u, PEOPLE[(number - 1) % len(PEOPLE)], filled=in_view)

    def _words(self, panel: Image, values: Array) -> None:
        """Name the quadrant of valence and arousal (2,), and the nearest word if it is near: a reading aid."""
        valence, arousal = values
        draw_text(panel, caption(valence, arousal), 14 * self._unit, 130 * self._unit, 14 * self._unit, DIM)

    def _meter(self, panel: Image, baseline: float, value: float, colour: Colour) -> None:
        """Draw a value in [-1, 1] as a number and as a bar that grows from the middle."""
        u, right = self._unit, self._meter_right
        known = np.isfinite(value)
        text = _signed(value) if known else "–"
        draw_text(panel, text, right * u, baseline * u, 22 * u, colour if known else DIM, bold=True, align="right")
        if known:
            middle = (_METER_LEFT + right) / 2
            end = middle + float(np.clip(value, -1, 1)) * (right - _METER_LEFT) / 2
            top = baseline + 9
            draw_bar(panel, min(middle, end) * u, top * u, max(middle, end) * u, (top + 9) * u, colour)

    def _whisker(self, panel: Image, baseline: float, bounds: Array) -> None:
        """Draw an interval (low, high) in [-1, 1] as a line with two ends below the bar."""
        u, right, y = self._unit, self._meter_right, baseline + 24
        middle, half = (_METER_LEFT + right) / 2, (right - _METER_LEFT) / 2
        low, high = (middle + float(np.clip(bound, -1, 1)) * half for bound in bounds)
        draw_line(panel, (low * u, y * u), (high * u, y * u), WHITE, 1.4 * u)
        for x in (low, high):
            draw_line(panel, (x * u, (y - 3) * u), (x * u, (y + 3) * u), WHITE, 1.4 * u)

    def _gate_bar(self, panel: Image, weights: Array) -> None:
        """Draw the shares of voice and face as one divided bar with both numbers above it."""
        u, left, right = self._unit, _COLUMN, _RIGHT
        total = float(weights.sum())
        if not np.isfinite(total) or total <= 0:
            draw_text(panel, "nothing to weigh", left * u, 50 * u, 17 * u, DIM)
            return
        voice = float(weights[0]) / total
        split = left + voice * (right - left)
        percent = round(100 * voice)
        draw_text(panel, f"voice {percent} %", left * u, 48 * u, 18 * u, AUDIO, bold=True)
        draw_text(panel, f"face {100 - percent} %", right * u, 48 * u, 18 * u, VISUAL, bold=True, align="right")
        draw_bar(panel, left * u, 56 * u, split * u, 74 * u, AUDIO)
        draw_bar(panel, split * u, 56 * u, right * u, 74 * u, VISUAL)

    def _disagreement_bar(self, panel: Image, value: float) -> None:
        """Draw inconsistency in [0, 1] as a number and as a bar from the left, bright where it is unusual."""
        u = self._unit
        if not np.isfinite(value):
            draw_text(panel, "–", _RIGHT * u, 98 * u, 18 * u, DIM, bold=True, align="right")
            return
        shade = AROUSAL if value > UNUSUAL else WHITE if value >= 0.5 else DIM
        draw_text(panel, f"{value:.2f}", _RIGHT * u, 98 * u, 18 * u, shade, bold=True, align="right")
        draw_bar(panel, _COLUMN * u, 104 * u, (_COLUMN + value * (_RIGHT - _COLUMN)) * u, 111 * u, shade)

    def _background(self) -> Image:
        u, right = self._unit, self._meter_right
        panel = np.full((self._size[1], self._size[0], 3), PANEL, np.uint8)
        self._dial.draw_face(panel)
        for name, baseline in (("valence", 34), ("arousal", 84)):
            draw_text(panel, name, _METER_LEFT * u, baseline * u, 18 * u, WHITE)
            draw_bar(panel, _METER_LEFT * u, (baseline + 9) * u, right * u, (baseline + 18) * u, RAISED)
            middle = (_METER_LEFT + right) / 2
            draw_bar(panel, (middle - 0.6) * u, (baseline + 6) * u, (middle + 0.6) * u, (baseline + 21) * u, DIM)
        if self._track.gates is not None:
            draw_text(panel, "relies on", _COLUMN * u, 25 * u, 17 * u, WHITE)
        if self._track.inconsistency is not None:
            draw_text(panel, "disagreement", _COLUMN * u, 98 * u, 17 * u, WHITE)
            draw_bar(panel, _COLUMN * u, 104 * u, _RIGHT * u, 111 * u, RAISED)
        if self._number is not None:
            self._badge(panel, in_view=False)
        return panel


def _signed(value: float) -> str:
    """`+0.12`, `−0.03`; no sign if it rounds to 0."""
    text = f"{value:+.2f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


SHADES = 8
"""Steps in which a trail brightens."""


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
        """Draw the parts that never change: disc, axes and rim."""
        draw_disc(image, (self.x, self.y), self.radius, RAISED)
        for start, end in (((-1.0, 0.0), (1.0, 0.0)), ((0.0, -1.0), (0.0, 1.0))):
            draw_line(image, self.place(*start), self.place(*end), (78, 90, 104), self.unit)
        draw_disc(image, (self.x, self.y), self.radius, (98, 111, 126), 1.2 * self.unit)

    def place(self, valence: float, arousal: float) -> tuple[float, float]:
        """Pixel (x, y) of a point of the plane; points outside the circle are moved to its rim."""
        length = float(np.hypot(valence, arousal))
        scale = self.radius / max(length, 1.0)
        return self.x + valence * scale, self.y - arousal * scale

    def places(self, values: Array) -> Array:
        """`place` of each row (n, 2); NaN where a value is unknown."""
        scale = self.radius / np.maximum(np.hypot(values[:, 0], values[:, 1]), 1.0)
        return np.stack([self.x + values[:, 0] * scale, self.y - values[:, 1] * scale], axis=1)

    def draw_point(self, image: Image, trail: Array) -> None:
        """Draw the trail, brighter towards its end, and the current point.

        Args:
            image: drawn on in place.
            trail: (n, 2) valence and arousal, oldest first; the last row is the current point; NaN breaks the trail.
        """
        points = self.places(trail)
        edges = np.rint(np.linspace(0, len(points) - 1, SHADES + 1)).astype(int)
        for step, (first, last) in enumerate(pairwise(edges), start=1):
            if last > first:
                shade = _blend(RAISED, WHITE, 0.75 * step / SHADES)
                draw_path(image, points[first : last + 1], shade, (1 + 1.6 * step / SHADES) * self.unit)
        if len(points) and np.isfinite(points[-1]).all():
            current = (float(points[-1, 0]), float(points[-1, 1]))
            draw_disc(image, current, 6.5 * self.unit, PANEL)
            draw_disc(image, current, 5 * self.unit, WHITE)


def _blend(low: Colour, high: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue


_NEEDED = ("frame", "time_s", "valence", "arousal")
_BOX = ("x0", "y0", "x1", "y1")
_BOUNDS = ("valence_low", "valence_high", "arousal_low", "arousal_high")


@dataclass(frozen=True)
class DrawnTrack:
    """Predictions of one clip of n frames; None for columns that its table lacks.

    Attributes:
        row_of: frame number -> row.
        time_s: (n,) s, increasing.
        values: (n, 2) valence and arousal.
        face, sound: (n,) bool, whether it was present; True if the table lacks the column.
        boxes: (n, 4) x0, y0, x1, y1 in px; NaN without a face.
        gates: (n, 2) weights of voice and face, the mean of those for valence and for arousal.
        bounds: (n, 2, 2) low and high of valence and of arousal; NaN without an interval.
        inconsistency: (n,) in [0, 1]; NaN where unknown.
    """

    row_of: dict[int, int]
    time_s: Array
    values: Array
    face: npt.NDArray[np.bool_]
    sound: npt.NDArray[np.bool_]
    boxes: Array | None
    gates: Array | None
    bounds: Array | None
    inconsistency: Array | None

    @classmethod
    def of(cls, table: pd.DataFrame) -> Self:
        """Read a table of predictions.

        Raises:
            InputError: it lacks a column or has more than one clip.
        """
        _check(table)
        table = table.sort_values("frame", ignore_index=True)
        bounds, inconsistency = _columns(table, _BOUNDS), _columns(table, ("inconsistency",))
        known = inconsistency is not None and np.isfinite(inconsistency).any()
        return cls(
            {int(frame): row for row, frame in enumerate(table["frame"])},
            table["time_s"].to_numpy(np.float64),
            table[["valence", "arousal"]].to_numpy(np.float64),
            _mask(table, "face_found"),
            _mask(table, "audio_present"),
            _columns(table, _BOX),
            believed(table).to_numpy(np.float64) if has_modality_gates(table) else None,
            None if bounds is None else bounds.reshape(-1, 2, 2),
            inconsistency[:, 0] if inconsistency is not None and known else None,
        )


def _mask(table: pd.DataFrame, name: str) -> npt.NDArray[np.bool_]:
    return table[name].to_numpy(bool) if name in table else np.ones(len(table), bool)


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> Array | None:
    return table[list(names)].to_numpy(np.float64) if set(names) <= set(table) else None


def _check(table: pd.DataFrame) -> None:
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise InputError(f"the predictions lack the columns {', '.join(missing)}")
    if "clip" in table and table["clip"].nunique() > 1:
        raise InputError(f"an overlay shows one clip, but the table has {table['clip'].nunique()}")


_SHIFT = 4  # bits of a pixel's fraction in OpenCV's fixed-point coordinates
_ONE = 1 << _SHIFT


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")  # built into OpenCV: the same on every machine


def draw_text(
    image: Image,
    text: str,
    x: float,
    y: float,
    size: float,
    colour: Colour,
    *,
    bold: bool = False,
    align: str = "left",
) -> None:
    """Write `text` with their baseline at (x, y) px, `size` px high; align is "left", "centre" or "right" of x."""
    if align != "left":
        x -= text_width(text, size, bold=bold) * (0.5 if align == "centre" else 1.0)
    cv2.putText(image, text, (round(x), round(y)), colour, _font(), round(size), 650 if bold else 450)


@cache
def text_width(text: str, size: float, *, bold: bool = False) -> int:
    """Width in px of `text` at `size` px."""
    box = cv2.getTextSize((4096, 4096), text, (0, 0), _font(), round(size), 650 if bold else 450)
    return int(box[2])


def draw_line(image: Image, start: tuple[float, float], end: tuple[float, float], colour: Colour, width: float) -> None:
    """Draw a line between two points (x, y) in px."""
    cv2.line(image, _fixed(start), _fixed(end), colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def draw_path(image: Image, points: Array, colour: Colour, width: float) -> None:
    """Draw lines from each of the points (n, 2) in px to the next; NaN breaks them."""
    known = np.isfinite(points).all(axis=1)
    runs = [points] if known.all() else [run for run in np.split(points, np.flatnonzero(~known)) if len(run) > 1]
    fixed = [np.rint(run[np.isfinite(run).all(axis=1)] * _ONE).astype(np.int32) for run in runs]
    if fixed:
        cv2.polylines(image, fixed, False, colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def draw_disc(image: Image, centre: tuple[float, float], radius: float, colour: Colour, width: float = -1) -> None:
    """Draw a circle around (x, y) px: filled by default, or a ring of `width` px."""
    thickness = -1 if width < 0 else max(1, round(width))
    cv2.circle(image, _fixed(centre), round(radius * _ONE), colour, thickness, cv2.LINE_AA, _SHIFT)


def draw_bar(image: Image, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    """Draw a filled rectangle with edges in px, rounded to whole pixels; nothing is drawn where right <= left."""
    if right > left:
        image[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = colour


def draw_frame_box(image: Image, box: Array, colour: Colour, width: float) -> None:
    """Draw the corners of a box x0, y0, x1, y1 in px, with a dark rim that keeps them visible on a bright picture."""
    x0, y0, x1, y1 = (float(value) for value in box)
    arm_x, arm_y = (x1 - x0) * 0.22, (y1 - y0) * 0.22
    corners = ((x0, y0, arm_x, arm_y), (x1, y0, -arm_x, arm_y), (x0, y1, arm_x, -arm_y), (x1, y1, -arm_x, -arm_y))
    angles = np.array([[(x + dx, y), (x, y), (x, y + dy)] for x, y, dx, dy in corners])
    for shade, thickness in ((PANEL, width * 2.2), (colour, width)):
        fixed = list(np.rint(angles * _ONE).astype(np.int32))
        cv2.polylines(image, fixed, False, shade, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)


def draw_badge(
    image: Image, number: int, x: float, y: float, size: float, colour: Colour, *, filled: bool = True
) -> None:
    """Draw a number of `size` px in a disc of the colour around (x, y) px; in a ring unless `filled`."""
    draw_disc(image, (x, y), size * 0.8, PANEL)
    if filled:
        draw_disc(image, (x, y), size * 0.7, colour)
    else:
        draw_disc(image, (x, y), size * 0.65, colour, 0.1 * size)
    draw_text(image, str(number), x, y + size * 0.35, size, PANEL if filled else colour, bold=True, align="centre")


def draw_pill(image: Image, text: str, left: float, top: float, size: float) -> float:
    """Draw a notice in a dark rounded box whose corner is (left, top) px; return its right edge in px."""
    height, pad = size * 1.75, size * 0.75
    right = left + text_width(text, size, bold=True) + 2 * pad
    middle, cap = top + height / 2, height / 2  # a thick line has round ends
    draw_line(image, (left + cap, middle), (right - cap, middle), PANEL, height)
    draw_text(image, text, left + pad, top + height * 0.69, size, AROUSAL, bold=True)
    return right


def _fixed(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0] * _ONE), round(point[1] * _ONE)
