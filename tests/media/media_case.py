"""One odd or hostile file, and the whole file that others are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from make_media import make, steady, tone
from matroska import jpeg

BROKEN = "broken"
"""Either what is left of it comes out, or an error that names the file."""
REFUSED = "refused"
"""An error that names the file, with these words in it."""
ODD = "odd"
"""Legal: one row per frame, at these times (s)."""
SECOND = [(0, 40 * k, jpeg(10 * k)) for k in range(25)]
"""A second of pictures, as blocks of a Matroska file."""


@dataclass(frozen=True)
class Hostile:
    """One file: its name, what it is, how it is written, and what has to come of it."""

    name: str
    family: str
    write: Callable[[Path], object]
    outcome: str = BROKEN
    words: str = ""
    times: tuple[float, ...] = ()
    abs_s: float = 1e-9


def good(path: Path) -> Path:
    """A whole file: 12 pictures that differ, half a second of sound."""
    noise = np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), dtype=np.uint8)
    webm = path.suffix == ".webm"
    return make(
        path, steady(12), list(noise), "libvpx" if webm else "mpeg4" if path.suffix == ".avi" else "libx264",
        sounds=[(0.0, tone(0.5, 48000 if webm else 16000))], rate=48000 if webm else 16000,
        audio_codec="libopus" if webm else "mp2" if path.suffix == ".avi" else "aac",
    )  # fmt: skip
