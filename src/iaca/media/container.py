"""Opens a media file for reading, within limits, and gives its packets, decoded frames and clock.

All other modules of `iaca.media` read through `open_source`; it decides which containers and protocols are allowed.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition
from pydantic import Field

from iaca.errors import InputError, counted, plain_name, unreadable
from iaca.files import ARCHIVES, require_file
from iaca.parameters import Parameters

_log = logging.getLogger(__name__)

FORMATS = (
    "mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "flv", "asf", "ogg", "mxf", "gxf", "nut", "rm", "wtv",
    "dv", "ivf", "obu", "h261", "h263", "h264", "hevc", "vvc", "m4v", "vc1", "mjpeg", "yuv4mpegpipe", "gif", "apng",
    "wav", "w64", "mp3", "flac", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr",
)  # fmt: skip
"""Containers that store pictures and sound themselves. FFmpeg's other demuxers (playlists, session descriptions,
numbered pictures, text) open what their content names: other files of the machine, or the network."""
ROUNDING_S = 1e-6
"""Times (s) that differ by less are equal."""
JUMP_BACK_S = 1.0
"""A timestamp that falls back by more than this (s) restarts the stream's clock: the frame follows its predecessor."""
REENCODE = (
    "play the file to check that it is complete; if it plays, re-encode it: ffmpeg -i IN -c:v libx264 -c:a aac OUT.mp4"
)


class LimitError(InputError):
    """A file exceeds a limit; the remedy names the parameter."""


class MediaLimits(Parameters):
    """Limits on a media file; a file that exceeds one is refused, and no other file is affected.

    A few bytes of a header can ask for more memory or time than a machine has. Claims of a header about length and
    number of frames are not used: the limits apply to what is decoded.

    Attributes:
        max_pixels: width times height of a frame. A worker that detects faces holds about twenty of them, as RGB.
        max_duration_s: time (s) from the container's start to the end of a frame or of sound, gaps included.
        max_frames_per_s: frames within any one second.
        max_streams: streams of all kinds in a file.
        max_sample_rate: of the sound (Hz).
        max_channels: of the sound.
    """

    max_pixels: int = Field(4096 * 4096, ge=1)
    max_duration_s: float = Field(6 * 3600.0, gt=0)
    max_frames_per_s: int = Field(1000, ge=1)
    max_streams: int = Field(128, ge=1)
    max_sample_rate: int = Field(384_000, ge=1)
    max_channels: int = Field(64, ge=1)

    def check_streams(self, path: Path, count: int) -> None:
        """Refuse a file with too many streams."""
        if count > self.max_streams:
            raise _limit_error(path, f"has {count} streams", "max_streams", self.max_streams)

    def check_picture(self, path: Path, width: int, height: int) -> None:
        """Refuse frames with too many pixels; an unknown size is 0."""
        if width * height > self.max_pixels:
            raise _limit_error(path, f"has frames of {width} x {height} px", "max_pixels", self.max_pixels)

    def check_sound(self, path: Path, rate: int, channels: int) -> None:
        """Refuse sound with too high a sampling rate (Hz) or too many channels."""
        if rate > self.max_sample_rate:
            raise _limit_error(path, f"has sound of {rate} Hz", "max_sample_rate", self.max_sample_rate)
        if channels > self.max_channels:
            raise _limit_error(path, f"has sound with {channels} channels", "max_channels", self.max_channels)

    def check_time(self, path: Path, time_s: float) -> None:
        """Refuse a frame or sound that comes too late (s)."""
        if time_s > self.max_duration_s:
            raise _limit_error(path, f"reaches to {time_s:.6g} s", "max_duration_s", self.max_duration_s)


def _limit_error(path: Path, what: str, name: str, limit: float) -> LimitError:
    return LimitError(
        f"{what}, more than {name} = {limit:.10g} allows", file=path,
        remedy=f"re-encode or remove the file, or raise `media.{name}` of the run, `--limit {name}=N` of the web page",
    )  # fmt: skip


@dataclass(frozen=True)
class Source:
    """An opened file: its best video and best audio stream, the container's start (s, exact), and its limits."""

    path: Path
    container: Any
    video: Any | None
    audio: Any | None
    origin: Fraction
    limits: MediaLimits

    @property
    def streams(self) -> list[Any]:
        """The video and the audio stream, as far as they exist."""
        return [stream for stream in (self.video, self.audio) if stream is not None]

    def start_s(self, stream: Any | None) -> float:
        """Start of a stream in seconds from the container's start; NaN without a stream, 0 where it is not declared."""
        if stream is None:
            return math.nan
        return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base - self.origin)


@contextmanager
def open_source(path: str | Path, limits: MediaLimits | None = None) -> Iterator[Source]:
    """Open a media file for reading.

    Raises:
        InputError: the file is missing, is not a media file, has neither video nor audio, or exceeds a limit.
    """
    path, limits = Path(path), limits or MediaLimits()
    with _open_container(path, limits) as container:
        limits.check_streams(path, len(container.streams))
        video, audio = _best(container, "video"), _best(container, "audio")
        if video is None and audio is None:
            raise InputError("has neither a video nor an audio stream", file=path, remedy=REENCODE)
        source = Source(path, container, video, audio, _origin(video, audio), limits)
        for stream in source.streams:
            stream.codec_context.thread_count = 1  # work is spread over files, and one thread decodes repeatably
        if video is not None:
            limits.check_picture(path, video.codec_context.width, video.codec_context.height)
            video.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        if audio is not None:
            limits.check_sound(path, audio.codec_context.sample_rate, audio.codec_context.channels)
        yield source


def _open_container(path: Path, limits: MediaLimits) -> Any:
    try:
        size = path.stat().st_size
    except OSError as error:
        remedy = "check the name and the permissions and, for a link, its target"
        raise InputError(f"can't be opened ({reason(error)})", file=path, remedy=remedy) from error
    require_file(path, "give a video or a sound file")
    if not size:
        raise InputError("the file is empty", path, remedy="copy it again, or remove it")
    if path.suffix.lower() in ARCHIVES:
        remedy = "unpack it, and give the folder that it contains"
        raise InputError("an archive is not a media file", path, remedy=remedy)
    options = {
        "format_whitelist": ",".join(FORMATS),
        "protocol_whitelist": "file",
        "max_pixels": str(limits.max_pixels),  # FFmpeg decodes some frames to identify a file
    }
    try:  # the name may contain a colon, hence "file:"
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except av.ArgumentError as error:
        remedy = "give a video or a sound file; playlists, pictures and text are not opened"
        raise InputError("is not in a supported video or sound format", file=path, remedy=remedy) from error
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise unreadable(error, path) from error
        raise InputError(f"can't be opened as a media file ({reason(error)})", file=path, remedy=REENCODE) from error


def _best(container: Any, kind: str) -> Any | None:
    """The stream a player would choose. A cover picture is not a video; a stream without a decoder does not count."""
    streams = [
        s
        for s in getattr(container.streams, kind)
        if s.codec_context is not None and not s.disposition & Disposition.attached_pic
    ]
    best = container.streams.best(kind)
    return best if best in streams else next(iter(streams), None)


def _origin(video: Any | None, audio: Any | None) -> Fraction:
    """Start (s) of the stream that starts first. Sound before zero is a codec's priming, which no player plays."""
    starts = []
    if video is not None and video.start_time is not None:
        starts.append(video.start_time * video.time_base)
    if audio is not None and audio.start_time is not None:
        starts.append(max(audio.start_time * audio.time_base, Fraction(0)))
    return Fraction(min(starts, default=0))


def decode(source: Source, streams: Sequence[Any]) -> Iterator[tuple[Any, Any, list[Any]]]:
    """Demux and decode: (stream, packet, frames) for each packet, in file order; the packet is None at the flush.

    A packet that can't be decoded gives no frames; a truncated file ends early. Both are logged.
    """
    lost = 0
    slots = _StorageSlots() if source.container.format.name == "avi" else None
    for stream, packet in packets(source, streams):
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            frames, lost = [], lost + 1
        else:
            if slots is not None and stream is source.video:
                slots.assign(packet, frames)
        yield stream, packet, frames
    if lost:
        _log.warning("%s: skipped %s that could not be decoded", plain_name(source.path.name), counted(lost, "packet"))


def packets(source: Source, streams: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """(stream, packet) in file order, as far as the file can be read, then None for each stream as a flush packet."""
    demuxer = source.container.demux(list(streams))
    while True:
        try:
            packet = next(demuxer)
        except StopIteration:
            return
        except av.FFmpegError as error:
            name = plain_name(source.path.name)
            _log.warning("%s: the file ends early (%s); what precedes the break is kept", name, reason(error))
            break
        yield packet.stream, packet
    for stream in streams:  # the decoders still hold the last frames
        yield stream, None


class _StorageSlots:
    """Times of pictures in a container that stores none (AVI): the k-th picture shown gets the k-th place in storage.

    Such a file numbers its pictures in storage order, which differs from display order where pictures refer to later
    ones (B-frames); the presentation times FFmpeg derives from that are not in order.
    """

    def __init__(self) -> None:
        self._places: list[int] = []

    def assign(self, packet: Any | None, frames: Sequence[Any]) -> None:
        """Record the place of a decoded packet, and give the frames the decoder returned the earliest places."""
        if packet is not None and packet.dts is not None:
            heapq.heappush(self._places, packet.dts)
        for frame in frames:
            frame.pts = heapq.heappop(self._places) if self._places else None


class Clock:
    """Timestamps of one stream as seconds from the container's start.

    Broken timestamps: a frame without one follows its predecessor without a gap; after one that falls back by more
    than `JUMP_BACK_S` (two recordings joined together) the stream continues from where it was.
    """

    def __init__(self, origin: Fraction):
        self._origin, self._shift = origin, 0.0

    def __call__(self, frame: Any, expected: float, reached: float | None = None) -> float:
        """Time (s) of a decoded frame.

        Args:
            frame: decoded by PyAV.
            expected: its time (s) if it follows its predecessor without a gap.
            reached: time (s) against which a fall back is measured; None for `expected`. For pictures it is the time of
                the last one: how long that one is shown is a guess, and a long time where frames are far apart.
        """
        if frame.pts is None:
            return expected
        time = float(frame.pts * frame.time_base - self._origin) + self._shift
        if time < (expected if reached is None else reached) - JUMP_BACK_S:
            self._shift += expected - time
            return expected
        return time


class FrameCount:
    """Counts the frames of one video within the last second."""

    def __init__(self, limits: MediaLimits, path: Path):
        self._limits, self._path, self._times = limits, path, deque[float]()

    def check(self, time_s: float) -> None:
        """Take the next frame's time (s), which increases.

        Raises:
            LimitError: it comes too late, or there are too many frames in the second that ends with it.
        """
        self._limits.check_time(self._path, time_s)
        self._times.append(time_s)
        while self._times[0] <= time_s - 1.0 + ROUNDING_S:
            self._times.popleft()
        if len(self._times) > self._limits.max_frames_per_s:
            what = f"has {len(self._times)} frames in the second before {time_s:.6g} s"
            raise _limit_error(self._path, what, "max_frames_per_s", self._limits.max_frames_per_s)


def undecodable(source: Source, kind: str) -> InputError:
    """The error for a stream ("video" or "audio") without one decodable frame.

    A decoder does not report that it refused pictures for their size, so `max_pixels` is named as a possible cause.
    """
    if kind == "audio":
        return InputError("no audio frame could be decoded", file=source.path, remedy=REENCODE)
    return InputError(
        f"no video frame could be decoded (max_pixels = {source.limits.max_pixels})", file=source.path,
        remedy=f"{REENCODE}; if its pictures are larger than max_pixels, raise `media.max_pixels`",
    )  # fmt: skip


def reason(error: Exception) -> str:
    """The message of FFmpeg or of the operating system."""
    return getattr(error, "strerror", None) or type(error).__name__
