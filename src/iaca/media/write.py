"""Sound of another movie as AAC, whatever it was: each stretch at its own time.

Writing H.264 movies whose frames keep their times.

Redrawing the pictures of a movie while its sound stays as it is.
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
from iaca.media.video import FrameClock, Upright, VideoFrame, made_ahead, nominal_fps, require_video

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}


class EncodedSound:
    """Decoded frames as AAC, each at its own time; what changes its rate or its channels is brought to the first."""

    def __init__(self, source: Source, audio: Any, container: Any):
        context = audio.codec_context
        self._rate = context.sample_rate if context.sample_rate in AAC_RATES else 48000
        self._layout = AAC_LAYOUTS.get(context.channels, "stereo")
        self._container = container
        self._stream = container.add_stream("aac", rate=self._rate, layout=self._layout)
        self._placing = PlacedSound(source, audio, self._rate, self._layout)

    def write(self, packet: Any, frames: list[Any]) -> None:
        """Encode what a packet decodes to."""
        for frame in frames:
            self._encode(self._placing.push(frame))

    def close(self) -> None:
        """Encode what is held back."""
        self._encode(self._placing.finish())
        self._container.mux(self._stream.encode(None))

    def _encode(self, blocks: Iterator[tuple[int, NDArray[np.float32]]]) -> None:
        for start, block in blocks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, start, Fraction(1, self._rate)
            self._container.mux(self._stream.encode(frame))


VIDEO_TICK = Fraction(1, 90000)
"""Unit of the written timestamps (s): exact for all usual frame rates."""

# Without B-frames a frame's decoding time is its presentation time, which keeps any timestamps valid.
_X264 = {"crf": "20", "bf": "0", "threads": "1"}
# The preset without lookahead: with it, about one in a thousand encodings of the same frames gave other bytes (5 of
# 5,600 with `veryfast`, 0 of 2,900 without), and what is trained on a rendered corpus would not repeat bit for bit.
REPEATABLE, SMALL = "ultrafast", "veryfast"
_AAC_BLOCK = 1024


class MovieWriter:
    """An open mp4: the video stream is made when its first image, and so its size, is known."""

    def __init__(self, container: Any, fps: float, preset: str = SMALL):
        self._container, self._rate, self._last = container, Fraction(fps).limit_denominator(1001), -1
        self._stream: Any | None = None
        self._size, self._preset = (0, 0), preset

    def open(self, image: NDArray[np.uint8]) -> None:
        """Make the stream for images of this size; an odd side gets one more row or column."""
        self._size = image.shape[:2]
        stream = self._container.add_stream("libx264", rate=self._rate, options={**_X264, "preset": self._preset})
        stream.height, stream.width = (side + side % 2 for side in self._size)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = VIDEO_TICK
        self._stream = stream

    def write(self, time_s: float, image: NDArray[np.uint8]) -> None:
        """Encode an RGB image (h, w, 3) that is shown at `time_s` (s); times must increase, sizes stay."""
        if self._stream is None:
            self.open(image)
        assert self._stream is not None
        if image.shape[:2] != self._size:
            raise ValueError(f"image is {image.shape[:2]}, but the movie is {self._size} (height, width)")
        frame = av.VideoFrame.from_ndarray(_even(image), format="rgb24")
        pts = round(time_s / VIDEO_TICK)
        if pts <= self._last:
            raise ValueError(f"time {time_s} s does not come after the frame before")
        frame.pts, frame.time_base, self._last = pts, VIDEO_TICK, pts
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    bottom, right = image.shape[0] % 2, image.shape[1] % 2
    return (
        np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
        if bottom or right
        else np.ascontiguousarray(image)
    )


def open_movie(path: Path) -> Any:
    """An mp4 container for writing, without date and version in it, whose edit lists keep starts to the tick."""
    options = {"fflags": "+bitexact", "movflags": "+faststart", "movie_timescale": str(VIDEO_TICK.denominator)}
    return av.open(f"file:{path}", "w", format="mp4", options=options)


def write_movie(
    path: str | Path,
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    fps: float,
    audio: NDArray[np.floating[Any]] | None = None,
    audio_rate: int = 16000,
) -> None:
    """Write an H.264 (yuv420p) and AAC mp4; equal input gives equal bytes, and the file appears whole or not at all.

    Args:
        path: target.
        frames: (time_s, RGB image (h, w, 3) uint8) with increasing times (s from the container's start) and one size.
        fps: nominal rate (Hz) for the header and rate control; the times alone decide when a frame is shown.
        audio: (n,) mono in -1..1 from the container's start, or None.
        audio_rate: its sampling rate (Hz); a rate that AAC has.

    Raises:
        InputError: there are no frames.
        ValueError: times do not increase, or the size of the images changes.
    """
    with replacing(path) as partial, open_movie(partial) as container:
        writer, iterator = MovieWriter(container, fps, REPEATABLE), iter(frames)
        first = next(iterator, None)
        if first is None:
            raise InputError("a movie needs at least one frame.", file=path, remedy="check the source of the frames")
        writer.open(first[1])  # all streams must exist before anything is written
        sound = iter(()) if audio is None else _encode_sound(container, audio, audio_rate)
        writer.write(*first)
        until = -1.0
        for time_s, image in iterator:
            while until < time_s:  # sound goes along with the pictures, so that nothing piles up in the muxer
                until = next(sound, float("inf"))
            writer.write(time_s, image)
        for _ in sound:
            pass
        writer.close()


def _encode_sound(container: Any, audio: NDArray[np.floating[Any]], rate: int) -> Iterator[float]:
    """Encode block by block; yields the time (s) up to which sound is written."""
    stream = container.add_stream("aac", rate=rate, layout="mono")
    return _sound_blocks(container, stream, np.asarray(audio, dtype=np.float32), rate)


def _sound_blocks(container: Any, stream: Any, audio: NDArray[np.float32], rate: int) -> Iterator[float]:
    for start in range(0, len(audio), _AAC_BLOCK):
        frame = av.AudioFrame.from_ndarray(audio[None, start : start + _AAC_BLOCK], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        container.mux(stream.encode(frame))
        yield (start + _AAC_BLOCK) / rate
    container.mux(stream.encode(None))


_log = logging.getLogger(__name__)
COPIED_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
"""Sound that mp4 takes as it is; any other is encoded anew as AAC."""


def rewrite_movie(
    source: str | Path,
    target: str | Path,
    draw: Callable[[VideoFrame], NDArray[np.uint8]],
    limits: MediaLimits | None = None,
) -> None:
    """Write `source` as mp4 with every picture replaced by `draw(frame)`, in bounded memory.

    Args:
        source: a file with pictures, with or without sound.
        target: the mp4 to write; it appears whole or not at all.
        draw: gives an RGB image (h, w, 3) uint8 for a frame; any size, but the same for all frames.
        limits: what the source may hold; None for the usual ones.

    Each frame keeps its time, the sound its place; sound packets are copied where mp4 takes their codec. (Copied sound
    with a late start may show up to 30 ms of the codec's run-in, which the source's header hid.)

    Raises:
        InputError: the source can't be opened, is beyond a limit, has no pictures, or none decodes.
    """
    try:
        try:
            _rewrite(Path(source), Path(target), draw, limits, copying=True)
        except av.FFmpegError as error:  # packets that do not belong together, times that mp4 has not
            _log.warning("%s: its sound is encoded anew (%s)", plain_name(Path(source).name), reason(error))
            _rewrite(Path(source), Path(target), draw, limits, copying=False)
    except av.FFmpegError as error:
        remedy = "leave the overlay out (inference.overlay=false), or re-encode the file"
        raise InputError(f"can't be redrawn as a movie ({reason(error)})", file=source, remedy=remedy) from error


def _rewrite(
    source: Path, target: Path, draw: Callable[..., NDArray[np.uint8]], limits: MediaLimits | None, copying: bool
) -> None:
    with open_source(source, limits) as opened:
        require_video(opened)
        with replacing(target) as partial, open_movie(partial) as container:
            fps = nominal_fps(opened.video)
            writer = MovieWriter(container, fps if fps > 0 else 25.0)
            _Rewriting(opened, container, writer, draw, copying).run()


class _Picture(NamedTuple):
    time_s: float
    drawn: NDArray[np.uint8]


class _Packet(NamedTuple):
    """Sound as it is stored, and decoded; a flush packet is None."""

    stored: Any
    frames: list[Any]


class _Rewriting:
    def __init__(
        self,
        source: Source,
        container: Any,
        writer: MovieWriter,
        draw: Callable[..., NDArray[np.uint8]],
        copying: bool,
    ):
        self._source, self._container, self._writer, self._draw = source, container, writer, draw
        self._copying = copying
        self._started = False
        self._sound: _CopiedSound | EncodedSound | None = None
        self._waiting: list[_Packet] = []  # sound that comes before the first picture gives the size

    def run(self) -> None:
        """Pass once over the packets; pictures are decoded and drawn while those before are encoded."""
        events = self._events()
        for event in events:
            self._write(event)
            if self._started:  # from here on nobody but the reading thread touches the source
                break
        for event in made_ahead(events):
            self._write(event)
        if not self._started:
            raise undecodable(self._source, "video")
        if self._sound is not None:
            self._sound.close()
        self._writer.close()

    def _events(self) -> Iterator[_Picture | _Packet]:
        """Pictures, drawn, and packets of sound, in file order."""
        source, clock, upright, count = self._source, FrameClock(self._source), Upright(), 0
        for stream, packet, frames in decode(source, [s for s in (source.video, source.audio) if s is not None]):
            if stream is not source.video:
                yield _Packet(packet, frames)
                continue
            for frame in frames:
                image = VideoFrame(count, clock(frame), upright(frame))
                yield _Picture(image.time_s, self._draw(image))
                count += 1

    def _write(self, event: _Picture | _Packet) -> None:
        if isinstance(event, _Picture):
            if not self._started:
                self._start(event.drawn)
            self._writer.write(event.time_s, event.drawn)
        elif self._started:
            self._sound_packet(event)
        else:
            self._waiting.append(event)

    def _start(self, drawn: NDArray[np.uint8]) -> None:
        self._started = True
        self._writer.open(drawn)  # both streams must exist before anything is written
        if self._source.audio is not None:
            copied = self._copying and self._source.audio.codec_context.codec.canonical_name in COPIED_CODECS
            self._sound = (_CopiedSound if copied else EncodedSound)(self._source, self._source.audio, self._container)
        for packet in self._waiting:
            self._sound_packet(packet)
        self._waiting.clear()

    def _sound_packet(self, packet: _Packet) -> None:
        if self._sound is not None:
            self._sound.write(packet.stored, packet.frames)


class _CopiedSound:
    """Packets as they are, moved to the new container's start."""

    def __init__(self, source: Source, audio: Any, container: Any):
        self._container, self._stream = container, container.add_stream_from_template(audio)
        self._shift = round(source.origin / audio.time_base)

    def write(self, packet: Any, frames: list[Any]) -> None:
        if packet is None or packet.dts is None:  # a flush packet
            return
        packet.dts, packet.pts = packet.dts - self._shift, packet.pts - self._shift
        packet.stream = self._stream
        self._container.mux(packet)

    def close(self) -> None:
        """Nothing is held back."""
