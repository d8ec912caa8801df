"""Corruption with a known truth: stretches in which one modality of a clip is not what it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iaca.corpora.synthetic.config import EventKind, SyntheticConfig
from iaca.corpora.synthetic.cues import NO_FACE, SILENT_SOUND, Cues
from iaca.corpora.synthetic.noise import Array
from iaca.modalities import MODALITIES

NOISE = 2.0  # deviation of the noise of an event, in deviations of each feature
DEAD: dict[str, dict[str, float]] = {"audio": SILENT_SOUND, "visual": NO_FACE}
NOISY: dict[str, dict[str, float]] = {
    "audio": {"sound_level": -15.0, "snr_estimate": 3.0, "voice_activity": 0.5},
    "visual": {"face_score": 0.8, "face_sharpness": 3.0, "mouth_motion": 9.0},
}


class Event(NamedTuple):
    """One modality is corrupted from step `start` up to, not including, step `end`."""

    modality: str
    kind: EventKind
    start: int
    end: int


@dataclass(frozen=True)
class Track:
    """One modality of a clip: features (t, D), presence (t,), cues (t,) by name."""

    features: Array
    present: NDArray[np.bool_]
    cues: Cues


def draw_events(config: SyntheticConfig, rng: np.random.Generator) -> tuple[Event, ...]:
    """Events of a clip one after the other, with pauses such that they fill `event_share` of the time on average."""
    if config.event_share == 0:
        return ()
    mean_pause = np.mean(config.event_s) * (1 / config.event_share - 1)
    events, start_s = [], float(rng.uniform(0, 2 * mean_pause))
    while start_s < config.seconds:
        length_s = float(rng.uniform(*config.event_s))
        modality = MODALITIES[int(rng.integers(2))]
        kind = config.event_kinds[int(rng.integers(len(config.event_kinds)))]
        start, end = round(start_s * config.rate), min(round((start_s + length_s) * config.rate), config.steps)
        if start < end:
            events.append(Event(modality, kind, start, end))
        start_s += length_s + float(rng.uniform(0, 2 * mean_pause))
    return tuple(events)


def event_rows(clip: str, events: Iterable[Event], rate: float) -> list[tuple[str, str, str, float, float]]:
    """Rows of a table of events: clip, modality, kind, start_s, end_s; it holds start_s <= time_s < end_s."""
    return [(clip, event.modality, event.kind, event.start / rate, event.end / rate) for event in events]


def corrupt(track: Track, event: Event, other: Callable[[], Track], rng: np.random.Generator) -> Track:
    """The track with an event in it. `other` draws the same modality of another person's clip."""
    features, present = track.features.copy(), track.present.copy()
    cues = {name: values.copy() for name, values in track.cues.items()}
    stretch = slice(event.start, event.end)
    if event.kind in ("absent", "zeros"):
        features[stretch] = 0.0
        present[stretch] = event.kind == "zeros"
        for name, value in DEAD[event.modality].items():
            cues[name][stretch] = value
    elif event.kind == "noise":
        features[stretch] += NOISE * track.features.std(axis=0) * rng.standard_normal(features[stretch].shape)
        for name, value in NOISY[event.modality].items():
            cues[name][stretch] = value * np.exp(0.1 * rng.standard_normal(event.end - event.start))
        if "mouth_motion" in cues:  # what moves in noise is not the mouth
            cues["mouth_opening"][stretch] = cues["mouth_motion"][stretch] / 30
        _keep_in_range(cues)
    else:
        donor = other()
        features[stretch] = donor.features[stretch]
        for name, values in donor.cues.items():
            cues[name][stretch] = values[stretch]
    return replace(track, features=features, present=present, cues=cues)


def _keep_in_range(cues: Cues) -> None:
    for name in cues.keys() & {"face_score", "voice_activity"}:
        cues[name] = cues[name].clip(0, 1)
