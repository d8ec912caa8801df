"""Decodes sound to mono samples on the container's clock, and stores it as FLAC.

Zero is the container's start, whatever the start of the sound stream. A FLAC file of this project is 16-bit mono; its
comment tag is JSON: `present`, the intervals (s) in which sound exists, and `samples`, their number.
"""

from __future__ import annotations

import errno
import json
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from iaca.errors import InputError
from iaca.files import replacing
from iaca.media.container import ROUNDING_S, Clock, MediaLimits, Source, decode, open_source, undecodable
from iaca.text import parse_json

AUDIO_VERSION = "2"
"""Raised by hand when `extract_audio` changes what it writes."""
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
    that channel. Where left and right cancel each other, their difference is taken (`_Phase`). A late start and gaps
    become zeros outside `present`; timestamps that jitter or drift are followed (`PlacedSound`). A file without sound
    gives an empty track.
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


AHEAD_S = 4.0
"""Sound (s) whose timestamps are known before its position is decided. Packets may arrive up to half of this late."""
STEP_S, NOISY_STEP_S = 0.02, 0.1
"""Timestamps that jump by at least the first (s), and stay there, are a gap (zeros) or an overlap (cut). The more they
jitter, the larger a jump has to be, up to the second (s)."""
JITTERS = 8.0
"""A jump is larger than this many median differences between the deviations of neighbouring timestamps."""
APART_S = 0.0125
"""Sound that is further (s) from its timestamps than this, without a jump, is stretched or squeezed to follow them.
Half a frame at 30 Hz is 17 ms."""
TOGETHER, BURST = 0.9, 4
"""A burst is at least so many frames, each stamped less than a tenth of its duration after the one before."""
CAUGHT_UP_S, STRETCH = 0.7, 0.05
"""Time constant (s) with which it follows, and the largest share by which it is stretched or squeezed."""
_STEADY_S = 0.005  # deviations below this need no decision: timestamps in ms are rounded
_STRETCHED_S = 0.25  # sound that is stretched at a time
_MOST_AHEAD, _MOST_VALUES = 400, 2**22  # frames, and samples of all their channels, that wait


@dataclass
class _Waiting:
    """A decoded frame, the duration (s) of it and of all sound before it, and how much (s) later than that it came."""

    frame: Any
    seconds: float
    before_s: float
    late_s: float


class PlacedSound:
    """Turns decoded frames of a stream into blocks of one rate and layout with positions, in order, without overlap.

    Browsers and network cameras stamp sound when it arrives: the stamps jitter, come in bursts, and drift from the
    clock of the sound card. All of the sound is kept, once, at the median deviation of the stamps within `AHEAD_S`.
    A jump of the stamps that lasts is a gap or an overlap; slower changes are followed by stretching the sound.

    Args:
        source: the opened file.
        stream: its sound.
        rate: sampling rate of the blocks (Hz).
        layout: their channels, by FFmpeg's name.
    """

    def __init__(self, source: Source, stream: Any, rate: int, layout: str):
        self._source, self._rate, self._layout = source, rate, layout
        self._clock, self._next, self._heard_s = Clock(source.origin), source.start_s(stream), 0.0
        self._phase = _Phase() if layout == "mono" else None
        self._ahead: deque[_Waiting] = deque()
        self._behind: deque[float] = deque(maxlen=_MOST_AHEAD)  # deviations of the frames that were placed last
        self._burst: deque[_Waiting] = deque(maxlen=_MOST_AHEAD)  # the frames that arrived last, if together
        self._values, self._strays = 0, 0  # of `_ahead`
        self._offset, self._following = 0.0, False  # of the segment: its deviation, and whether that changes
        self._segment: _Segment | None = None

    def push(self, frame: Any) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(first sample, samples (channels, n) in -1..1) of the blocks that a frame completes.

        Raises:
            LimitError: the sound exceeds a limit.
        """
        path, limits = self._source.path, self._source.limits
        seconds, time = frame.samples / frame.sample_rate, self._clock(frame, self._next)
        self._next = time + seconds
        limits.check_time(path, self._next)
        limits.check_sound(path, frame.sample_rate, frame.layout.nb_channels)
        self._take(_Waiting(frame, seconds, self._heard_s, time - self._heard_s))
        self._heard_s += seconds
        self._values += frame.samples * frame.layout.nb_channels
        if self._phase is not None:
            self._phase.hear(frame, seconds)
        while (
            self._heard_s - self._ahead[0].before_s > AHEAD_S
            or len(self._ahead) > _MOST_AHEAD
            or self._values > _MOST_VALUES
        ):
            yield from self._place()

    def finish(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The blocks of the frames that wait, and what the resampler still holds."""
        while self._ahead:
            yield from self._place()
        if self._segment is not None:
            yield from self._segment.finish()

    def _place(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The blocks that the next frame completes."""
        first = self._ahead[0]
        jumps = self._segment is None or (self._strays > 0 and self._jumps())
        if self._segment is None or jumps or not self._segment.fits(first.frame):
            earliest = 0
            if self._segment is not None:
                yield from self._segment.finish()
                earliest = self._segment.position
            if jumps:
                self._begin()
            start = round((first.before_s + self._offset) * self._rate)
            self._segment = _Segment(first.frame, start, earliest, self._rate, self._layout)
        stretch_s = self._drift() if self._following or self._strays else 0.0
        frame = first.frame if self._phase is None else self._phase.mixable(first.frame, first.seconds)
        yield from self._segment.push(frame, stretch_s)
        self._move(self._offset + stretch_s)
        self._strays -= self._is_stray(self._ahead.popleft())
        self._values -= first.frame.samples * first.frame.layout.nb_channels
        self._behind.append(first.late_s)

    def _take(self, new: _Waiting) -> None:
        """Add a frame. A burst, whose packets arrive together after a delay, is as late as its end."""
        together = bool(self._burst) and new.late_s - self._burst[-1].late_s <= -TOGETHER * new.seconds
        if len(self._burst) + together >= BURST:
            for waiting in self._burst:
                waiting.late_s = min(waiting.late_s, new.late_s)
            self._strays = sum(map(self._is_stray, self._ahead))
        if not together:
            self._burst.clear()
        self._burst.append(new)
        self._ahead.append(new)
        self._strays += self._is_stray(new)

    def _is_stray(self, waiting: _Waiting) -> bool:
        return abs(waiting.late_s - self._offset) >= _STEADY_S

    def _move(self, offset_s: float) -> None:
        if offset_s != self._offset:
            self._offset = offset_s
            self._strays = sum(map(self._is_stray, self._ahead))

    def _begin(self) -> None:
        """Place what follows where its timestamps are: at that of the next frame, unless that is an exception."""
        self._behind.clear()
        self._following = False
        least, first = self._least_jump(), self._ahead[0].late_s
        level = float(np.median(self._run(least)))
        self._move(level if least > STEP_S or abs(level - first) > APART_S else first)

    def _jumps(self) -> bool:
        """Whether the next frame's timestamp jumps, and half of those ahead stay there."""
        first, least = self._ahead[0].late_s, self._least_jump()
        away, lasting = first - self._offset, float(np.median(self._deviations())) - self._offset
        sudden = abs(first - self._behind[-1]) >= least / 2 or abs(lasting) >= NOISY_STEP_S
        return sudden and away * lasting > 0 and min(2 * abs(away), abs(lasting)) >= least - ROUNDING_S

    def _drift(self) -> float:
        """By how much (s) the next frame is stretched, so that sound stays in step with its timestamps."""
        # as many behind as ahead: the median of a steady drift is then that of the next frame
        behind = max(len(self._ahead), len(self._behind) // 4)
        around = [*list(self._behind)[-behind:], *self._run(self._least_jump())]
        apart, seconds = float(np.median(around)) - self._offset, self._ahead[0].seconds
        self._following = self._following or abs(apart) > APART_S
        most = STRETCH * seconds
        return min(max(apart * min(seconds / CAUGHT_UP_S, 1), -most), most) if self._following else 0.0

    def _least_jump(self) -> float:
        """The least jump (s) of the timestamps that is not jitter."""
        differences = np.diff([*self._behind, *self._deviations()])
        jitter = float(np.median(np.abs(differences))) if len(differences) else 0.0
        return min(max(JITTERS * jitter, STEP_S), NOISY_STEP_S)

    def _run(self, least: float) -> NDArray[np.float64]:
        """Deviations (s) of the frames that wait, up to the next jump."""
        late = self._deviations()
        jumps = np.flatnonzero(np.abs(np.diff(late)) >= least)
        return late[: jumps[0] + 1] if len(jumps) else late

    def _deviations(self) -> NDArray[np.float64]:
        return np.array([waiting.late_s for waiting in self._ahead])


class _Segment:
    """Unbroken sound of one format: one resampler, and the position of its next output sample."""

    def __init__(self, frame: Any, start: int, earliest: int, rate: int, layout: str):
        self.position = max(start, earliest, 0)
        self._drop = self.position - start  # samples that overlap the segment before
        self._rate, self._format = rate, self._describe(frame)
        # rematrix_maxval scales the mixing matrix, so that a mix of full-scale channels stays within full scale
        self._resampler = av.AudioResampler("fltp", layout, rate, options={"rematrix_maxval": "1.0"})
        self._held: list[NDArray[np.float32]] = []  # what is stretched next
        self._longer = 0.0  # samples by which it is to become longer

    @staticmethod
    def _describe(frame: Any) -> tuple[int, str, str]:
        return frame.sample_rate, frame.layout.name, frame.format.name

    def fits(self, frame: Any) -> bool:
        return self._describe(frame) == self._format

    def push(self, frame: Any | None, stretch_s: float = 0.0) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Resample a decoded frame, made longer by `stretch_s` (s); None flushes the resampler."""
        if frame is not None:
            frame.pts = None  # the position is known; the resampler must neither fill nor cut
        self._longer += stretch_s * self._rate
        for output in self._resampler.resample(frame):
            if output is not None:  # a resampler that converts nothing returns None at the end
                self._held.append(np.asarray(output.to_ndarray(), np.float32))
        held = sum(block.shape[1] for block in self._held)
        if self._longer and frame is not None and held < _STRETCHED_S * self._rate:
            return
        for block in self._stretched():
            count = block.shape[1]
            cut = min(self._drop, count)
            self._drop -= cut
            if count > cut:
                yield self.position, _in_full_scale(block[:, cut:])
                self.position += count - cut

    def finish(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The blocks that are held, and those in the resampler."""
        return self.push(None)

    def _stretched(self) -> list[NDArray[np.float32]]:
        """The blocks that are held, longer by as many whole samples as they should be; nothing is held afterwards."""
        blocks, self._held = self._held, []
        whole = round(self._longer)
        if not whole or not blocks:
            return blocks
        self._longer -= whole
        block = np.concatenate(blocks, axis=1)
        size = (max(block.shape[1] + whole, 1), len(block))
        return [np.asarray(cv2.resize(block, size, interpolation=cv2.INTER_LANCZOS4), np.float32).reshape(size[::-1])]


def _in_full_scale(block: NDArray[Any]) -> NDArray[np.float32]:
    """Samples (channels, n) in -1..1: floating-point sound can contain any value."""
    finite = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(finite, -1.0, 1.0), dtype=np.float32)


# Opposite phase

COMPARED_S, DECIDED_S = 2.0, 0.1
"""Left and right are compared over this much sound (s) ahead, each time that the second duration (s) has passed."""
CANCELS, ADDS = -0.3, 0.0
"""Sum of left * right over that of left^2 + right^2: 0.5 for equal channels, -0.5 for opposite ones. Below `CANCELS`
their difference has four times the power of their sum, and is taken until the sum has as much again, above `ADDS`."""
TURN_S = 0.05
"""Time (s) over which the right channel is turned over, so that the change does not click."""


class _Phase:
    """Turns right channels over where they would cancel the left ones in a mono mix; other frames stay as they are.

    Opposite phase is a wrong cable, or a balanced signal that a recorder took for stereo. Each pair of a layout (front,
    back, side) is compared by itself.
    """

    def __init__(self) -> None:
        self._heard: deque[tuple[float, list[tuple[float, float]]]] = deque()  # (s), `_power` of each pair
        self._undecided_s = 0.0
        self._wanted: list[float] = []  # 1 for a right channel as it is, -1 for one turned over: what was decided,
        self._aims: list[float] = []  # what holds from this frame on,
        self._gains: list[float] = []  # and what has been reached

    def hear(self, frame: Any, seconds: float) -> None:
        """Take a frame that `mixable` is given later."""
        pairs, power = _pairs(frame.layout.name), []
        if pairs:
            channels = _channels(frame)
            power = [_power(channels[left], channels[right]) for left, right in pairs]
        self._heard.append((seconds, power))

    def mixable(self, frame: Any, seconds: float) -> Any:
        """The earliest frame that `hear` was given, ready to be mixed."""
        self._decide()
        _, power = self._heard.popleft()
        self._undecided_s -= seconds
        for pair, (product, _) in enumerate(power):
            if product * self._wanted[pair] > 0:  # this is the frame in which the phase changes
                self._aims[pair] = self._wanted[pair]
        if min(self._aims, default=1) == 1 and min(self._gains, default=1) == 1:
            return frame
        steps = np.arange(1, frame.samples + 1) * (2 / (TURN_S * frame.sample_rate))
        channels = _channels(frame).astype(np.float64)
        for pair, (_, right) in enumerate(_pairs(frame.layout.name)):
            gain, missing = self._gains[pair], self._aims[pair] - self._gains[pair]
            gains = gain + math.copysign(1, missing) * np.minimum(steps, abs(missing))
            channels[right] *= gains
            self._gains[pair] = float(gains[-1])
        return _with_channels(frame, channels)

    def _decide(self) -> None:
        """Decide again which channels to invert, if it is time and enough sound is ahead."""
        pairs = len(self._heard[0][1])
        first = pairs != len(self._wanted)
        if not first and self._undecided_s > 0:
            return
        self._undecided_s = DECIDED_S
        products, powers, ahead_s = [0.0] * pairs, [0.0] * pairs, 0.0
        for seconds, power in self._heard:
            if len(power) != pairs or ahead_s >= COMPARED_S:
                break
            products = [total + product for total, (product, _) in zip(products, power, strict=True)]
            powers = [total + both for total, (_, both) in zip(powers, power, strict=True)]
            ahead_s += seconds
        if first:
            self._wanted = [-1.0 if a < CANCELS * b else 1.0 for a, b in zip(products, powers, strict=True)]
            self._aims, self._gains = list(self._wanted), list(self._wanted)
        elif ahead_s >= COMPARED_S:  # not at the end of the sound or of its format: too little to decide by
            for pair, (product, both) in enumerate(zip(products, powers, strict=True)):
                if product < CANCELS * both:
                    self._wanted[pair] = -1.0
                elif product > ADDS * both:
                    self._wanted[pair] = 1.0


def _power(left: NDArray[Any], right: NDArray[Any]) -> tuple[float, float]:
    """Sums of left * right and of left^2 + right^2; zeros where that is not a number."""
    x, y = left.astype(np.float32, copy=False), right.astype(np.float32, copy=False)
    product, power = float(np.dot(x, y)), float(np.dot(x, x)) + float(np.dot(y, y))
    return (product, power) if math.isfinite(power) else (0.0, 0.0)


@cache
def _pairs(layout: str) -> list[tuple[int, int]]:
    """Left and right channels that belong together, by their names (FL, FR); of two unnamed channels, both."""
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    if len(names) == 2:
        return [(0, 1)]
    partners = {right: f"{right[:-1]}L" for right in names if right.endswith("R")}
    return [(names.index(left), names.index(right)) for right, left in partners.items() if left in names]


def _channels(frame: Any) -> NDArray[Any]:
    """The samples (channels, n) of a decoded frame, around zero."""
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, -1).T
    return samples.astype(np.float32) - 128 if samples.dtype == np.uint8 else samples


def _with_channels(frame: Any, channels: NDArray[np.float64]) -> Any:
    """A frame like this one, with other samples (channels, n) around zero."""
    other = av.AudioFrame(format=frame.format.name, layout=frame.layout, samples=frame.samples)
    other.sample_rate, kind = frame.sample_rate, frame.to_ndarray().dtype
    if kind.kind != "f":
        limits = np.iinfo(kind)
        channels = np.clip(np.rint(channels + 128 * (kind == np.uint8)), limits.min, limits.max)
    stored = channels.astype(kind)
    planes = stored if frame.format.is_planar else [stored.T.ravel()]
    for plane, samples in zip(other.planes, planes, strict=True):
        np.frombuffer(memoryview(plane), kind)[: len(samples)] = samples
    return other


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
