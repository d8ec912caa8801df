"""Decodes sound to mono samples on the container's clock, and stores it as FLAC.

Zero is the container's start, whatever the start of the sound stream. A FLAC file of this project is 16-bit mono; its
comment tag is JSON: `present`, the intervals (s) in which sound exists, and `samples`, their number.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.files import replacing
from iaca.media.container import Clock, MediaLimits, Source, decode, open_source, undecodable
from iaca.text import parse_json

GAP_S = 0.02
"""Timestamps may differ by less than this (s) from unbroken sound; more is a gap (zeros) or an overlap (cut)."""
_BLOCK = 65536  # samples of silence that are written at once


class Samples(Protocol):
    """Samples (n,) that need not be in memory: an array, or anything with a length that can be sliced."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class AudioTrack:
    """Mono sound from the container's start.

    Attributes:
        samples: (n,) float32 in -1..1; zeros where there is no sound. An array, or `FlacSamples`, which read their file
            on demand.
        rate: sampling rate (Hz).
        present: intervals (start, end) in seconds, in order, in which the file contains sound. Empty without any.
    """

    samples: Samples
    rate: int
    present: tuple[tuple[float, float], ...]


def present_at(present: tuple[tuple[float, float], ...], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the times (s) are within one of the intervals [start, end) in which sound exists."""
    inside = np.zeros(len(times), bool)
    for start, end in present:
        inside |= (times >= start) & (times < end)
    return inside


# Decoding


def read_audio(path: str | Path, rate: int = 16000, limits: MediaLimits | None = None) -> AudioTrack:
    """Decode the sound of a file, mix it to mono and resample it.

    Channels are mixed by the standard matrix of libswresample, scaled so that nothing clips: two equal channels give
    that channel. A late start and gaps become zeros outside `present`. A file without sound gives an empty track.
    Samples that are NaN or infinite, and the millisecond that resampling spreads them over, become zeros; samples
    beyond full scale are clipped.

    Raises:
        InputError: the file can't be opened or exceeds a limit, or it has only sound and no frame of it decodes.
    """
    data, presence = bytearray(), _Presence()  # a bytearray grows in place: hours of sound are in memory only once
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
        empty, placed = True, PlacedSound(source, source.audio, rate, "mono")
        for _, _, frames in decode(source, [source.audio]):
            for frame in frames:
                for start, block in placed.push(frame):
                    empty = False
                    yield start, block[0]
        for start, block in placed.finish():
            empty = False
            yield start, block[0]
        if empty and source.video is None:
            raise undecodable(source, "audio")


@dataclass
class _Presence:
    """Collects the intervals, in samples, that blocks of sound cover."""

    intervals: list[list[int]] = field(default_factory=list)

    def add(self, start: int, stop: int) -> None:
        """Add a block that starts no earlier than the last one ended."""
        if self.intervals and self.intervals[-1][1] == start:
            self.intervals[-1][1] = stop
        else:
            self.intervals.append([start, stop])

    def seconds(self, rate: int) -> tuple[tuple[float, float], ...]:
        """The intervals in seconds."""
        return tuple((start / rate, stop / rate) for start, stop in self.intervals)


class PlacedSound:
    """Turns decoded frames of a stream into blocks of one rate and layout with positions, in order, without overlap.

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
        """(first sample, samples (channels, n) in -1..1) of the blocks that a frame completes.

        Raises:
            LimitError: the sound exceeds a limit.
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
        """The blocks that the resampler still holds."""
        if self._segment is not None:
            yield from self._segment.push(None)


class _Segment:
    """Unbroken sound of one format: one resampler, and the position of its next output sample."""

    def __init__(self, frame: Any, start: int, earliest: int, rate: int, layout: str):
        self.position = max(start, earliest, 0)
        self._drop = self.position - start  # samples that overlap the segment before
        self._format = self._describe(frame)
        # rematrix_maxval scales the mixing matrix, so that a mix of full-scale channels stays within full scale
        self._resampler = av.AudioResampler("fltp", layout, rate, options={"rematrix_maxval": "1.0"})

    @staticmethod
    def _describe(frame: Any) -> tuple[int, str, str]:
        return frame.sample_rate, frame.layout.name, frame.format.name

    def fits(self, frame: Any) -> bool:
        return self._describe(frame) == self._format

    def push(self, frame: Any | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Resample a decoded frame; None flushes the resampler."""
        if frame is not None:
            frame.pts = None  # the position is known; the resampler must neither fill nor cut
        for output in self._resampler.resample(frame):
            if output is None:  # a resampler that converts nothing returns this at the end
                continue
            block = output.to_ndarray()
            count = block.shape[1]
            cut = min(self._drop, count)
            self._drop -= cut
            if count > cut:
                yield self.position, _in_full_scale(block[:, cut:])
                self.position += count - cut


def _in_full_scale(block: NDArray[Any]) -> NDArray[np.float32]:
    """Samples (channels, n) in -1..1: floating-point sound can contain any value."""
    finite = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(finite, -1.0, 1.0), dtype=np.float32)


# FLAC


def write_audio(path: str | Path, track: AudioTrack) -> None:
    """Write a track as 16-bit mono FLAC, atomically; samples beyond -1..1 are clipped."""
    with replacing(path) as partial, _flac(partial, track.rate, track.present, len(track.samples)) as file:
        file.write(track.samples[:])


def extract_audio(source: str | Path, target: str | Path, rate: int = 16000, limits: MediaLimits | None = None) -> None:
    """Write the sound of a media file as FLAC, as `write_audio(target, read_audio(source, rate))` does, in bounded
    memory. It decodes twice, since a FLAC file has its tags before its samples."""
    presence, end = _Presence(), 0
    for start, block in audio_blocks(source, rate, limits):
        end = start + len(block)
        presence.add(start, end)
    with replacing(target) as partial, _flac(partial, rate, presence.seconds(rate), end) as file:
        end = 0
        for start, block in audio_blocks(source, rate, limits):
            for silence in range(start - end, 0, -_BLOCK):
                file.write(np.zeros(min(silence, _BLOCK), dtype=np.float32))
            file.write(block)
            end = start + len(block)


@contextmanager
def _flac(path: Path, rate: int, present: tuple[tuple[float, float], ...], count: int) -> Iterator[soundfile.SoundFile]:
    with soundfile.SoundFile(str(path), "w", rate, 1, subtype="PCM_16", format="FLAC") as file:
        file.comment = json.dumps({"present": present, "samples": count})
        if not count:  # libsndfile can't read a FLAC without samples: write one, which the tag does not count
            file.write(np.zeros(1, dtype=np.float32))
        yield file
    try:  # libsndfile does not report that the disk was full when it closed the file
        FlacSamples(path, count)[max(count - 1, 0) : count]
    except InputError as error:
        raise OSError(errno.EIO, "the end of the sound was not written", str(path)) from error


def read_audio_file(path: str | Path) -> AudioTrack:
    """The track that `write_audio` wrote. Its samples stay on disk until they are sliced.

    Raises:
        InputError: not a sound file, not mono, or without the tag; also when samples are read from a truncated file.
    """
    try:
        with soundfile.SoundFile(str(path)) as file:
            tag = parse_json(file.comment)
            present = tuple((float(a), float(b)) for a, b in tag["present"])
            rate, channels, count = file.samplerate, file.channels, int(tag["samples"])
    except (soundfile.LibsndfileError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path) from error
    if channels != 1:
        raise _unreadable(path)
    return AudioTrack(FlacSamples(path, count), rate, present)


@dataclass(frozen=True)
class FlacSamples:
    """The samples (n,) of a FLAC file, read on demand: `samples[start:stop]` and `samples[:]` are arrays.

    Threads may share it, since every slice opens the file.

    Attributes:
        path: of the file.
        count: number of samples according to its tag.
    """

    path: str | Path
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        start, stop, stride = part.indices(self.count)
        if stride != 1:
            raise ValueError(f"samples on disk can only be read in order, not in strides of {stride}")
        try:
            with soundfile.SoundFile(str(self.path)) as file:
                file.seek(min(start, self.count))
                samples = file.read(max(stop - start, 0), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise _unreadable(self.path) from error
        if len(samples) < stop - start:
            raise _unreadable(self.path)
        return np.asarray(samples, dtype=np.float32)


def _unreadable(path: str | Path) -> InputError:
    problem = "is not a complete mono sound file with the tag that records where sound is present"
    return InputError(problem, file=path, remedy="run the preprocessing pipeline again; it rebuilds the file")
