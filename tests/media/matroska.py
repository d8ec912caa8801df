"""A Matroska file byte by byte: any header, any times, as many streams as one likes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

VIDEO, AUDIO, SUBTITLE = 1, 2, 17


@dataclass(frozen=True)
class Track:
    """A stream: its kind, its codec, and what its header says."""

    kind: int
    codec: bytes
    header: bytes = b""


def element(name: str, *content: bytes) -> bytes:
    """An element; `name` is its identifier in hexadecimal digits."""
    body = b"".join(content)
    return bytes.fromhex(name) + b"\x01" + len(body).to_bytes(7, "big") + body


def number(name: str, value: int) -> bytes:
    """An element that holds a whole number."""
    return element(name, value.to_bytes(8, "big"))


def real(name: str, value: float) -> bytes:
    """An element that holds a floating-point number."""
    return element(name, struct.pack(">d", value))


def pictures(width: int = 64, height: int = 48) -> Track:
    """A stream of JPEG pictures whose header names this size (px)."""
    return Track(VIDEO, b"V_MJPEG", element("E0", number("B0", width), number("BA", height)))


def sound(rate: float = 16000, channels: int = 1, floating: bool = False) -> Track:
    """A stream of PCM, 16 bit or 32 bit floating, of this rate (Hz)."""
    codec, bits = (b"A_PCM/FLOAT/IEEE", 32) if floating else (b"A_PCM/INT/LIT", 16)
    return Track(AUDIO, codec, element("E1", real("B5", rate), number("9F", channels), number("6264", bits)))


def jpeg(level: int = 128, height: int = 48, width: int = 64) -> bytes:
    """A picture of one grey level, as JPEG."""
    file = BytesIO()
    Image.fromarray(np.full((height, width, 3), level, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def matroska(
    path: Path,
    tracks: Sequence[Track],
    blocks: Iterable[tuple[int, int, bytes]],
    duration_ms: float | None = None,
    cover: bytes | None = None,
) -> Path:
    """Write blocks (track from 0, time in ms, data) in their order; a time may be as low as -32768.

    `duration_ms` is what the header claims; `cover` is attached as a picture.
    """
    head = element("1A45DFA3", element("4282", b"matroska"), number("4287", 4), number("4285", 2))
    claimed = [] if duration_ms is None else [real("4489", duration_ms)]
    entries = [
        element("AE", number("D7", k), number("73C5", k), number("83", t.kind), element("86", t.codec), t.header)
        for k, t in enumerate(tracks, start=1)
    ]
    clusters = [_cluster(track + 1, time, data) for track, time, data in blocks]
    attached = [] if cover is None else [_attachment(cover)]
    info = element("1549A966", number("2AD7B1", 1_000_000), *claimed)
    path.write_bytes(head + element("18538067", info, element("1654AE6B", *entries), *attached, *clusters))
    return path


def _cluster(track: int, time: int, data: bytes) -> bytes:
    base, relative = max(time, 0), min(time, 0)
    place = (0x4000 | track).to_bytes(2, "big") + struct.pack(">h", relative) + b"\x80"
    return element("1F43B675", number("E7", base), element("A3", place, data))


def _attachment(cover: bytes) -> bytes:
    parts = (element("466E", b"cover.jpg"), element("4660", b"image/jpeg"), element("465C", cover), number("46AE", 1))
    return element("1941A469", element("61A7", *parts))
