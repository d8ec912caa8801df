"""Small media files with known content, made for the tests of `iaca.media`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

TICK = Fraction(1, 90000)


def steady(count: int, fps: float = 25.0, start: float = 0.0) -> list[float]:
    """Times (s) of frames at a constant rate."""
    return [start + k / fps for k in range(count)]


def grey(level: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A picture of one grey level."""
    return np.full((height, width, 3), level, np.uint8)


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> NDArray[np.float32]:
    """A sine (n,)."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def make(
    path: Path,
    times: Sequence[float] = (),
    images: Sequence[NDArray[np.uint8]] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    sounds: Sequence[tuple[float, NDArray[np.float32]]] = (),
    rate: int = 16000,
    layout: str = "mono",
    audio_codec: str = "aac",
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    pixel: Fraction = Fraction(1),
) -> Path:
    """Write pictures at `times` (s), and stretches of sound (start s, samples (n,) the same in all channels, or
    (channels, n)).

    `b_frames` pictures in a row may refer to later ones; `options` go to the video encoder;
    a pixel is `pixel` times as wide as high.
    """
    pictures = [grey(128)] * len(times) if images is None else images
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        video = None
        if len(times):
            video = container.add_stream(
                codec, rate=25, options={**({"preset": "ultrafast"} if "x26" in codec else {}), **(options or {})}
            )
            video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], pix_fmt
            # AVI knows only steady frames, and so do the encoders of MPEG-1 and MPEG-2
            base = Fraction(1, 25) if path.suffix == ".avi" or codec.startswith("mpeg") else TICK
            video.codec_context.time_base = base
            video.codec_context.max_b_frames = b_frames
            if pixel != 1:
                video.codec_context.sample_aspect_ratio = pixel
            if rotation:
                video.set_display_rotation(rotation)
        audio = container.add_stream(audio_codec, rate=rate, layout=layout) if sounds else None
        for start, samples in sounds:
            _put_sound(container, audio, start, samples, rate, layout)
        for time, picture in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(video.encode(frame))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def _put_sound(container, stream, start, samples, rate, layout):
    channels = len(av.AudioLayout(layout).channels)
    each = np.tile(samples, (channels, 1)) if samples.ndim == 1 else samples
    for at in range(0, each.shape[1], 1024):
        block = np.ascontiguousarray(each[:, at : at + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate) + at, Fraction(1, rate)
        container.mux(stream.encode(frame))


WAYS = {
    "identity": ((1, 0, 0, 1), lambda stored: stored),
    "mirrored": ((-1, 0, 0, 1), lambda stored: stored[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda stored: stored[::-1]),
    "half turn": ((-1, 0, 0, -1), lambda stored: stored[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda stored: stored.swapaxes(0, 1)[:, ::-1]),
    "counterclockwise": ((0, -1, 1, 0), lambda stored: stored.swapaxes(0, 1)[::-1]),
    "transposed": ((0, 1, 1, 0), lambda stored: stored.swapaxes(0, 1)),
    "transverse": ((0, -1, -1, 0), lambda stored: stored.swapaxes(0, 1)[::-1, ::-1]),
}
"""The eight ways to display a picture: a, b, c, d of the display matrix (x' = a x + c y, y' = b x + d y), and the
displayed picture (h, w, 3) of a stored one."""


def set_display_matrix(path: Path, way: tuple[int, int, int, int], scale: float = 1.0) -> Path:
    """Write a display matrix into the header of an mp4's only track."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (round(65536 * scale * value) for value in way)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 4 + 40, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
