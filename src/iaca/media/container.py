"""Opening a media file, what it holds, and its clock. Everything else in `iaca.media` is built on this."""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from iaca.errors import InputError, plain_name
from iaca.media.limits import MediaLimits
from iaca.media.opening import REENCODE, open_container, reason

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
