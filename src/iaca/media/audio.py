"""Sound as 16 kHz mono on the container's clock: zero is the container's start, whatever the stream's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from iaca.media.audio_track import AudioTrack, Presence
from iaca.media.container import Clock, Source, decode, open_source, undecodable
from iaca.media.limits import MediaLimits

GAP_S = 0.02
"""Timestamps may stray by less than this (s) from an unbroken stream; more is a gap (zeros) or an overlap (cut)."""


def read_audio(path: str | Path, rate: int = 16000, limits: MediaLimits | None = None) -> AudioTrack:
    """Decode, mix to mono and resample the sound of a file.

    Channels are mixed by the standard matrix of libswresample, scaled so that nothing clips: two equal channels give
    that channel. A late start and gaps become zeros outside `present`. A file without sound gives an empty track.
    Samples that are no number, and the millisecond that resampling spreads them over, become zeros; what exceeds full
    scale is cut to it.

    Raises:
        InputError: the file can't be opened or is beyond a limit, or it has sound alone and not one frame of it
            decodes.
    """
    data, presence = bytearray(), Presence()  # a bytearray grows in place: hours of sound are held only once
    for start, block in audio_blocks(path, rate, limits):
        data.extend(bytes(4 * start - len(data)))
        data.extend(block.tobytes())
        presence.add(start, start + len(block))
    return AudioTrack(np.frombuffer(data, dtype=np.float32), rate, presence.seconds(rate))


def audio_blocks(
    path: str | Path, rate: int = 16000, limits: MediaLimits | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Stream what `read_audio` reads: (first sample, samples), in order and without overlap. Errors as there."""
    with open_source(path, limits) as source:
        if source.audio is None:
            return
        empty = True
        for block in _blocks(source, rate):
            empty = False
            yield block
        if empty and source.video is None:
            raise undecodable(source, "audio")


def _blocks(source: Source, rate: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    placing = PlacedSound(source, source.audio, rate, "mono")
    for _, _, frames in decode(source, [source.audio]):
        for frame in frames:
            for start, block in placing.push(frame):
                yield start, block[0]
    for start, block in placing.finish():
        yield start, block[0]


class PlacedSound:
    """Decoded frames of one stream as blocks of one rate and layout, each at its place: in order, without overlap.

    Args:
        source: the opened file.
        stream: its sound.
        rate: sampling rate of the blocks (Hz).
        layout: their channels, by FFmpeg's name.
    """

    def __init__(self, source: Source, stream: Any, rate: int, layout: str):
        self._source, self._rate, self._layout = source, rate, layout
        self._clock, self._expected = Clock(source.origin), source.start_s(stream)
        self._segment: _Segment | None = None

    def push(self, frame: Any) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(first sample, samples (channels, n) in -1..1) of what a frame completes.

        Raises:
            LimitError: the sound is beyond a limit.
        """
        path, limits = self._source.path, self._source.limits
        time = self._clock(frame, self._expected)
        limits.check_time(path, time + frame.samples / frame.sample_rate)
        if self._segment is None or not self._segment.fits(frame) or abs(time - self._expected) >= GAP_S:
            limits.check_sound(path, frame.sample_rate, frame.layout.nb_channels)
            yield from self.finish()
            earliest = 0 if self._segment is None else self._segment.position
            self._segment = _Segment(frame, round(time * self._rate), earliest, self._rate, self._layout)
            self._expected = time
        self._expected += frame.samples / frame.sample_rate
        yield from self._segment.push(frame)

    def finish(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """What is held back."""
        if self._segment is not None:
            yield from self._segment.push(None)


class _Segment:
    """A stretch of unbroken sound of one format: one resampler, and the place of its next output sample."""

    def __init__(self, frame: Any, start: int, earliest: int, rate: int, layout: str):
        self.position = max(start, earliest, 0)
        self._drop = self.position - start  # overlap with what was already placed
        self._format = self._describe(frame)
        # rematrix_maxval scales the mixing matrix, so that a mix of full-scale channels stays within full scale
        self._resampler = av.AudioResampler("fltp", layout, rate, options={"rematrix_maxval": "1.0"})

    @staticmethod
    def _describe(frame: Any) -> tuple[int, str, str]:
        return frame.sample_rate, frame.layout.name, frame.format.name

    def fits(self, frame: Any) -> bool:
        return self._describe(frame) == self._format

    def push(self, frame: Any | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Resample a decoded frame, or the rest (None)."""
        if frame is not None:
            frame.pts = None  # the place is known, and the resampler shall not fill or cut by itself
        for output in self._resampler.resample(frame):
            if output is None:  # what a resampler with nothing to do gives at the end
                continue
            block = output.to_ndarray()
            count = block.shape[1]
            cut = min(self._drop, count)
            self._drop -= cut
            if count > cut:
                yield self.position, _heard(block[:, cut:])
                self.position += count - cut


def _heard(block: NDArray[Any]) -> NDArray[np.float32]:
    """Samples (channels, n) in -1..1: floating-point sound can hold anything."""
    finite = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(finite, -1.0, 1.0), dtype=np.float32)
