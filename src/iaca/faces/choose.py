"""Which of the tracks in a video is the person that the clip is about."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from iaca.faces.config import FaceConfig, Side
from iaca.faces.detector import Detection

SMALL = 0.25
"""Tracks whose face has on average less than this share of the chosen one's area are bystanders."""
MINOR = 0.1
"""With a side asked for, tracks with less than this share of the largest summed area are not among the two people."""


@dataclass
class TrackSummary:
    """A track in numbers: its frames, the sum of its box areas (px^2) and of its centres' x (px), first and last time
    (s), first and last box (px), and the sum of its aligned faces reduced to a few px."""

    track: int
    first_s: float
    last_s: float = 0.0
    area: float = 0.0
    centre: float = 0.0
    frames: set[int] = field(default_factory=set)
    first_box: NDArray[np.float64] | None = None
    last_box: NDArray[np.float64] | None = None
    look: NDArray[np.float64] | None = None

    def add(self, frame: int, time_s: float, face: Detection) -> None:
        """Count one frame of it."""
        self.frames.add(frame)
        self.last_s = time_s
        self.area += face.area
        self.centre += float(face.box[0] + face.box[2]) / 2
        self.first_box = face.box if self.first_box is None else self.first_box
        self.last_box = face.box

    def show(self, thumb: NDArray[np.uint8]) -> None:
        """Add a reduced aligned face (k, k, 3) to its look."""
        self.look = thumb.astype(np.float64) if self.look is None else self.look + thumb

    @property
    def mean_area(self) -> float:
        return self.area / len(self.frames)

    @property
    def mean_centre(self) -> float:
        return self.centre / len(self.frames)


def choose(tracks: list[TrackSummary], config: FaceConfig, side: Side | None = None) -> list[int]:
    """Tracks of the clip's person, the main one first; empty without a face.

    * Tracks shorter than `min_track_s` are false alarms, unless there are no others.
    * Without a side, the main track is the one with the largest sum of box areas over time.
    * With a side, it is the leftmost or rightmost, by mean centre, of the tracks that are not `MINOR`.
    * With `config.join`, other tracks are added, the largest first, if they share no frame with those chosen, are not
      `SMALL`, and (with a side) are at least as near to the main track as to any other person beside it.
    """
    lasting = [t for t in tracks if t.last_s - t.first_s >= config.min_track_s] or tracks
    if not lasting:
        return []
    main = _main(lasting, side)
    chosen, frames = [main.track], set(main.frames)
    for other in sorted(lasting, key=lambda t: (-t.area, t.track)) if config.join else []:
        alone = frames.isdisjoint(other.frames)
        if alone and other.mean_area >= SMALL * main.mean_area and (side is None or _beside(other, main, lasting)):
            chosen.append(other.track)
            frames |= other.frames
    return chosen


def _main(tracks: list[TrackSummary], side: Side | None) -> TrackSummary:
    largest = max(tracks, key=lambda t: (t.area, -t.track))
    if side is None:
        return largest
    people = [t for t in tracks if t.area >= MINOR * largest.area]
    return (min if side == "left" else max)(people, key=lambda t: t.mean_centre)


def _beside(other: TrackSummary, main: TrackSummary, tracks: list[TrackSummary]) -> bool:
    """Whether a track lies nearer to the main one than to the people seen together with the main one."""
    company = [t for t in tracks if t.track != main.track and not main.frames.isdisjoint(t.frames)]
    distance = abs(other.mean_centre - main.mean_centre)
    return all(distance <= abs(other.mean_centre - t.mean_centre) for t in company)
