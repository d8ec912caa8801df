"""What a synthetic voice says: syllables in phrases with pauses, and the control tracks they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Track = NDArray[np.float64]
CONTROL_HZ = 200
VOWELS = np.array(
    [
        [730, 1150, 2450, 3400],
        [300, 2250, 2950, 3600],
        [320, 850, 2300, 3300],
        [540, 1850, 2550, 3500],
        [560, 900, 2450, 3350],
        [480, 1400, 2500, 3450],
        [650, 1700, 2450, 3450],
    ],
    dtype=np.float64,
)
"""Formants F1 to F4 (Hz) of seven vowels of an average vocal tract."""
BASE_RATE = 4.2
"""Syllables per second at zero arousal."""


@dataclass(frozen=True)
class Syllable:
    """A vowel with what comes before it: `hiss` is 0 for no fricative; `declination` runs from 0 to 1 over a phrase."""

    start_s: float
    duration_s: float
    vowel: int
    hiss: float
    stress: float
    declination: float


@dataclass(frozen=True)
class Controls:
    """Tracks at `CONTROL_HZ`: voicing and hiss (n,) in [0, 1], intonation (n,) in semitones, formants (n, 4) in Hz."""

    voicing: Track
    hiss: Track
    intonation: Track
    formants: Track


def draw_syllables(arousal: Callable[[float], float], seconds: float, rng: np.random.Generator) -> list[Syllable]:
    """Syllables in phrases of 4 to 9 with pauses between them; both come faster with arousal."""
    syllables: list[Syllable] = []
    now = float(rng.uniform(0.05, 0.3))
    while now < seconds:
        count = int(rng.integers(4, 10))
        for i in range(count):
            duration = float(rng.uniform(0.8, 1.25)) / (BASE_RATE * 2 ** (0.45 * arousal(now)))
            hiss = float(rng.choice([0.0, 0.0, 0.6, 1.0]))
            stress = float(rng.uniform(0.6, 1.0))
            syllables.append(Syllable(now, duration, int(rng.integers(len(VOWELS))), hiss, stress, i / (count - 1)))
            now += duration
        now += float(rng.uniform(0.22, 0.5)) * (1 - 0.3 * arousal(now))
    return syllables


def control_tracks(syllables: list[Syllable], seconds: float) -> Controls:
    """The tracks that a list of syllables makes, smoothed as far as tongue and vocal folds are inert."""
    count = int(np.ceil(seconds * CONTROL_HZ)) + 1
    voicing, hiss, intonation = np.zeros((3, count))
    formants = np.repeat(VOWELS[5][None], count, axis=0)
    for syllable in syllables:
        start, stop = (int(t * CONTROL_HZ) for t in (syllable.start_s, syllable.start_s + syllable.duration_s))
        onset = start + max(1, int(0.28 * (stop - start)))
        hiss[start:onset] = syllable.hiss
        voicing[onset:stop] = syllable.stress
        intonation[start:stop] = 2.5 * (0.5 - syllable.declination) + 3.0 * (syllable.stress - 0.8)
        formants[start:] = VOWELS[syllable.vowel]
    smooth = [gaussian_filter1d(x, s * CONTROL_HZ, axis=0) for x, s in
              ((voicing, 0.018), (hiss, 0.012), (intonation, 0.05), (formants, 0.025))]  # fmt: skip
    return Controls(*smooth)
