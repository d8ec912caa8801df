"""Which stretches of a clip are corrupted, how, and which stay without annotation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, pairwise

import numpy as np

from iaca.corpora.demo.trajectory import Trajectory

AUDIO_KINDS = ("silent", "noisy", "contradictory")
VISUAL_KINDS = ("occluded", "absent", "contradictory")
SHORTEST, LONGEST = 1.5, 4.0
"""Duration of an event (s)."""
SLOT = 5.0
"""A clip has an event per so many seconds, at least one."""


@dataclass(frozen=True)
class Event:
    """A corrupted stretch: `modality` is "audio" or "visual", times in s from the start of the video."""

    modality: str
    kind: str
    start_s: float
    end_s: float
    seed: int


class Dealer:
    """Deals kinds of events in turn, so that every kind occurs in a partition as often as any other."""

    def __init__(self) -> None:
        self._kinds = {"audio": cycle(AUDIO_KINDS), "visual": cycle(VISUAL_KINDS)}

    def next(self, modality: str) -> str:
        """The kind of the next event of this modality."""
        return next(self._kinds[modality])


def slots(seconds: float) -> list[tuple[float, float]]:
    """The stretches of a video of which each holds one event."""
    count = max(1, int(seconds // SLOT))
    edges = [round(seconds * i / count, 3) for i in range(count + 1)]
    return list(pairwise(edges))


def draw_event(
    slot: tuple[float, float], modality: str, kind: str, trajectory: Trajectory, rng: np.random.Generator
) -> Event:
    """An event inside a slot. A contradiction is put where the trajectory is far from 0: elsewhere it would be none."""
    start, end = slot[0] + 0.1, slot[1] - 0.1
    longest = min(LONGEST, 0.62 * (slot[1] - slot[0]))
    duration = rng.uniform(SHORTEST, max(SHORTEST, longest))
    starts = rng.uniform(start, max(start, end - duration), 12)
    steps = np.linspace(0, duration, 12)
    strengths = [float(np.mean(np.abs(trajectory.at(s + steps)))) for s in starts]
    chosen = starts[int(np.argmax(strengths))] if kind == "contradictory" else starts[0]
    stop = min(round(float(chosen + duration), 3), round(slot[1], 3))
    return Event(modality, kind, round(float(chosen), 3), stop, int(rng.integers(1 << 30)))


def draw_unannotated(seconds: float, rng: np.random.Generator) -> tuple[tuple[float, float, str], ...]:
    """Stretches without annotation: (start_s, end_s, column), the column "valence", "arousal" or "both"."""
    if rng.uniform() > 0.45:
        return ()
    duration = float(rng.uniform(0.04, 0.12)) * seconds
    start = float(rng.uniform(0, seconds - duration))
    column = ("both", "both", "valence", "arousal")[int(rng.integers(4))]
    return ((round(start, 3), round(start + duration, 3), column),)
