"""Legal and unusual files: what comes out of them has to be right."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from make_media import grey, make, steady, tone
from matroska import jpeg, matroska, pictures, sound
from media_case import ODD, REFUSED, SECOND, Hostile

FORMS = {
    "1 bit.avi": ("rawvideo", "monow"),
    "1 bit png.mov": ("png", "monob"),
    "16 bit grey.mkv": ("ffv1", "gray16le"),
    "odd planes.mkv": ("ffv1", "yuv410p"),
    "alpha.mkv": ("ffv1", "bgra"),
    "48 bit.mov": ("png", "rgb48be"),
    "15 bit.avi": ("rawvideo", "rgb555le"),
}
"""Name -> codec and pixel format."""
TIMES = {
    "twice.mkv": ([0, 40, 40, 40, 120], [0.0, 0.04, 0.041, 0.042, 0.12]),
    "falls back.mkv": ([0, 40, 30, 20, 120, 160], [0.0, 0.04, 0.041, 0.042, 0.12, 0.16]),
    "jumps an hour.mkv": ([0, 40, 80, 3600080, 3600120], [0.0, 0.04, 0.08, 3600.08, 3600.12]),
    "starts again.mkv": ([0, 40, 5000, 0, 40, 80], [0.0, 0.04, 5.0, 5.04, 5.08, 5.12]),
}
"""Name -> timestamps (ms) and the times (s) that the rules make of them."""


def odd() -> Iterator[Hostile]:
    """All of them."""
    yield from sizes()
    yield from clocks()
    yield from forms()


def sizes() -> Iterator[Hostile]:
    """The smallest there is, and what changes in the midst."""
    for name, height, width in (("1x1.mkv", 1, 1), ("2x2.mkv", 2, 2), ("1x400.mkv", 400, 1), ("400x1.mkv", 1, 400)):
        picture = jpeg(9, height, width)
        tiny = partial(matroska, tracks=[pictures(width, height)], blocks=[(0, 0, picture), (0, 40, picture)])
        yield Hostile(name, "tiny", tiny, ODD, times=(0.0, 0.04))
    one = partial(matroska, tracks=[pictures(), sound()], blocks=[(0, 0, jpeg()), (1, 0, b"\x01\x00")])
    yield Hostile("one frame, one sample.mkv", "tiny", one, ODD, times=(0.0,))
    growing = [(0, 40 * k, jpeg(99, 48 + 16 * k, 64 + 8 * (k % 3))) for k in range(9)]
    sized = partial(matroska, tracks=[pictures()], blocks=growing)
    yield Hostile("changes size.mkv", "changes", sized, ODD, times=tuple(steady(9)))
    yield Hostile("changes all.ts", "changes", _changing, ODD, times=tuple(steady(10)), abs_s=2e-5)


def clocks() -> Iterator[Hostile]:
    """Frame rates and timestamps."""
    stepped = np.cumsum([0, *[1, 2, 1, 3] * 100])
    quick = partial(matroska, tracks=[pictures()], blocks=[(0, int(t), jpeg()) for t in stepped])
    yield Hostile("1000 fps.mkv", "frame rate", quick, ODD, times=tuple(t / 1000 for t in stepped))
    finer = [k / 4500 for k in range(1200)]  # s: twenty ticks of 1/90000
    few, many = partial(make, times=finer[:200]), partial(make, times=finer)
    yield Hostile("4500 fps.mp4", "frame rate", few, ODD, times=tuple(finer[:200]))
    yield Hostile("4500 fps, long.mp4", "frame rate", many, REFUSED, "max_frames_per_s")
    burst = partial(matroska, tracks=[pictures()], blocks=[(0, k // 4, jpeg()) for k in range(1500)])
    yield Hostile("1500 at once.mkv", "frame rate", burst, ODD, times=tuple(k / 1000 for k in range(1500)))
    early = partial(make, times=steady(10, start=-0.2))
    yield Hostile("starts at -0.2.ts", "timestamps", early, ODD, times=tuple(steady(10)), abs_s=2e-5)
    before = partial(matroska, tracks=[pictures()], blocks=[(0, t, jpeg()) for t in range(-200, 200, 40)])
    yield Hostile("before zero.mkv", "timestamps", before)
    jump = [0.0, 0.04, 0.08, 3600.08, 3600.12]
    yield Hostile("few and far.mp4", "timestamps", partial(make, times=jump), ODD, times=tuple(jump))
    for name, (given, times) in TIMES.items():
        write = partial(matroska, tracks=[pictures()], blocks=[(0, t, jpeg()) for t in given])
        yield Hostile(name, "timestamps", write, ODD, times=tuple(times))


def forms() -> Iterator[Hostile]:
    """Pixels, samples, and a picture that is no video."""
    covered = partial(matroska, tracks=[pictures()], blocks=SECOND, cover=jpeg(200, 300, 300))
    yield Hostile("cover.mkv", "attached picture", covered, ODD, times=tuple(steady(25)))
    for name, (codec, form) in FORMS.items():
        write = partial(make, times=steady(3), codec=codec, pix_fmt=form)
        yield Hostile(name, "pixel formats", write, ODD, times=tuple(steady(3)))
    for name, samples in sounds().items():
        tracks = [pictures(), sound(192000 if "192" in name else 16000, 1, True)]
        loud = partial(matroska, tracks=tracks, blocks=[*SECOND, (1, 0, samples.tobytes())])
        yield Hostile(name, "sound", loud, ODD, times=tuple(steady(25)))


def sounds() -> dict[str, np.ndarray]:
    """One second each, as floating-point samples."""
    nan, plain = tone(1.0, 16000), tone(1.0, 16000)
    nan[4000:4100], nan[8000], nan[12000] = np.nan, np.inf, -np.inf
    return {
        "192 kHz.mkv": tone(1.0, 192000), "not a number.mkv": nan, "all nan.mkv": np.full(16000, np.nan, np.float32),
        "beyond scale.mkv": (1e30 * plain).astype(np.float32), "direct current.mkv": np.ones(16000, np.float32),
        "full scale.mkv": np.sign(plain).astype(np.float32),
    }  # fmt: skip


def _changing(path: Path) -> None:
    """A transport stream in which size, sampling rate and channels change."""
    a, b = path.with_suffix(".a.ts"), path.with_suffix(".b.ts")
    make(a, steady(5), [grey(50)] * 5, sounds=[(0.0, tone(0.2, 16000))])
    times, louder = steady(5, start=0.2), [(0.2, tone(0.2, 48000))]
    make(b, times, [grey(90, 80, 96)] * 5, sounds=louder, rate=48000, layout="stereo")
    path.write_bytes(a.read_bytes() + b.read_bytes())
    a.unlink()
    b.unlink()
