"""How large a media file may be: a few bytes of a header can ask for more memory or time than a machine has.

The one place where a media file is opened for reading: what may be opened, and by which readers.

Opening a media file, what it holds, and its clock. Everything else in `iaca.media` is built on this.
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

from iaca.errors import InputError, plain_name
from iaca.files import require_file
from iaca.parameters import Parameters

ROUNDING_S = 1e-6
"""Times (s) that differ by less are the same."""


class LimitError(InputError):
    """A file goes beyond a limit; its remedy names the parameter."""


class MediaLimits(Parameters):
    """What is beyond a limit is refused, and costs its own file only. What a header claims of length and number of
    frames is not believed: these limits hold for what decodes.

    Attributes:
        max_pixels: width times height of a frame. A worker that looks for faces holds about twenty of them, as RGB.
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
        """Refuse a file of too many streams."""
        if count > self.max_streams:
            raise _beyond(path, f"holds {count} streams", "max_streams", self.max_streams)

    def check_picture(self, path: Path, width: int, height: int) -> None:
        """Refuse frames of too many pixels; a size that is not known yet is 0."""
        if width * height > self.max_pixels:
            raise _beyond(path, f"has frames of {width} x {height} px", "max_pixels", self.max_pixels)

    def check_sound(self, path: Path, rate: int, channels: int) -> None:
        """Refuse sound of too many samples a second (Hz), or of too many channels."""
        if rate > self.max_sample_rate:
            raise _beyond(path, f"has sound of {rate} Hz", "max_sample_rate", self.max_sample_rate)
        if channels > self.max_channels:
            raise _beyond(path, f"has sound of {channels} channels", "max_channels", self.max_channels)

    def check_time(self, path: Path, time_s: float) -> None:
        """Refuse a frame or sound that lies too late (s)."""
        if time_s > self.max_duration_s:
            raise _beyond(path, f"reaches to {time_s:.6g} s", "max_duration_s", self.max_duration_s)


class FrameCount:
    """Counts the frames of one video within the last second."""

    def __init__(self, limits: MediaLimits, path: Path):
        self._limits, self._path, self._times = limits, path, deque[float]()

    def check(self, time_s: float) -> None:
        """Take the next frame's time (s), which increases.

        Raises:
            LimitError: it lies too late, or there are too many frames in the second that ends with it.
        """
        self._limits.check_time(self._path, time_s)
        self._times.append(time_s)
        while self._times[0] <= time_s - 1.0 + ROUNDING_S:
            self._times.popleft()
        if len(self._times) > self._limits.max_frames_per_s:
            what = f"has more than {self._limits.max_frames_per_s} frames in the second before {time_s:.6g} s"
            raise _beyond(self._path, what, "max_frames_per_s", self._limits.max_frames_per_s)


def _beyond(path: Path, what: str, name: str, most: float) -> LimitError:
    return LimitError(
        f"{what}, which is beyond {name} = {most:.10g}", file=path,
        remedy=f"re-encode or remove the file, or raise `media.{name}` of the run, `--limit {name}=N` of the web page",
    )  # fmt: skip


REENCODE = (
    "play the file to see whether it is whole; if it plays, re-encode it: ffmpeg -i IN -c:v libx264 -c:a aac OUT.mp4"
)
FORMATS = (
    "mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "flv", "asf", "ogg", "mxf", "gxf", "nut", "rm", "wtv",
    "dv", "ivf", "obu", "h261", "h263", "h264", "hevc", "vvc", "m4v", "vc1", "mjpeg", "yuv4mpegpipe", "gif", "apng",
    "wav", "w64", "mp3", "flac", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr",
)  # fmt: skip
"""Containers that hold pictures and sound themselves. FFmpeg's other readers (playlists, session descriptions, numbered
pictures, text) open what their content names: other files of the machine, or the network."""


def open_container(path: Path, limits: MediaLimits) -> Any:
    """An opened PyAV container.

    Raises:
        InputError: the path is no file, or nothing that one of `FORMATS` can read.
    """
    _require_file(path)
    options = {
        "format_whitelist": ",".join(FORMATS),
        "protocol_whitelist": "file",
        "max_pixels": str(limits.max_pixels),  # also of the frames that FFmpeg decodes to know a file
    }
    try:  # "file:", since a name may hold a colon
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except av.ArgumentError as error:
        remedy = "give a video or a sound file; playlists, pictures and text are not opened"
        raise InputError("is of no video or sound format that is read here", file=path, remedy=remedy) from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"can't be opened as a media file ({reason(error)})", file=path, remedy=REENCODE) from error


def _require_file(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        remedy = "check the name and the rights; of a link, where it leads"
        raise InputError(f"can't be opened ({reason(error)})", file=path, remedy=remedy) from error
    require_file(path, "give a video or a sound file")


def reason(error: Exception) -> str:
    """What FFmpeg or the system says."""
    return getattr(error, "strerror", None) or type(error).__name__


_log = logging.getLogger(__name__)

JUMP_BACK_S = 1.0
"""A timestamp that falls back by more than this (s) restarts the stream's clock: the frame follows its predecessor."""


@dataclass(frozen=True)
class Source:
    """An opened file: its best video and best audio stream, the container's start (s, exact), and its limits."""

    path: Path
    container: Any
    video: Any | None
    audio: Any | None
    origin: Fraction
    limits: MediaLimits

    def start_s(self, stream: Any | None) -> float:
        """Start of a stream in seconds from the container's start; NaN without a stream, 0 where it is not declared."""
        if stream is None:
            return math.nan
        return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base - self.origin)


@contextmanager
def open_source(path: str | Path, limits: MediaLimits | None = None) -> Iterator[Source]:
    """Open a media file for reading.

    Raises:
        InputError: the file is missing, is no media file, holds neither video nor audio, or is beyond a limit.
    """
    path, limits = Path(path), limits or MediaLimits()
    with open_container(path, limits) as container:
        limits.check_streams(path, len(container.streams))
        video, audio = _best(container, "video"), _best(container, "audio")
        if video is None and audio is None:
            raise InputError("holds neither a video nor an audio stream", file=path, remedy=REENCODE)
        for stream in (video, audio):
            if stream is not None:
                stream.codec_context.thread_count = 1  # work is spread over files, and one thread decodes repeatably
        if video is not None:
            limits.check_picture(path, video.codec_context.width, video.codec_context.height)
            video.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        if audio is not None:
            limits.check_sound(path, audio.codec_context.sample_rate, audio.codec_context.channels)
        yield Source(path, container, video, audio, _origin(video, audio), limits)


def _best(container: Any, kind: str) -> Any | None:
    """The stream a player would choose; a cover picture is no video, nor is a stream without a decoder."""
    streams = [
        s
        for s in getattr(container.streams, kind)
        if s.codec_context is not None and not s.disposition & Disposition.attached_pic
    ]
    best = container.streams.best(kind)
    return best if best in streams else next(iter(streams), None)


def _origin(video: Any | None, audio: Any | None) -> Fraction:
    """Start (s) of the stream that starts first. Sound before zero is a codec's run-in, which no player plays."""
    starts = []
    if video is not None and video.start_time is not None:
        starts.append(video.start_time * video.time_base)
    if audio is not None and audio.start_time is not None:
        starts.append(max(audio.start_time * audio.time_base, Fraction(0)))
    return Fraction(min(starts, default=0))


class Clock:
    """Timestamps of one stream as seconds from the container's start.

    Rules for broken ones: a frame without a timestamp follows its predecessor without a gap; a timestamp that falls
    back by more than `JUMP_BACK_S` (two recordings glued together) makes the stream go on where it was.
    """

    def __init__(self, origin: Fraction):
        self._origin, self._shift = origin, 0.0

    def __call__(self, frame: Any, expected: float, reached: float | None = None) -> float:
        """Time (s) of a decoded frame.

        Args:
            frame: decoded by PyAV.
            expected: where it lies (s) if it follows its predecessor without a gap.
            reached: time (s) from which a fall back is told; None for `expected`. Of pictures it is the last one's: how
                long that one is shown is a guess, and a long time where few frames lie far apart.
        """
        if frame.pts is None:
            return expected
        time = float(frame.pts * frame.time_base - self._origin) + self._shift
        if time < (expected if reached is None else reached) - JUMP_BACK_S:
            self._shift += expected - time
            return expected
        return time


def decode(source: Source, streams: Sequence[Any]) -> Iterator[tuple[Any, Any, list[Any]]]:
    """Demux and decode: (stream, packet, frames) for each packet, in file order; a flush packet is empty.

    A packet that can't be decoded gives no frames; a file that breaks off ends there. Both are counted and logged.
    """
    lost = 0
    slots = StorageSlots() if source.container.format.name == "avi" else None
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
        _log.warning("%s: %d packets could not be decoded and were skipped", plain_name(source.path.name), lost)


class StorageSlots:
    """Times of pictures in a container that stores none (AVI): the k-th one shown has the k-th place in storage.

    Such a file counts its pictures as they lie there, which is not the order in which they are shown; what FFmpeg
    makes of that as presentation times jumps to and fro where pictures refer to later ones (B-frames).
    """

    def __init__(self) -> None:
        self._places: list[int] = []

    def assign(self, packet: Any | None, frames: Sequence[Any]) -> None:
        """Note the place of a packet that was decoded; frames that came out of the decoder get theirs as timestamp."""
        if packet is not None and packet.dts is not None:
            heapq.heappush(self._places, packet.dts)
        for frame in frames:
            frame.pts = heapq.heappop(self._places) if self._places else None


def packets(source: Source, streams: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """(stream, packet) in file order, as far as the file can be read, and a flush packet (None) for each stream."""
    demuxer = source.container.demux(list(streams))
    while True:
        try:
            packet = next(demuxer)
        except StopIteration:
            return
        except av.FFmpegError as error:
            _log.warning("%s: breaks off (%s); what came before is kept", plain_name(source.path.name), reason(error))
            break
        yield packet.stream, packet
    for stream in streams:  # the decoders still hold the last frames
        yield stream, None


def undecodable(source: Source, what: str) -> InputError:
    """The error for a stream that yields nothing. A decoder refuses too large pictures without saying so."""
    if what == "audio":
        return InputError("not one audio frame could be decoded", file=source.path, remedy=REENCODE)
    return InputError(
        f"not one video frame could be decoded (max_pixels = {source.limits.max_pixels})", file=source.path,
        remedy=f"{REENCODE}; if its pictures are larger than max_pixels, raise `media.max_pixels`",
    )  # fmt: skip
