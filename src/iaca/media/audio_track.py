"""What a sound track is: samples on the container's clock, and where there really is sound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Samples(Protocol):
    """Samples (n,) that need not lie in memory: their number, and any stretch of them. An array is one of these."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class AudioTrack:
    """Mono sound from the container's start.

    Attributes:
        samples: (n,) float32 in -1..1; zeros where there is no sound. An array, or `FlacSamples` that are read from
            their file as they are asked for.
        rate: sampling rate (Hz).
        present: intervals (start, end) in seconds, in order, in which the file really holds sound. Empty without any.
    """

    samples: Samples
    rate: int
    present: tuple[tuple[float, float], ...]


@dataclass
class Presence:
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


def present_at(present: tuple[tuple[float, float], ...], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the times (s) lie in one of the stretches [start, end) where sound really exists."""
    inside = np.zeros(len(times), bool)
    for start, end in present:
        inside |= (times >= start) & (times < end)
    return inside
