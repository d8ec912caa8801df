"""Writing H.264 movies whose frames keep their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.files import replacing

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
