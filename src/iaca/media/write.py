"""Writes H.264 mp4 movies: from images and samples, or from another movie with every picture redrawn.

Frames keep their times. The sound of a redrawn movie is copied where mp4 takes its codec, and else encoded as AAC.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, plain_name
from iaca.files import replacing
from iaca.media.audio import PlacedSound
from iaca.media.container import MediaLimits, Source, decode, open_source, reason, undecodable
from iaca.media.video import DisplayConverter, FrameClock, VideoFrame, nominal_fps, prefetch, require_video

_log = logging.getLogger(__name__)

VIDEO_TICK = Fraction(1, 90000)
"""Unit of the written timestamps (s): exact for all usual frame rates."""
# The preset without lookahead: with it, about one in a thousand encodings of the same frames gave other bytes (5 of
# 5,600 with `veryfast`, 0 of 2,900 without), and training on a rendered corpus would not repeat bit for bit.
REPEATABLE, SMALL = "ultrafast", "veryfast"
# Without B-frames a frame's decoding time is its presentation time, which keeps any timestamps valid.
_X264 = {"crf": "20", "bf": "0", "threads": "1"}
_AAC_BLOCK = 1024
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
_COPIED_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})  # sound that mp4 takes unchanged

Draw = Callable[[VideoFrame], NDArray[np.uint8]]

# From images and samples


def write_movie(
    path: str | Path,
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    fps: float,
    audio: NDArray[np.floating[Any]] | None = None,
    audio_rate: int = 16000,
) -> None:
    """Write an H.264 (yuv420p) and AAC mp4, atomically; equal input gives equal bytes.

    Args:
        path: target.
        frames: (time_s, RGB image (h, w, 3) uint8) with increasing times (s from the container's start) and one size.
        fps: nominal rate (Hz) for the header and rate control; only the times decide when a frame is shown.
        audio: (n,) mono in -1..1 from the container's start, or None.
        audio_rate: its sampling rate (Hz); one that AAC supports.

    Raises:
        InputError: there are no frames.
        ValueError: times do not increase, or the size of the images changes.
    """
    with replacing(path) as partial, _open_movie(partial) as container:
        writer, iterator = _MovieWriter(container, fps, REPEATABLE), iter(frames)
        first = next(iterator, None)
        if first is None:
            raise InputError("a movie needs at least one frame", file=path, remedy="check the source of the frames")
        writer.open(first[1])  # all streams must exist before anything is written
        sound = iter(()) if audio is None else _encode_sound(container, audio, audio_rate)
        writer.write(*first)
        until = -1.0
        for time_s, image in iterator:
            while until < time_s:  # sound is interleaved with the pictures, so that nothing accumulates in the muxer
                until = next(sound, float("inf"))
            writer.write(time_s, image)
        for _ in sound:
            pass
        writer.close()


def _open_movie(path: Path) -> Any:
    """An mp4 container for writing, without date and version in it, whose edit lists keep starts to the tick."""
    options = {"fflags": "+bitexact", "movflags": "+faststart", "movie_timescale": str(VIDEO_TICK.denominator)}
    return av.open(f"file:{path}", "w", format="mp4", options=options)


class _MovieWriter:
    """The pictures of an open mp4. The stream is created when the first image, and so its size, is known."""

    def __init__(self, container: Any, fps: float, preset: str = SMALL):
        self._container, self._rate, self._last = container, Fraction(fps).limit_denominator(1001), -1
        self._stream: Any | None = None
        self._size, self._preset = (0, 0), preset

    def open(self, image: NDArray[np.uint8]) -> None:
        """Create the stream for images of this size; an odd side gets one more row or column."""
        self._size = image.shape[:2]
        stream = self._container.add_stream("libx264", rate=self._rate, options={**_X264, "preset": self._preset})
        stream.height, stream.width = (side + side % 2 for side in self._size)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = VIDEO_TICK
        self._stream = stream

    def write(self, time_s: float, image: NDArray[np.uint8]) -> None:
        """Encode an RGB image (h, w, 3) shown at `time_s` (s); times must increase, the size must stay."""
        if self._stream is None:
            self.open(image)
        assert self._stream is not None
        if image.shape[:2] != self._size:
            raise ValueError(f"image is {image.shape[:2]}, but the movie is {self._size} (height, width)")
        frame = av.VideoFrame.from_ndarray(_even(image), format="rgb24")
        pts = round(time_s / VIDEO_TICK)
        if pts <= self._last:
            raise ValueError(f"time {time_s} s is not after the frame before")
        frame.pts, frame.time_base, self._last = pts, VIDEO_TICK, pts
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    bottom, right = image.shape[0] % 2, image.shape[1] % 2
    if bottom or right:
        return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)


def _encode_sound(container: Any, audio: NDArray[np.floating[Any]], rate: int) -> Iterator[float]:
    """Add a stream now; then encode block by block, and yield the time (s) up to which sound is written."""
    stream, samples = container.add_stream("aac", rate=rate, layout="mono"), np.asarray(audio, dtype=np.float32)

    def encode() -> Iterator[float]:
        for start in range(0, len(samples), _AAC_BLOCK):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + _AAC_BLOCK], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
            yield (start + _AAC_BLOCK) / rate
        container.mux(stream.encode(None))

    return encode()


# From another movie


def rewrite_movie(source: str | Path, target: str | Path, draw: Draw, limits: MediaLimits | None = None) -> None:
    """Write `source` as mp4 with every picture replaced by `draw(frame)`, atomically and in bounded memory.

    Args:
        source: a file with pictures, with or without sound.
        target: the mp4 to write.
        draw: returns an RGB image (h, w, 3) uint8 for a frame; any size, but the same for all frames.
        limits: limits on the source; None for the defaults.

    Frames keep their times, the sound its position; sound packets are copied where mp4 takes their codec. (Copied sound
    with a late start may play up to 30 ms of the codec's priming, which the source's header hid.)

    Raises:
        InputError: the source can't be opened, exceeds a limit, has no pictures, or none decodes.
    """
    try:
        try:
            _rewrite(Path(source), Path(target), draw, limits, copying=True)
        except av.FFmpegError as error:  # packets that do not belong together, or times that mp4 can't express
            _log.warning("%s: sound is re-encoded (%s)", plain_name(Path(source).name), reason(error))
            _rewrite(Path(source), Path(target), draw, limits, copying=False)
    except av.FFmpegError as error:
        remedy = "leave the overlay out (inference.overlay=false), or re-encode the file"
        raise InputError(f"can't be redrawn as a movie ({reason(error)})", file=source, remedy=remedy) from error


def _rewrite(source: Path, target: Path, draw: Draw, limits: MediaLimits | None, copying: bool) -> None:
    with open_source(source, limits) as opened:
        require_video(opened)
        with replacing(target) as partial, _open_movie(partial) as container:
            fps = nominal_fps(opened.video)
            writer = _MovieWriter(container, fps if fps > 0 else 25.0)
            _Rewriter(opened, container, writer, draw, copying).run()


class _Picture(NamedTuple):
    time_s: float
    drawn: NDArray[np.uint8]


class _SoundPacket(NamedTuple):
    """A packet of sound as stored (None for a flush packet), and the frames it decodes to."""

    stored: Any
    frames: list[Any]


class _Rewriter:
    def __init__(self, source: Source, container: Any, writer: _MovieWriter, draw: Draw, copying: bool):
        self._source, self._container, self._writer, self._draw = source, container, writer, draw
        self._copying = copying
        self._started = False
        self._sound: _CopiedSound | _EncodedSound | None = None
        self._waiting: list[_SoundPacket] = []  # sound that precedes the first picture, which gives the size

    def run(self) -> None:
        """Pass once over the packets; pictures are decoded and drawn while earlier ones are encoded."""
        events = self._events()
        for event in events:
            self._write(event)
            if self._started:  # from here on only the reading thread uses the source
                break
        for event in prefetch(events):
            self._write(event)
        if not self._started:
            raise undecodable(self._source, "video")
        if self._sound is not None:
            self._sound.close()
        self._writer.close()

    def _events(self) -> Iterator[_Picture | _SoundPacket]:
        """Pictures, drawn, and packets of sound, in file order."""
        source, clock, convert, count = self._source, FrameClock(self._source), DisplayConverter(self._source), 0
        for stream, packet, frames in decode(source, source.streams):
            if stream is not source.video:
                yield _SoundPacket(packet, frames)
                continue
            for frame in frames:
                image = VideoFrame(count, clock(frame), convert(frame))
                yield _Picture(image.time_s, self._draw(image))
                count += 1

    def _write(self, event: _Picture | _SoundPacket) -> None:
        if isinstance(event, _Picture):
            if not self._started:
                self._start(event.drawn)
            self._writer.write(event.time_s, event.drawn)
        elif self._started:
            self._write_sound(event)
        else:
            self._waiting.append(event)

    def _start(self, drawn: NDArray[np.uint8]) -> None:
        self._started = True
        self._writer.open(drawn)  # both streams must exist before anything is written
        audio = self._source.audio
        if audio is not None:
            copied = self._copying and audio.codec_context.codec.canonical_name in _COPIED_CODECS
            self._sound = (_CopiedSound if copied else _EncodedSound)(self._source, audio, self._container)
        for packet in self._waiting:
            self._write_sound(packet)
        self._waiting.clear()

    def _write_sound(self, packet: _SoundPacket) -> None:
        if self._sound is not None:
            self._sound.write(packet)


class _CopiedSound:
    """Copies packets unchanged, moved to the new container's start."""

    def __init__(self, source: Source, audio: Any, container: Any):
        self._container, self._stream = container, container.add_stream_from_template(audio)
        self._shift = round(source.origin / audio.time_base)

    def write(self, packet: _SoundPacket) -> None:
        stored = packet.stored
        if stored is None or stored.dts is None:  # a flush packet
            return
        stored.dts, stored.pts = stored.dts - self._shift, stored.pts - self._shift
        stored.stream = self._stream
        self._container.mux(stored)

    def close(self) -> None:
        """Nothing is held back."""


class _EncodedSound:
    """Encodes decoded frames as AAC, each at its own time, all in the rate and channels of the first."""

    def __init__(self, source: Source, audio: Any, container: Any):
        context = audio.codec_context
        self._rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
        self._layout = _AAC_LAYOUTS.get(context.channels, "stereo")
        self._container = container
        self._stream = container.add_stream("aac", rate=self._rate, layout=self._layout)
        self._placed = PlacedSound(source, audio, self._rate, self._layout)

    def write(self, packet: _SoundPacket) -> None:
        for frame in packet.frames:
            self._encode(self._placed.push(frame))

    def close(self) -> None:
        self._encode(self._placed.finish())
        self._container.mux(self._stream.encode(None))

    def _encode(self, blocks: Iterator[tuple[int, NDArray[np.float32]]]) -> None:
        for start, block in blocks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, start, Fraction(1, self._rate)
            self._container.mux(self._stream.encode(frame))
