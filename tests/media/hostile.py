"""Hostile media: files that are broken, that lie, that name other files, that ask for too much, or have odd names. Each
is written by a few lines, the same in every run."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from make_media import steady
from matroska import SUBTITLE, Track, jpeg, matroska, pictures, sound
from media_case import ODD, REFUSED, SECOND, Hostile, good
from odd_media import odd

YEARS_100 = 100 * 365 * 86400
"""Seconds."""


def moov_first(path: Path) -> Path:
    """An mp4 whose index comes before its content."""
    data = good(path).read_bytes()
    index = data.index(b"moov") - 4
    size = struct.unpack(">I", data[index : index + 4])[0]
    moov, start = bytearray(data[index : index + size]), data.index(b"mdat") - 4
    at = -1
    while (at := moov.find(b"stco", at + 1)) >= 0:
        count = struct.unpack_from(">I", moov, at + 8)[0]
        for k in range(count):
            place = at + 12 + 4 * k
            struct.pack_into(">I", moov, place, struct.unpack_from(">I", moov, place)[0] + size)
    path.write_bytes(data[:start] + bytes(moov) + data[start:index] + data[index + size :])
    return path


def _part(whole: bytes, share: float) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(whole[: int(share * len(whole))])


def _flipped(whole: bytes, seed: int) -> Callable[[Path], object]:
    data, random = np.frombuffer(whole, np.uint8).copy(), np.random.default_rng(seed)
    places = random.integers(0, len(data), max(len(data) // 500, 4))
    np.bitwise_xor.at(data, places, (1 << random.integers(0, 8, len(places))).astype(np.uint8))
    return lambda path: path.write_bytes(data.tobytes())


def damaged(scratch: Path, shares: list[float], seeds: range) -> Iterator[Hostile]:
    """Files broken off at these shares of their length, and files with bits turned over."""
    wholes = {suffix: good(scratch / f"whole{suffix}").read_bytes() for suffix in (".mp4", ".mkv", ".webm", ".avi")}
    wholes[".first.mp4"] = moov_first(scratch / "first.mp4").read_bytes()
    for suffix, whole in wholes.items():
        for share in shares:
            yield Hostile(f"cut {100 * share:.0f}%{suffix}", "broken off", _part(whole, share))
        for seed in seeds:
            yield Hostile(f"bits {seed}{suffix}", "bits turned over", _flipped(whole, seed))


def references(target: Path, address: str = "http://127.0.0.1:9/x.mp4") -> Iterator[Hostile]:
    """Files that are text and name another file, `target`, or the network; and pictures."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    dash = "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011' profiles='urn:mpeg:dash:profile:isoff-on-demand:2011'>{}</MPD>"
    texts = {
        "list.mp4": f"ffconcat version 1.0\nfile '{target}'\n",
        "near.mp4": f"ffconcat version 1.0\nfile '{target.name}'\n",
        "hls.m3u8": hls.format(f"file://{target}"),
        "hls.mp4": hls.format(target),
        "http.m3u8": hls.format(address),
        "session.mp4": f"{session}a=rtpmap:96 H264/90000\n",
        "dash.mp4": dash.format(f"<Period><BaseURL>{address}</BaseURL></Period>"),
        "text.mp4": "this is no video\n" * 200,
        "subtitles.mp4": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    }
    for name, text in texts.items():
        write = partial(Path.write_text, data=text)
        yield Hostile(name, "text, playlists", write, REFUSED, "opened as|supported video or sound format")
    for name in ("picture.mp4", "frame%03d.mp4"):
        write = partial(Path.write_bytes, data=jpeg())
        yield Hostile(name, "text, playlists", write, REFUSED, "supported video or sound format")


def lies() -> Iterator[Hostile]:
    """Headers that claim what is not so, and content beyond every limit."""
    yield Hostile("empty.mp4", "no content", Path.touch, REFUSED, "the file is empty")
    yield Hostile("zeros.mp4", "no content", partial(Path.write_bytes, data=bytes(4096)), REFUSED, "can't be opened")
    for name, suffix in (("matroska.mp4", ".mkv"), ("avi.mp4", ".avi"), ("mp4.avi", ".mp4")):
        write = partial(_renamed, suffix=suffix)
        yield Hostile(name, "wrong ending", write, ODD, times=tuple(steady(12)), abs_s=2e-3)
    for what, seconds in (("4 h", 4 * 3600), ("100 years", YEARS_100)):
        long = partial(matroska, tracks=[pictures()], blocks=SECOND, duration_ms=1000.0 * seconds)
        yield Hostile(f"claims {what}.mkv", "claimed length", long, ODD, times=tuple(steady(25)))
        claiming = partial(_claiming, seconds=seconds)
        yield Hostile(f"claims {what}.mp4", "claimed length", claiming, ODD, times=tuple(steady(12)), abs_s=1e-4)
    yield from _large()
    yield from _many()


def _large() -> Iterator[Hostile]:
    """Pictures, times and rates beyond the limits, or claimed to be."""
    y4m = b"YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(5000)
    yield Hostile("60000.mp4", "huge pictures", partial(Path.write_bytes, data=y4m), REFUSED, "can't be opened")
    huge = jpeg(9, 4100, 4100)
    for name, claimed, blocks, outcome, times in (
        ("claims 20000.mkv", 20000, SECOND, ODD, tuple(steady(25))),
        ("4100.mkv", 4100, [(0, 0, huge)], REFUSED, ()),
        ("grows.mkv", 64, [*SECOND[:3], (0, 120, huge)], ODD, (0.0, 0.04, 0.08)),
    ):
        write = partial(matroska, tracks=[pictures(claimed, claimed)], blocks=blocks)
        yield Hostile(name, "huge pictures", write, outcome, "raise `media.max_pixels`", times)
    for name, late in (("jumps 100 years.mkv", (0, 1000 * YEARS_100, jpeg())),
                       ("sound in 100 years.mkv", (1, 1000 * YEARS_100, bytes(32)))):  # fmt: skip
        write = partial(matroska, tracks=[pictures(), sound()], blocks=[*SECOND, (1, 0, bytes(32000)), late])
        yield Hostile(name, "time jumps", write, REFUSED, "max_duration_s")
    for what, rate, channels in (("4 GHz", 4.0e9, 1), ("1 MHz", 1.0e6, 1), ("200 channels", 16000, 200)):
        write = partial(matroska, tracks=[pictures(), sound(rate, channels)], blocks=[*SECOND, (1, 0, bytes(800))])
        yield Hostile(f"{what}.mkv", "sound", write)


def _many() -> Iterator[Hostile]:
    """Streams."""
    for count in (150, 1200):
        many = partial(matroska, tracks=[pictures(), *[sound()] * count], blocks=SECOND)
        yield Hostile(f"{count} sounds.mkv", "many streams", many, REFUSED, "max_streams|can't be opened")
    titles = partial(matroska, tracks=[pictures(), *[Track(SUBTITLE, b"S_TEXT/UTF8")] * 90], blocks=SECOND)
    yield Hostile("90 subtitles.mkv", "many streams", titles, ODD, times=tuple(steady(25)))


def _renamed(path: Path, suffix: str) -> None:
    good(path.with_suffix(f".tmp{suffix}")).rename(path)


def _claiming(path: Path, seconds: int) -> None:
    data = bytearray(good(path).read_bytes())
    struct.pack_into(">II", data, data.index(b"mvhd") + 16, 1, seconds)
    path.write_bytes(data)


NAMES = (
    "two words.mp4", "caf\u00e9.mp4", "cafe\u0301.mp4", "it's \"quoted\".mp4", "-dash.mp4", "new\nline.mp4", "a..b.mp4",
    "n" * 246 + ".mp4", "100%d %s.mp4", ".hidden.mp4", "...mp4", "semi;colon, comma.mp4", "back\\slash.mp4",
)  # fmt: skip


def names(folder: Path, source: Path, outside: Path) -> None:
    """Put a good file under odd names into a folder, with links, a pipe and a folder that look like videos."""
    content = source.read_bytes()
    for name in NAMES:
        (folder / name).write_bytes(content)
    Path(os.fsdecode(os.fsencode(folder) + b"/no text \xff.mp4")).write_bytes(content)
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "nowhere.mp4").symlink_to("gone.mp4")
    (folder / "link.mp4").symlink_to(outside)
    (folder / "up").symlink_to(folder.parent)
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")


def everything(scratch: Path, shares: list[float], seeds: range) -> list[Hostile]:
    """All files but those that are odd by their names; `scratch` holds what they are made from."""
    scratch.mkdir(parents=True, exist_ok=True)
    target = good(scratch / "other.mp4")
    return [*damaged(scratch, shares, seeds), *references(target), *lies(), *odd()]
