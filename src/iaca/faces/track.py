"""Track faces through a video, and decide which tracks are the person of the clip, or which are one person.

Faces are detected on some frames and followed by optical flow on those between; a face is never guessed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count, islice

import cv2
import numpy as np
from numpy.typing import NDArray

from iaca.faces.detect import Detection, FaceConfig, FaceDetector, PeopleRule, Side, apply, iou, similarity
from iaca.media import VideoFrame, prefetch

# Tracking

AGREE_IOU = 0.6
"""A followed box and a detected one that overlap at least this much are the same face in the right place."""
LINK_IOU = 0.3
"""A detection continues the track whose last box it overlaps most, if by at least this much."""

MOST_AHEAD = 2**26
"""The detector runs ahead of its turn if the frames until then fit into this many bytes: 10 of 1920x1080."""

Faces = dict[int, Detection]
"""Faces of one frame by their track."""


@dataclass
class _Seen:
    face: Detection
    time_s: float

    def resized(self, before: tuple[int, int], after: tuple[int, int]) -> _Seen:
        """Where the face is in a frame of another (height, width) with the same picture."""
        scale = np.divide(after, before)[::-1]
        box, landmarks = self.face.box * np.tile(scale, 2), self.face.landmarks * scale
        return _Seen(Detection(box, landmarks, self.face.score), self.time_s)


class FaceTracker:
    """Turns a stream of frames into tracks of faces.

    Frames are gathered in chunks. Faces are detected on the last frame of a chunk; the others are reached by optical
    flow from the chunk before. If flow and detector agree on the last frame, the flow is trusted and its small drift is
    spread over the chunk; if they do not (a face more, a face less, a face elsewhere), faces are detected on every
    frame of the chunk. A chunk ends when it is as long as the interval, when the flow loses a face, before frames of
    another size, and before a change of scene, which also ends all tracks. The interval grows by one frame, up to
    `max_every`, when they agree, and falls back to `every` when they do not.

    A second thread runs the detector, on the frame at which the next chunk is expected to end, while the flow is on its
    way there. What it finds is the same as without that thread.
    """

    def __init__(self, detector: FaceDetector, config: FaceConfig):
        self._detector, self._config = detector, config
        self._interval = config.every
        self._seen: dict[int, _Seen] = {}  # where each live track was last found
        self._new_tracks = count()
        self._last: tuple[FlowImage, Faces] | None = None  # of the frame before the chunk
        self._chunk: list[VideoFrame] = []
        self._followed: list[Faces] = []
        self._flow_image: FlowImage | None = None
        self._early: tuple[int, Future[list[list[Detection]]]] | None = (
            None  # index of a frame, and what is found there
        )

    def run(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, Faces]]:
        """Each frame with its faces, in order. Up to twice `max_every` frames and those decoded ahead are in memory."""
        remaining = iter(frames)
        first = list(islice(remaining, 1))
        # the frames up to the next detection are decoded while the detector is at work, if they are small enough
        room = max((MOST_AHEAD // 2 // max(frame.image.nbytes, 1) for frame in first), default=0)
        images = ((frame, FlowImage.of(frame.image)) for frame in chain(first, remaining))
        upcoming = _Upcoming(prefetch(images, min(room, self._config.max_every)))
        with ThreadPoolExecutor(1, thread_name_prefix="detect") as thread:
            yield from self._run(upcoming, thread)

    def _run(self, upcoming: _Upcoming, thread: ThreadPoolExecutor) -> Iterator[tuple[VideoFrame, Faces]]:
        size = (0, 0)
        for frame, image in upcoming:
            before, size = size, frame.image.shape[:2]
            cut = self._flow_image is not None and is_cut(self._flow_image, image)
            if cut or size != before:
                yield from self._close(thread, [frame])
                self._seen = {} if cut else {t: seen.resized(before, size) for t, seen in self._seen.items()}
                self._last, self._flow_image = None, None
            lost = self._follow_to(image)
            self._chunk.append(frame)
            self._flow_image = image
            if lost or self._last is None or len(self._chunk) >= self._interval:
                yield from self._close(thread, upcoming)
        yield from self._close(thread, [])

    def _follow_to(self, image: FlowImage) -> bool:
        """Follow the faces of the frame before; return whether one was lost."""
        before = self._followed[-1] if self._followed else (self._last[1] if self._last else {})
        assert self._flow_image is not None or not before
        moved = {track: follow(face, self._flow_image, image) for track, face in before.items() if self._flow_image}
        self._followed.append({track: face for track, face in moved.items() if face is not None})
        return len(self._followed[-1]) < len(before)

    def _close(
        self, thread: ThreadPoolExecutor, following: _Upcoming | list[VideoFrame]
    ) -> Iterator[tuple[VideoFrame, Faces]]:
        """Detect on the last frame of the chunk and settle its faces; `following` are the frames after it."""
        if not self._chunk:
            return
        found = self._found_early(thread, self._chunk[-1]).result()[0]
        pairs = match({track: face.box for track, face in self._followed[-1].items()}, found, AGREE_IOU)
        before = self._last[1] if self._last else {}
        if len(pairs) == len(found) == len(self._followed[-1]) == len(before):
            faces = _without_drift(self._followed, pairs, found)
            steady = bool(found)
        else:
            images = [frame.image for frame in self._chunk[:-1]]
            earlier = thread.submit(self._detector.detect, images).result() if images else []
            faces, steady = self._link([*earlier, found]), False
        self._interval = min(self._interval + 1, self._config.max_every) if steady else self._config.every
        room = MOST_AHEAD // max(self._chunk[-1].image.nbytes, 1)
        if isinstance(following, _Upcoming):
            following = [frame] if self._interval <= room and (frame := following.peek(self._interval)) else []
        if following:
            self._early = (following[0].index, self._found_early(thread, following[0]))
        yield from self._settle(faces)

    def _found_early(self, thread: ThreadPoolExecutor, frame: VideoFrame) -> Future[list[list[Detection]]]:
        """What the detector finds in a frame, unless it was asked before."""
        if self._early is not None:
            (index, found), self._early = self._early, None
            if index == frame.index:
                return found
            found.cancel()  # the chunk ended before that frame
        return thread.submit(self._detector.detect, [frame.image])

    def _settle(self, faces: list[Faces]) -> Iterator[tuple[VideoFrame, Faces]]:
        for frame, here in zip(self._chunk, faces, strict=True):
            for track, face in here.items():
                self._seen[track] = _Seen(face, frame.time_s)
            yield frame, here
        assert self._flow_image is not None
        self._last = (self._flow_image, faces[-1])
        self._chunk, self._followed = [], []

    def _link(self, detections: Sequence[list[Detection]]) -> list[Faces]:
        """Assign each detection of the chunk to the live track it overlaps most, or to a new one."""
        linked: list[Faces] = []
        for frame, found in zip(self._chunk, detections, strict=True):
            relink_s = self._config.relink_s
            self._seen = {t: seen for t, seen in self._seen.items() if frame.time_s - seen.time_s <= relink_s}
            pairs = match({track: seen.face.box for track, seen in self._seen.items()}, found, LINK_IOU)
            here = assigned(found, pairs, self._new_tracks)
            self._seen |= {track: _Seen(face, frame.time_s) for track, face in here.items()}
            linked.append(here)
        return linked


class _Upcoming(Iterator[tuple[VideoFrame, "FlowImage"]]):
    """Frames in order, some of which can be looked at before their turn."""

    def __init__(self, frames: Iterator[tuple[VideoFrame, FlowImage]]):
        self._frames, self._waiting = frames, deque[tuple[VideoFrame, FlowImage]]()

    def __next__(self) -> tuple[VideoFrame, FlowImage]:
        return self._waiting.popleft() if self._waiting else next(self._frames)

    def peek(self, count: int) -> VideoFrame | None:
        """The `count`-th frame from here, or the last one if there are fewer; None if there is none."""
        self._waiting.extend(islice(self._frames, max(count - len(self._waiting), 0)))
        return self._waiting[min(count, len(self._waiting)) - 1][0] if self._waiting else None


class CausalTracker:
    """The faces of one frame at a time, from that frame and those before it: for live streams, and for models that run
    on them.

    Faces are detected on every k-th frame at least, and at once when the flow loses a face or the scene changes; flow
    covers the frames between. A detected face takes the place of the followed one at once, and a new face is found with
    the next detection: nothing is spread over earlier frames. Intervals are those of `FaceTracker`.
    """

    def __init__(self, detector: FaceDetector, config: FaceConfig):
        self._detector, self._config = detector, config
        self._interval, self._waited, self._new_tracks = config.every, 0, count()
        self._seen: dict[int, _Seen] = {}  # where each live track was last found
        self._before: tuple[FlowImage, Faces, tuple[int, int]] | None = None

    @property
    def alive(self) -> Collection[int]:
        """Tracks that a face may continue."""
        return self._seen.keys()

    def step(self, frame: VideoFrame) -> Faces:
        """The faces of the next frame."""
        image, size = FlowImage.of(frame.image), frame.image.shape[:2]
        before, self._waited = self._before, self._waited + 1
        followed: Faces | None = None  # None: nothing to follow from
        if before is not None and is_cut(before[0], image):
            self._seen = {}
        elif before is not None and before[2] != size:
            self._seen = {t: seen.resized(before[2], size) for t, seen in self._seen.items()}
        elif before is not None:
            moved = {track: follow(face, before[0], image) for track, face in before[1].items()}
            followed = {track: face for track, face in moved.items() if face is not None}
        lost = followed is None or (before is not None and len(followed) < len(before[1]))
        if lost or followed is None or self._waited >= self._interval:
            faces = self._detect(frame, followed or {})
        else:
            faces = followed
        for track, face in faces.items():
            self._seen[track] = _Seen(face, frame.time_s)
        self._before = (image, faces, size)
        return faces

    def _detect(self, frame: VideoFrame, followed: Faces) -> Faces:
        found = self._detector.detect([frame.image])[0]
        agreed = match({track: face.box for track, face in followed.items()}, found, AGREE_IOU)
        steady = 0 < len(agreed) == len(found) == len(followed)
        self._interval = min(self._interval + 1, self._config.max_every) if steady else self._config.every
        self._waited = 0
        self._seen = {t: s for t, s in self._seen.items() if frame.time_s - s.time_s <= self._config.relink_s}
        boxes = {track: seen.face.box for track, seen in self._seen.items()}
        pairs = match(boxes | {track: face.box for track, face in followed.items()}, found, LINK_IOU)
        return assigned(found, pairs, self._new_tracks)


def match(boxes: dict[int, np.ndarray], found: Sequence[Detection], least: float) -> dict[int, int]:
    """Pair boxes (by key) with detections (by row), largest overlap first, down to an IoU of `least`."""
    overlaps = sorted((-iou(box, face.box), key, row) for key, box in boxes.items() for row, face in enumerate(found))
    pairs: dict[int, int] = {}
    for minus_iou, key, row in overlaps:  # the largest first
        if minus_iou <= -least and key not in pairs and row not in pairs.values():
            pairs[key] = row
    return pairs


def assigned(found: Sequence[Detection], pairs: dict[int, int], new_tracks: Iterator[int]) -> Faces:
    """Detections by track: that of `match` (track -> row), or the next new one."""
    tracks = {row: track for track, row in pairs.items()}
    return {tracks[row] if row in tracks else next(new_tracks): face for row, face in enumerate(found)}


def _without_drift(followed: list[Faces], pairs: dict[int, int], found: Sequence[Detection]) -> list[Faces]:
    """Spread the difference between detected and followed faces linearly over the chunk: none before it, all at its
    end."""
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


# Optical flow

FLOW_SIDE = 240
"""Flow runs on images reduced by the smallest integer factor that brings the shorter side down to this many px."""
THUMB = (32, 18)
"""Width and height (px) of the thumbnails that scenes are compared by."""
CUT_LEVELS = 20.0
"""A change of scene: the thumbnails of neighbouring frames differ by at least this mean grey level (of 255) ..."""
CUT_CORRELATION = 0.5
"""... and correlate less than this."""
SAME_SHAPE = 1.03
"""Pictures whose ratios of width to height differ by less than this factor have one shape: sizes are even numbers."""

_WINDOW, _LEVELS = (15, 15), 2
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.03)
_GRID = np.stack(np.meshgrid([0.25, 0.5, 0.75], [0.2, 0.5, 0.8]), -1).reshape(-1, 2)  # fractions of the box


@dataclass(frozen=True)
class FlowImage:
    """What flow needs of a frame: a reduced grey picture and its scale (reduced px per image px)."""

    grey: NDArray[np.uint8]
    scale: float

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> FlowImage:
        """From an RGB image (h, w, 3)."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        factor = -(-min(grey.shape) // FLOW_SIDE)
        if factor > 1:
            grey = cv2.resize(grey, (grey.shape[1] // factor, grey.shape[0] // factor), interpolation=cv2.INTER_AREA)
        return cls(np.asarray(grey, dtype=np.uint8), 1.0 / factor)

    @cached_property
    def thumb(self) -> NDArray[np.float32]:
        """The thumbnail that scenes are compared by."""
        return cv2.resize(self.grey, THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)


def is_cut(before: FlowImage, after: FlowImage) -> bool:
    """Whether the scene changes between two frames. A fade or a flash keeps the structure of the picture: no cut.

    Nor is a picture that becomes larger or smaller; one of another shape is.
    """
    shapes = [image.grey.shape[1] / image.grey.shape[0] for image in (before, after)]
    if max(shapes) > SAME_SHAPE * min(shapes):
        return True
    a, b = before.thumb, after.thumb
    if float(np.abs(a - b).mean()) < CUT_LEVELS:
        return False
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return norm == 0 or float((a * b).sum()) / norm < CUT_CORRELATION


def follow(face: Detection, before: FlowImage, after: FlowImage) -> Detection | None:
    """Where a face of one frame is in the next one; None if the flow loses it.

    Pyramidal Lucas-Kanade (Bouguet, Intel 2000) tracks the five landmarks and nine points of the box forwards and back.
    The similarity transform of the points that return to within a fiftieth of the face moves box and landmarks. The
    face is lost when fewer than half of the points return, when they do not move as one, when its size jumps, or when
    its centre leaves the picture.
    """
    width = face.box[2:] - face.box[:2]
    points = np.concatenate([face.landmarks, face.box[:2] + _GRID * width])
    start = np.ascontiguousarray((points * before.scale).astype(np.float32)[:, None])
    there, found = _lucas_kanade(before.grey, after.grey, start)
    back, returned = _lucas_kanade(after.grey, before.grey, there)
    astray = np.linalg.norm(back - start, axis=2)[:, 0]
    near = max(0.5, 0.02 * float(width.max()) * before.scale)
    kept = (astray < near) & found & returned
    if kept.sum() * 2 < len(points):
        return None
    return _moved(face, points[kept], there[kept, 0] / after.scale, after)


def _lucas_kanade(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (n, 1, 2) go, and which of them (n,) were found."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.empty_like(points), winSize=_WINDOW, maxLevel=_LEVELS, criteria=_CRITERIA
    )
    return np.asarray(there, dtype=np.float32), np.asarray(found)[:, 0] == 1


def _moved(
    face: Detection, source: NDArray[np.float64], target: NDArray[np.floating], after: FlowImage
) -> Detection | None:
    side = float((face.box[2:] - face.box[:2]).max())
    matrix = similarity(source, target)
    residual = np.linalg.norm(apply(matrix, source) - target, axis=1)
    usual = float(np.median(residual))
    steady = residual <= max(2.0 * usual, 0.5)  # drop points of a mouth or lid that moves by itself
    matrix = similarity(source[steady], target[steady])
    scale = float(np.hypot(*matrix[:, 0]))
    if usual > 0.08 * side or not 0.8 < scale < 1.25:
        return None
    middle = apply(matrix, (face.box[:2] + face.box[2:])[None] / 2)[0]
    if not (middle * after.scale >= 0).all() or not (middle * after.scale < after.grey.shape[::-1]).all():
        return None
    half = scale * (face.box[2:] - face.box[:2]) / 2
    return Detection(np.concatenate([middle - half, middle + half]), apply(matrix, face.landmarks), face.score)


# The person of the clip

SMALL = 0.25
"""Tracks whose mean box area is less than this fraction of the main track's are bystanders."""
MINOR = 0.1
"""If a side is given, tracks with less than this fraction of the largest summed area are not among the two people."""


@dataclass
class TrackSummary:
    """A track in numbers: its frames, the sum of its box areas and of its centres' x, first and last time (s), first
    and last box, and the sum of its aligned faces, reduced to a few px (`look`), with the pixels that were always
    inside the picture (`seen`).

    Frames of one video may differ in size. Boxes are measured from the middle of their frame, in shorter sides of it,
    so that they can be compared: a picture at half the size has the same boxes. `first_side` and `last_side` are those
    sides (px).
    """

    track: int
    first_s: float
    last_s: float = 0.0
    area: float = 0.0
    centre: float = 0.0
    frames: set[int] = field(default_factory=set)
    first_box: NDArray[np.float64] | None = None
    last_box: NDArray[np.float64] | None = None
    first_side: int = 0
    last_side: int = 0
    look: NDArray[np.float64] | None = None
    seen: NDArray[np.bool_] | None = None

    def add(self, frame: int, time_s: float, face: Detection, size: tuple[int, int]) -> None:
        """Add a frame of the track; `size` is its height and width (px)."""
        height, width = size
        box = (face.box - np.array([width, height, width, height]) / 2) / min(size)
        self.frames.add(frame)
        self.last_s = time_s
        self.area += float((box[2] - box[0]) * (box[3] - box[1]))
        self.centre += float(box[0] + box[2]) / 2
        if self.first_box is None:
            self.first_box, self.first_side = box, min(size)
        self.last_box, self.last_side = box, min(size)

    def show(self, reduced: NDArray[np.uint8], seen: NDArray[np.bool_]) -> None:
        """Add a reduced aligned face (k, k, 3) to the look; `seen` (k, k) is where it is inside the picture."""
        self.look = reduced.astype(np.float64) if self.look is None else self.look + reduced
        self.seen = seen if self.seen is None else self.seen & seen

    @property
    def mean_area(self) -> float:
        return self.area / len(self.frames)

    @property
    def mean_centre(self) -> float:
        return self.centre / len(self.frames)


def choose(tracks: list[TrackSummary], config: FaceConfig, side: Side | None = None) -> list[int]:
    """Tracks of the person of the clip, the main one first; empty without a face.

    * Tracks shorter than `min_track_s` are false alarms, unless there are no others.
    * Without a side, the main track is the one with the largest sum of box areas over time.
    * With a side, it is the leftmost or rightmost, by mean centre, of the tracks that are not `MINOR`.
    * With `config.join`, other tracks are added, the largest first, if they share no frame with those chosen, are not
      `SMALL`, and (with a side) are at least as near to the main track as to any other person near it.
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


PRESENCE_S = 2.0
"""Time constant (s) of the average by which faces of a stream are compared."""
CLEARLY = 2.0
"""Another face takes over when its average box area is this many times that of the person."""


class CausalChoice:
    """Which track is the person of a stream, decided with each frame.

    Without a side: the first face, the largest of several. Another one takes over when the person's track is over (a
    cut, an absence of `config.relink_s`), or when its box area, averaged over the last seconds (`PRESENCE_S`), is
    `CLEARLY` larger. With a side: the leftmost or rightmost of the faces in view that are not `MINOR`. Without
    `config.join` nobody takes over.
    """

    def __init__(self, config: FaceConfig, side: Side | None = None):
        self._config, self._side = config, side
        self._person, self._time_s = -1, 0.0
        self._areas: dict[int, float] = {}  # averages over time

    def step(self, faces: Faces, time_s: float, size: tuple[int, int], alive: Collection[int]) -> int:
        """The person's track in the next frame, -1 if that is not in view.

        Args:
            faces: of the frame.
            time_s: its time.
            size: its height and width (px).
            alive: tracks that are not over.
        """
        now = {t: float(np.prod(face.box[2:] - face.box[:2])) / min(size) ** 2 for t, face in faces.items()}
        kept, self._time_s = float(np.exp(-max(time_s - self._time_s, 0.0) / PRESENCE_S)), time_s
        areas = {t: kept * self._areas.get(t, 0.0) + (1 - kept) * now.get(t, 0.0) for t in {*self._areas, *now}}
        self._areas = {t: area for t, area in areas.items() if t in now or t == self._person or area > 1e-6}
        if now:
            self._decide(faces, now, self._person not in alive)
        return self._person if self._person in faces else -1

    def _decide(self, faces: Faces, now: dict[int, float], over: bool) -> None:
        if self._side is not None:
            largest = max(now.values())
            centres = {t: faces[t].box[0] + faces[t].box[2] for t, area in now.items() if area >= MINOR * largest}
            self._person = (min if self._side == "left" else max)(centres, key=lambda t: centres[t])
            return
        other = max(now, key=lambda t: (self._areas[t], now[t], -t))
        larger = self._person < 0 or self._areas[other] > CLEARLY * self._areas[self._person]
        if self._person < 0 or (self._config.join and (over or larger)):
            self._person = other
            self._areas[other] = max(self._areas[other], now[other])  # nobody takes over from a newcomer at once


def _main(tracks: list[TrackSummary], side: Side | None) -> TrackSummary:
    largest = max(tracks, key=lambda t: (t.area, -t.track))
    if side is None:
        return largest
    candidates = [t for t in tracks if t.area >= MINOR * largest.area]
    return (min if side == "left" else max)(candidates, key=lambda t: t.mean_centre)


def _beside(other: TrackSummary, main: TrackSummary, tracks: list[TrackSummary]) -> bool:
    """Whether a track is nearer to the main one than to the people seen together with the main one."""
    company = [t for t in tracks if t.track != main.track and not main.frames.isdisjoint(t.frames)]
    distance = abs(other.mean_centre - main.mean_centre)
    return all(distance <= abs(other.mean_centre - t.mean_centre) for t in company)


# All people of a video

LOOK = 8
"""Side (px) to which aligned faces are reduced to compare them."""
LEAST_LOOK = 0.25
"""Share of that square that has to be inside the picture in both tracks."""
ALIKE = 0.85
"""Two tracks whose mean reduced faces correlate less than this are two people. Measured on the demo corpus: halves of a
clip correlate at 0.96 or more, clips of others at 0.74 in the median; its people are one portrait in many variants."""
AWAY = 1.0
"""A track starts at most this many sides of the face away from where the other one ended ..."""
GROWN = 1.6
"""... and its box is at most this many times larger or smaller in width and height."""
SHORT = 0.5
"""Someone seen in this fraction of all frames is a person, however short the video."""


def people(
    tracks: Sequence[TrackSummary], times: Sequence[float], config: FaceConfig, rule: PeopleRule
) -> list[list[int]]:
    """Tracks of every person in a video, the largest person first; empty without a face.

    * Tracks shorter than `config.min_track_s` are false alarms.
    * A track continues a person whose last track ended before it started and at most `rule.rejoin_s` ago, within `AWAY`
      and `GROWN` of where it ended, if both look `ALIKE`; of several such people, the one that looks most alike.
    * People seen for less than `rule.min_person_s` in total, and in less than `SHORT` of the frames, are left out.
    * The order is that of the sums of box areas over time.

    Args:
        tracks: of a whole video.
        times: (n,) s, of all its frames.
        config, rule: parameters.
    """
    found: list[list[TrackSummary]] = []
    for track in sorted(tracks, key=lambda t: (t.first_s, t.track)):
        if track.last_s - track.first_s < config.min_track_s:
            continue
        before = [person for person in found if _continues(person[-1], track, rule)]
        if before:
            max(before, key=lambda person: alike(person[-1], track)).append(track)
        else:
            found.append([track])
    kept = [person for person in found if _counts(person, times, rule)]
    kept.sort(key=lambda person: (-sum(t.area for t in person), person[0].track))
    return [[t.track for t in person] for person in kept]


def alike(a: TrackSummary, b: TrackSummary) -> float:
    """Correlation (-1..1) of the mean reduced faces of two tracks, all colours of those pixels that are
    inside the picture in both. 0 if these are too few, or unknown."""
    if a.look is None or b.look is None or a.seen is None or b.seen is None:
        return 0.0
    both = a.seen & b.seen
    if both.mean() < LEAST_LOOK:
        return 0.0
    x, y = ((look - look.mean()).ravel() for look in (a.look[both], b.look[both]))
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm > 0 else 0.0


def _continues(last: TrackSummary, track: TrackSummary, rule: PeopleRule) -> bool:
    """Whether a track starts soon after another one ended, near it, at a similar size, and looks like it."""
    if not 0 < track.first_s - last.last_s <= rule.rejoin_s or last.last_box is None or track.first_box is None:
        return False
    # a frame of another size shows the same picture smaller, or another part of it at the same scale
    units = (1.0, track.first_side / last.last_side)
    return any(_near(last.last_box, track.first_box * unit) for unit in units) and alike(last, track) >= ALIKE


def _near(before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
    """Whether a box is within `AWAY` and `GROWN` of another one."""
    sides = np.stack([box[2:] - box[:2] for box in (before, after)])
    middles = np.stack([(box[2:] + box[:2]) / 2 for box in (before, after)])
    ratio = np.maximum(sides[0] / sides[1], sides[1] / sides[0])
    near = np.linalg.norm(middles[1] - middles[0]) <= AWAY * float(sides.mean())
    return bool(near) and float(ratio.max()) <= GROWN


def _counts(person: Sequence[TrackSummary], times: Sequence[float], rule: PeopleRule) -> bool:
    share = sum(len(track.frames) for track in person) / len(times)  # not last minus first: false alarms come and go
    return share >= SHORT or share * (times[-1] - times[0]) >= rule.min_person_s
