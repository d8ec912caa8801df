"""Decodes video to upright RGB images, each with its time on the container's clock."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, plain_name
from iaca.media.container import Clock, FrameCount, MediaLimits, Source, decode, open_source, undecodable
from iaca.media.display import DisplayConverter

_log = logging.getLogger(__name__)

T = TypeVar("T")
PREFETCH = 4
"""Items that are computed before they are requested: 4 frames of 1920x1080 are 25 MB."""
SAME_S = 2e-5
"""Timestamps closer than this (s) are equal: it is two ticks of the clock that movies are written with."""
TICK_S = 0.001
"""Frames whose timestamps repeat or fall back a little follow each other by this step (s), so that times increase."""
_END: object = object()


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame: 0-based index, time (s from the container's start), image (h, w, 3) uint8 RGB, upright."""

    index: int
    time_s: float
    image: NDArray[np.uint8]


def read_frames(path: str | Path, limits: MediaLimits | None = None) -> Iterator[VideoFrame]:
    """Decode a video, one frame in memory at a time.

    Args:
        path: the file.
        limits: limits on the file; None for the defaults.

    Yields:
        `VideoFrame`s in display order. Times are presentation timestamps, so variable frame rates and a late start are
        kept. Images are as players show them: square pixels, turned and mirrored by the display
        matrix.

    Raises:
        InputError: there is no video stream, no frame decodes, its colours can't be converted,
            or the file exceeds a limit. Damage after the first
            frame is logged, and the rest is kept.
    """
    with open_source(path, limits) as source:
        require_video(source)
        convert = DisplayConverter(source)
        for index, (time, frame) in enumerate(_decoded(source)):
            yield VideoFrame(index, time, convert(frame))
        if convert.warning:
            _log.warning("%s: %s", plain_name(source.path.name), convert.warning)


def frame_times(path: str | Path, limits: MediaLimits | None = None) -> NDArray[np.float64]:
    """Times (n,) in seconds of all frames that decode, without converting them to images. Errors as `read_frames`."""
    with open_source(path, limits) as source:
        require_video(source)
        return np.array([time for time, _ in _decoded(source)], dtype=np.float64)


def _decoded(source: Source) -> Iterator[tuple[float, Any]]:
    clock, empty = FrameClock(source), True
    for _, _, frames in decode(source, [source.video]):
        for frame in frames:
            empty = False
            yield clock(frame), frame
    if empty:
        raise undecodable(source, "video")


def require_video(source: Source) -> None:
    """Refuse a file without pictures."""
    if source.video is None:
        raise InputError("has no video stream", file=source.path, remedy="give a file with pictures")


class FrameClock:
    """Strictly increasing times (s) of video frames; `Clock` and `TICK_S` give the rules for broken timestamps.

    A timestamp that increases by at least `SAME_S` is kept.
    """

    def __init__(self, source: Source):
        self._clock = Clock(source.origin)
        self._interval = 1.0 / nominal_fps(source.video) if nominal_fps(source.video) > 0 else 0.04
        self._start = max(source.start_s(source.video), 0.0)
        self._last: float | None = None
        self._count = FrameCount(source.limits, source.path)

    def __call__(self, frame: Any) -> float:
        """Time of the next decoded frame.

        Raises:
            LimitError: the frame exceeds `max_duration_s` or `max_frames_per_s`.
        """
        if self._last is None:
            self._last = self._clock(frame, self._start)
        else:
            time = self._clock(frame, self._last + self._interval, self._last)
            self._last = time if time >= self._last + SAME_S else self._last + TICK_S
        self._count.check(self._last)
        return self._last


def nominal_fps(stream: Any) -> float:
    """Frames per second that the file declares (Hz); NaN where it declares none. Never used where timestamps exist."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    return float(rate) if rate else float("nan")


def prefetch(items: Iterator[T], ahead: int = 0) -> Iterator[T]:
    """The same items in the same order, computed by one thread up to `ahead`, at least `PREFETCH`, before the caller
    asks for them.

    Meanwhile only that thread may use what the items come from. An exception raised there is raised here, after the
    items before it. A caller that stops early waits for the item in progress; no other is started.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        waiting: deque[Future[T]] = deque(thread.submit(next, items, _END) for _ in range(max(ahead, PREFETCH)))  # type: ignore[arg-type]
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, items, _END))  # type: ignore[arg-type]
                yield item
        finally:
            for future in waiting:
                future.cancel()
