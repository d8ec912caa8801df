"""Faces through a video: detected on some frames, followed on those between, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iaca.faces.config import FaceConfig
from iaca.faces.detector import Detection, FaceDetector, iou
from iaca.faces.flow import FlowImage, follow, is_cut
from iaca.media import VideoFrame, made_ahead

AGREE_IOU = 0.6
"""Followed and detected boxes that overlap at least so much are one face in the right place."""
LINK_IOU = 0.3
"""A detection continues the track whose last box it overlaps most, and at least so much."""

Faces = dict[int, Detection]
"""Faces of one frame by their track."""


@dataclass
class _Seen:
    face: Detection
    time_s: float


class FaceTracker:
    """Turns a stream of frames into tracks of faces.

    Frames are gathered in chunks. The last frame of a chunk is detected, the others are reached by optical flow from
    the chunk before. If flow and detector agree on the last frame, the flow is believed (its small drift is spread over
    the chunk); if not - a face more, a face less, a face elsewhere - every frame of the chunk is detected. A chunk ends
    when it has as many frames as the interval, when the flow loses a face, and before a change of scene, which also
    ends all tracks. The interval grows by one up to `max_every` when they agree, and falls back to `every` otherwise.
    """

    def __init__(self, detector: FaceDetector, config: FaceConfig):
        self._detector, self._config = detector, config
        self._interval = config.every
        self._seen: dict[int, _Seen] = {}  # where each live track was last found
        self._next_track = 0
        self._last: tuple[FlowImage, Faces] | None = None  # of the frame before the chunk
        self._chunk: list[VideoFrame] = []
        self._followed: list[Faces] = []
        self._flow_image: FlowImage | None = None

    def run(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, Faces]]:
        """Each frame with its faces, in order; `max_every` frames are held, and those that are decoded ahead."""
        for frame, image in made_ahead((frame, FlowImage.of(frame.image)) for frame in frames):
            if self._flow_image is not None and is_cut(self._flow_image, image):
                yield from self._close()
                self._seen, self._last, self._flow_image = {}, None, None
            lost = self._follow_to(image)
            self._chunk.append(frame)
            self._flow_image = image
            if lost or self._last is None or len(self._chunk) >= self._interval:
                yield from self._close()
        yield from self._close()

    def _follow_to(self, image: FlowImage) -> bool:
        """Follow the faces of the frame before; whether one was lost."""
        before = self._followed[-1] if self._followed else (self._last[1] if self._last else {})
        assert self._flow_image is not None or not before
        moved = {track: follow(face, self._flow_image, image) for track, face in before.items() if self._flow_image}
        self._followed.append({track: face for track, face in moved.items() if face is not None})
        return len(self._followed[-1]) < len(before)

    def _close(self) -> Iterator[tuple[VideoFrame, Faces]]:
        """Detect on the chunk's last frame and settle its faces."""
        if not self._chunk:
            return
        found = self._detector.detect([self._chunk[-1].image])[0]
        pairs = match({track: face.box for track, face in self._followed[-1].items()}, found, AGREE_IOU)
        before = self._last[1] if self._last else {}
        if len(pairs) == len(found) == len(self._followed[-1]) == len(before):
            faces = _without_drift(self._followed, pairs, found)
            steady = bool(found)
        else:
            earlier = self._detector.detect([f.image for f in self._chunk[:-1]]) if self._chunk[:-1] else []
            faces, steady = self._link([*earlier, found]), False
        self._interval = min(self._interval + 1, self._config.max_every) if steady else self._config.every
        yield from self._settle(faces)

    def _settle(self, faces: list[Faces]) -> Iterator[tuple[VideoFrame, Faces]]:
        for frame, here in zip(self._chunk, faces, strict=True):
            for track, face in here.items():
                self._seen[track] = _Seen(face, frame.time_s)
            yield frame, here
        assert self._flow_image is not None
        self._last = (self._flow_image, faces[-1])
        self._chunk, self._followed = [], []

    def _link(self, detections: Sequence[list[Detection]]) -> list[Faces]:
        """Give each detection of the chunk to the live track it overlaps most, or to a new one."""
        linked: list[Faces] = []
        for frame, found in zip(self._chunk, detections, strict=True):
            patience = self._config.relink_s
            self._seen = {t: seen for t, seen in self._seen.items() if frame.time_s - seen.time_s <= patience}
            pairs = match({track: seen.face.box for track, seen in self._seen.items()}, found, LINK_IOU)
            tracks = {row: track for track, row in pairs.items()}
            here: Faces = {}
            for row, face in enumerate(found):
                track = tracks.get(row)
                if track is None:
                    track, self._next_track = self._next_track, self._next_track + 1
                here[track] = face
                self._seen[track] = _Seen(face, frame.time_s)
            linked.append(here)
        return linked


def match(boxes: dict[int, np.ndarray], found: Sequence[Detection], least: float) -> dict[int, int]:
    """Pair boxes (by key) with detections (by row), those that overlap most first, down to an IoU of `least`."""
    overlaps = sorted(
        ((iou(box, face.box), key, row) for key, box in boxes.items() for row, face in enumerate(found)),
        key=lambda overlap: (-overlap[0], overlap[1], overlap[2]),
    )
    pairs: dict[int, int] = {}
    for overlap, key, row in overlaps:
        if overlap >= least and key not in pairs and row not in pairs.values():
            pairs[key] = row
    return pairs


def _without_drift(followed: list[Faces], pairs: dict[int, int], found: Sequence[Detection]) -> list[Faces]:
    """Spread the difference between detected and followed linearly over the chunk: 0 before it, all on its end."""
    settled: list[Faces] = []
    for step, faces in enumerate(followed, start=1):
        share = step / len(followed)
        here: Faces = {}
        for track, row in pairs.items():
            face, last, detected = faces[track], followed[-1][track], found[row]
            here[track] = Detection(
                face.box + share * (detected.box - last.box),
                face.landmarks + share * (detected.landmarks - last.landmarks),
                detected.score,
            )
        settled.append(here)
    return settled
