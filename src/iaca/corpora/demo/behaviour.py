"""What a person's face and head do over a clip: affect, speech, blinks and the small movements of somebody alive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iaca.corpora.demo.expression import Expression
from iaca.corpora.demo.plan import ClipPlan
from iaca.corpora.demo.pose import Pose

Track = NDArray[np.float64]
BLINKS_PER_S, BLINK_S = 0.28, 0.28
EXIT_S, EXIT_DISTANCE = 0.3, 11.0
"""How long a person takes to leave the picture (s), and how far that is (eye distances)."""


def perform(clip: ClipPlan, times: Track, mouth: Track, other_mouth: Track) -> list[tuple[Expression, Pose]]:
    """Expression and pose in each frame.

    Valence is shown strongly (mouth corners, brows), arousal weakly (brows, lids, livelier head). In a contradictory
    stretch the face is that of another take: opposite affect and the mouth movements `other_mouth`.

    Args:
        times: frame times (n,), s.
        mouth, other_mouth: opening of the mouth (n,), 0 to 1, of this take and of the other one.
    """
    other = event_envelope(clip, "contradictory", times, 0.15)
    valence, arousal = ((1 - 2 * other) * felt.at(times) for felt in (clip.valence, clip.arousal))
    speech = (1 - other) * mouth + other * other_mouth
    rng = np.random.default_rng([clip.seed, 1])
    expressions = _express(valence, arousal, speech, _blinks(times, rng), _sway(times, rng, 0.3))
    poses = _move(times, arousal, event_envelope(clip, "absent", times, EXIT_S), -1 if clip.side == "left" else 1, rng)
    return list(zip(expressions, poses, strict=True))


def event_envelope(clip: ClipPlan, kind: str, times: Track, fade_s: float) -> Track:
    """1 inside the clip's visual events of a kind, 0 outside, with fades of `fade_s` inside the events (n,)."""
    total = np.zeros_like(times)
    for event in clip.events:
        if event.kind == kind:
            inside = np.minimum(times - event.start_s, event.end_s - times) / fade_s
            total = np.maximum(total, np.clip(inside, 0, 1))
    return total


def _express(valence: Track, arousal: Track, speech: Track, blinks: Track, wander: Track) -> list[Expression]:
    smile = np.clip(0.98 * valence + 0.05 * wander, -1, 1)
    knit = np.clip(-0.85 * valence + 0.05 * wander, 0, 1)
    brows = np.clip(0.3 * arousal + 0.12 * np.clip(valence, 0, 1) + 0.1 * wander, -0.25, 1)
    lids = np.maximum(blinks, np.clip(-0.16 * arousal, -0.18, 0.18))
    tracks = (smile, speech, brows, knit, lids)
    return [Expression(*(float(x) for x in values)) for values in zip(*tracks, strict=True)]


def _move(times: Track, arousal: Track, gone: Track, exit_side: int, rng: np.random.Generator) -> list[Pose]:
    lively = 0.7 + 0.3 * arousal
    yaw, pitch, roll = (scale * lively * _sway(times, rng, 0.35) for scale in (0.13, 0.07, 0.045))
    x, y, scale = (size * _sway(times, rng, 0.15) for size in (0.16, 0.07, 0.02))
    x = x + exit_side * EXIT_DISTANCE * gone**2
    return [Pose(*(float(v) for v in values)) for values in zip(yaw, pitch, roll, x, y, scale, strict=True)]


def _sway(times: Track, rng: np.random.Generator, fastest_hz: float) -> Track:
    """A smooth random movement of about unit size."""
    waves = zip(rng.uniform(0.05, fastest_hz, 4), rng.uniform(0, 2 * np.pi, 4), strict=True)
    total = sum((np.sin(2 * np.pi * f * times + p) for f, p in waves), np.zeros_like(times))
    return np.asarray(np.clip(total / np.sqrt(2), -1.8, 1.8))


def _blinks(times: Track, rng: np.random.Generator) -> Track:
    """How far blinks close the lids (n,), 0 to 1."""
    closed = np.zeros_like(times)
    at = float(rng.uniform(0.3, 3))
    while at < times[-1]:
        closed = np.maximum(closed, np.clip(1.25 - 2.5 * np.abs(times - at) / BLINK_S, 0, 1))
        at += 0.6 + float(rng.exponential(1 / BLINKS_PER_S))
    return closed
