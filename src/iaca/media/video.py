"""Decodes video to upright RGB images, each with its time on the container's clock."""

from __future__ import annotations

import logging
import math
import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from iaca.errors import InputError, plain_name
from iaca.media.container import (
    REENCODE,
    Clock,
    FrameCount,
    MediaLimits,
    Source,
    decode,
    open_source,
    reason,
    undecodable,
)

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


# How a player displays a frame: square pixels, upright, SDR colours

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

UNSPECIFIED, BT2020 = 2, 9
"""Of colour matrix and primaries (ITU-T H.273). FFmpeg decodes an unspecified matrix by BT.601."""
MATRICES = frozenset({0, 1, UNSPECIFIED, 4, 5, 6, 7, BT2020})
"""Colour matrices that FFmpeg converts: RGB, BT.709, FCC, BT.601 (two numbers), 240M, BT.2020."""
NEARLY_SQUARE, WIDEST_PIXEL = 0.01, 8
"""Pixels whose sides differ by less than this share are not resampled. A ratio of sides beyond `WIDEST_PIXEL` is an
error of the header, and the pixels count as square."""


class DisplayConverter:
    """Converts decoded frames of one video to the RGB images (h, w, 3) uint8 that a player displays.

    The colour conversion is prepared once for all frames of one size: preparing it for each takes twice the time.

    Attributes:
        warning: what the conversion could not do as the file asks; empty if nothing.
    """

    def __init__(self, source: Source) -> None:
        self.warning = ""
        self._source, self._reformatter = source, VideoReformatter()
        self._stream: Any = source.video
        self._declared, self._coded = self._pixel_aspects()

    def __call__(self, frame: Any) -> Image:
        """The image of the frame decoded last, with square pixels, turned and mirrored by its display matrix.

        Raises:
            InputError: FFmpeg can't convert its colours.
            LimitError: with square pixels the image exceeds `max_pixels`.
        """
        return Orientation.of(frame).apply(self._rgb(frame))

    def _rgb(self, frame: Any) -> Image:
        curve = HDR_CURVES.get(frame.color_trc)
        if frame.colorspace not in MATRICES:  # FFmpeg would refuse the frame
            self.warning = f"colour matrix {frame.colorspace} is not supported; colours are decoded by the usual one"
            frame.colorspace = UNSPECIFIED
        if curve is None:
            return np.asarray(self._reformat(frame, "rgb24"), np.uint8)
        if frame.colorspace == UNSPECIFIED:
            frame.colorspace = BT2020
        return _to_sdr(self._reformat(frame, "rgb48le"), curve, frame.color_primaries in (BT2020, UNSPECIFIED))

    def _reformat(self, frame: Any, layout: str) -> NDArray[Any]:
        width, height = self._size(frame)
        resampling = Interpolation.BILINEAR if (width, height) == (frame.width, frame.height) else Interpolation.BICUBIC
        try:
            rgb = self._reformatter.reformat(frame, width, height, layout, interpolation=resampling, threads=1)
        except (av.FFmpegError, ValueError) as error:
            what = f"its colours can't be converted ({reason(error)})"
            raise InputError(what, file=self._source.path, remedy=REENCODE) from error
        return np.asarray(rgb.to_ndarray())

    def _size(self, frame: Any) -> tuple[int, int]:
        """Width and height of the stored picture with square pixels: one side is enlarged, no detail is lost."""
        _, coded = self._pixel_aspects()
        # the container's aspect ratio overrides the stream's, unless that changes within the video (broadcasts)
        aspect = self._declared if coded == self._coded else coded
        if not aspect or abs(aspect - 1) < NEARLY_SQUARE or not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
            return frame.width, frame.height
        width, height = round(frame.width * max(aspect, 1)), round(frame.height / min(aspect, 1))
        self._source.limits.check_picture(self._source.path, width, height)
        return width, height

    def _pixel_aspects(self) -> tuple[Fraction | None, Fraction | None]:
        """Width of a pixel relative to its height: by the container, and by the stream for the frame decoded last."""
        return self._stream.sample_aspect_ratio, self._stream.codec_context.sample_aspect_ratio


def _unlisted(cls: type[Type], value: object) -> Type:
    """A member for a kind of side data that PyAV does not list, such as EXIF or the views of a stereo video.

    Without it PyAV raises ValueError for all side data of such a frame, the display matrix included.
    """
    member: Any = object.__new__(cls)
    member._name_, member._value_ = f"UNLISTED_{value}", value
    return member  # type: ignore[no-any-return]


Type._missing_ = classmethod(_unlisted)  # type: ignore[assignment, method-assign]


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which a stored picture is displayed.

    Attributes:
        turns: quarter turns counterclockwise.
        mirrored: whether the picture is mirrored left to right before it is turned.
    """

    turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """The orientation nearest to the frame's display matrix.

        The matrix maps a stored point (x, y), y down, to x' = a x + c y + tx, y' = b x + d y + ty; it is stored as nine
        32-bit integers a, b, u, c, d, v, tx, ty, w (ISO/IEC 14496-12, 6.2.2). FFmpeg uses the first one of a frame.
        """
        matrix = next((bytes(data) for data in frame.side_data if data.type is Type.DISPLAYMATRIX), b"")
        if len(matrix) < 36:
            return cls()
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        mirrored = a * d - b * c < 0
        if mirrored:  # what remains after the mirroring x -> -x is a rotation
            a, b = -a, -b
        return cls(round(math.atan2(-b, a) / (math.pi / 2)) % 4, mirrored)

    def apply(self, image: Image) -> Image:
        """A stored image (h, w, 3) as it is displayed."""
        if not self.turns and not self.mirrored:
            return image
        return np.ascontiguousarray(np.rot90(image[:, ::-1] if self.mirrored else image, self.turns))


# HDR

WHITE_NITS, PEAK_NITS = 203.0, 1000.0
"""Light (cd/m2) of the reference white of HDR video (ITU-R BT.2408), and of the brightest HLG signal (BT.2100)."""
SDR_GAMMA = 2.4
"""Exponent of an SDR screen (ITU-R BT.1886)."""
BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
"""Linear RGB of one gamut from the other (ITU-R BT.2407)."""


def _to_sdr(rgb: NDArray[np.uint16], curve: Callable[[], Floats], wide: bool) -> Image:
    """The SDR version of an HDR image (h, w, 3): reference white becomes white, brighter light is clipped.

    Args:
        rgb: the signal, full scale.
        curve: gives the light of each signal value.
        wide: whether its gamut is that of BT.2020.
    """
    light = np.take(curve(), rgb)
    if wide:
        light = np.asarray(cv2.transform(light, BT2020_TO_BT709), np.float32)
    screen = cv2.pow(np.maximum(light, 0, out=light), 1 / SDR_GAMMA)
    return np.asarray(cv2.convertScaleAbs(screen, alpha=255), np.uint8)  # rounds, and clips at 255


@cache
def _pq_light() -> Floats:
    """Light (65536,) of a PQ signal relative to reference white (SMPTE ST 2084; ITU-R BT.2100, table 4)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = SIGNAL ** (1 / m2)
    return (10000 / WHITE_NITS * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)).astype(np.float32)


@cache
def _hlg_light() -> Floats:
    """Light (65536,) of an HLG signal relative to reference white (ITU-R BT.2100, table 5).

    The system gamma of 1.2 is applied to each channel, as SDR cameras and screens do, and not to the luminance: colours
    are then as saturated as in an SDR recording of the same scene.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(SIGNAL <= 0.5, SIGNAL**2 / 3, (np.exp((SIGNAL - c) / a) + b) / 12)
    return (PEAK_NITS / WHITE_NITS * scene**1.2).astype(np.float32)


SIGNAL = np.arange(65536) / 65535
HDR_CURVES = {16: _pq_light, 18: _hlg_light}
"""Light of a signal by its transfer characteristics (ITU-T H.273)."""
