"""Redrawing the pictures of a movie while its sound stays as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from iaca.errors import InputError, plain_name
from iaca.files import replacing
from iaca.media.ahead import made_ahead
from iaca.media.container import Source, decode, open_source, undecodable
from iaca.media.encoded import EncodedSound
from iaca.media.limits import MediaLimits
from iaca.media.movie import MovieWriter, open_movie
from iaca.media.opening import reason
from iaca.media.video import FrameClock, Upright, VideoFrame, nominal_fps, require_video

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
