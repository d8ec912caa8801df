"""Trajectories of valence and arousal: sums of slow oscillations, bounded to (-1, 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LIMIT = 0.95
BAND_HZ = (0.05, 0.5)
"""Frequencies of the oscillations."""
SPREAD = 0.72
"""Standard deviation before the bounding; the values then fill most of [-0.95, 0.95]."""


@dataclass(frozen=True)
class Trajectory:
    """`LIMIT * tanh(sum of a * sin(2 pi f t + phase))`.

    Attributes:
        waves: (frequency in Hz, amplitude, phase in radians) of each oscillation.
    """

    waves: tuple[tuple[float, float, float], ...]

    def at(self, time_s: ArrayLike) -> NDArray[np.float64]:
        """Values in (-0.95, 0.95) at these times (s); the shape of `time_s` is kept."""
        times = np.asarray(time_s, dtype=np.float64)
        total = sum((a * np.sin(2 * np.pi * f * times + phase) for f, a, phase in self.waves), np.zeros_like(times))
        return LIMIT * np.tanh(total)

    def mixed_with(self, other: Trajectory, share: float) -> Trajectory:
        """A trajectory that follows this one with weight `1 - share` and the other one with `share`."""
        own, others = np.sqrt(1 - share), np.sqrt(share)
        return Trajectory(_scaled(self.waves, own) + _scaled(other.waves, others))


def draw_pair(rng: np.random.Generator, seconds: float) -> tuple[Trajectory, Trajectory]:
    """Valence and arousal of a clip: among 24 drawn pairs one that moves well and hardly correlates over the clip."""
    times = np.linspace(0, seconds, 200)
    pairs = [(_draw(rng), _draw(rng)) for _ in range(24)]
    return min(pairs, key=lambda pair: _dullness(pair[0].at(times), pair[1].at(times)))


def _draw(rng: np.random.Generator) -> Trajectory:
    frequencies = np.exp(rng.uniform(np.log(BAND_HZ[0]), np.log(BAND_HZ[1]), 6))
    weights = rng.uniform(0.5, 1, 6) / np.sqrt(frequencies)
    amplitudes = SPREAD * np.sqrt(2) * weights / np.linalg.norm(weights)
    phases = rng.uniform(0, 2 * np.pi, 6)
    return Trajectory(tuple((round(float(f), 4), round(float(a), 4), round(float(p), 4))
                            for f, a, p in zip(frequencies, amplitudes, phases, strict=True)))  # fmt: skip


def _dullness(valence: NDArray[np.float64], arousal: NDArray[np.float64]) -> float:
    together = abs(float(np.corrcoef(valence, arousal)[0, 1]))
    return together - 0.35 * min(float(np.ptp(valence)), float(np.ptp(arousal)))


def _scaled(waves: tuple[tuple[float, float, float], ...], gain: float) -> tuple[tuple[float, float, float], ...]:
    return tuple((f, round(float(a * gain), 4), phase) for f, a, phase in waves)
