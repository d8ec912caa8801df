"""The plan of the corpus: every video, who is in it, what they feel and what goes wrong, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from iaca.corpora.demo.config import DemoConfig
from iaca.corpora.demo.identity import Identity, draw_identities
from iaca.corpora.demo.schedule import Dealer, Event, draw_event, draw_unannotated, slots
from iaca.corpora.demo.trajectory import Trajectory, draw_pair

PARTITIONS = ("train", "validation", "test")
FRAME_RATES = (25.0, 30.0, 24.0, 15.0, 30000 / 1001)
EMPATHY = 0.5
"""How far the listener of a two-person video follows the speaker's affect."""


@dataclass(frozen=True)
class ClipPlan:
    """One person in one video.

    Attributes:
        clip: name of the clip.
        identity: who it is.
        side: "left" or "right" in a two-person video, else None.
        speaks: whether the voice of the video is this person's.
        valence, arousal: what the person feels, and what the labels say, whatever happens to picture or sound.
        events: corrupted stretches of the picture of this person.
        unannotated: stretches (start_s, end_s, column) that carry -5 in the column "valence", "arousal" or "both".
        extra_rows: rows of annotation beyond the last frame (0 to 2).
        seed: seed of blinks, head movements and the like.
    """

    clip: str
    identity: Identity
    side: str | None
    speaks: bool
    valence: Trajectory
    arousal: Trajectory
    events: tuple[Event, ...]
    unannotated: tuple[tuple[float, float, str], ...]
    extra_rows: int
    seed: int


@dataclass(frozen=True)
class VideoPlan:
    """One video file: `fps` is its nominal frame rate (Hz), `events` are those of its sound, `people` from the left."""

    name: str
    partition: str
    fps: float
    variable: bool
    seconds: float
    people: tuple[ClipPlan, ...]
    events: tuple[Event, ...]
    seed: int

    @property
    def speaker(self) -> ClipPlan:
        """The person whose voice is heard."""
        return next(person for person in self.people if person.speaks)

    def frame_times(self) -> NDArray[np.float64]:
        """Times (s) of all frames, from 0, rising; with a variable rate the intervals jitter around 1 / fps."""
        count = max(2, round(self.seconds * self.fps))
        if not self.variable:
            return np.asarray(np.arange(count) / self.fps)
        steps = np.random.default_rng([self.seed, 5]).choice([0.6, 0.8, 1.0, 1.2, 1.8], count - 1)
        times = np.concatenate([[0.0], np.cumsum(steps)])
        return np.asarray(np.round(times * (count - 1) / (times[-1] * self.fps), 3))


def plan_corpus(config: DemoConfig) -> list[VideoPlan]:
    """The videos of the corpus, subject-disjoint over the partitions; the same config gives the same plan."""
    rng = np.random.default_rng([config.seed, 3])
    casts = [(part, cast) for part, people in _partition(config).items() for cast in _casts(people, config)]
    names = _names(casts, config, rng)
    variable = set(np.linspace(1, len(casts) - 1, min(config.variable_rate, len(casts)), dtype=int).tolist())
    dealers = {part: Dealer() for part in PARTITIONS}
    return [
        _plan_video(names[i], FRAME_RATES[i % len(FRAME_RATES)], i in variable, part, cast, dealers[part], config, i)
        for i, (part, cast) in enumerate(casts)
    ]


Cast = tuple[Identity, ...]


def _partition(config: DemoConfig) -> dict[str, Cast]:
    people = draw_identities(config.identities, config.seed)
    quarter = max(1, config.identities // 4)
    train = config.identities - 2 * quarter
    return {"train": people[:train], "validation": people[train : train + quarter], "test": people[train + quarter :]}


def _casts(people: Cast, config: DemoConfig) -> list[Cast]:
    """Who appears together in each video of a partition: one video with the first two people, the others alone."""
    pairs: list[Cast] = [people[:2]] if config.pairs and len(people) > 1 else []
    alone = [(p,) for k in range(config.clips_per_identity) for p in people if not (pairs and k == 0 and p in pairs[0])]
    return [*alone[: len(alone) // 2], *pairs, *alone[len(alone) // 2 :]]


def _names(casts: list[tuple[str, Cast]], config: DemoConfig, rng: np.random.Generator) -> list[str]:
    """Names in the three forms of Aff-Wild2; the numbers are unique."""
    numbers = rng.permutation(np.arange(1, 10 * len(casts) + 1))[: len(casts)]
    size = f"{config.width}x{config.height}"
    forms = ("{n}-{fps}-" + size, "{n}", "video{n}")
    rates = [round(FRAME_RATES[i % len(FRAME_RATES)]) for i in range(len(casts))]
    return [forms[i % 3].format(n=n, fps=rates[i]) for i, n in enumerate(numbers)]


def _plan_video(
    name: str, fps: float, variable: bool, partition: str, cast: Cast, dealer: Dealer, config: DemoConfig, index: int
) -> VideoPlan:
    rng = np.random.default_rng([config.seed, 7, index])
    seconds = round(config.seconds * float(rng.uniform(0.9, 1.1)), 2)
    speaking = int(rng.integers(len(cast)))
    people = _plan_people(name, cast, speaking, seconds, rng)
    sound, pictures = _plan_events(people, speaking, seconds, dealer, index, rng) if config.events else ([], [[], []])
    people = [replace(p, events=tuple(events)) for p, events in zip(people, pictures, strict=False)]
    return VideoPlan(name, partition, fps, variable, seconds, tuple(people), tuple(sound), int(rng.integers(1 << 30)))


def _plan_people(name: str, cast: Cast, speaking: int, seconds: float, rng: np.random.Generator) -> list[ClipPlan]:
    feelings = [draw_pair(rng, seconds) for _ in cast]
    people = []
    for i, identity in enumerate(cast):
        side = ("left", "right")[i] if len(cast) == 2 else None
        clip = name if side is None else f"{name}_{side}"
        share = 0.0 if i == speaking else EMPATHY
        valence, arousal = (own.mixed_with(to, share) for own, to in zip(feelings[i], feelings[speaking], strict=True))
        extra = int(rng.choice([0] * 8 + [1, 2]))
        unannotated = draw_unannotated(seconds, rng)
        seed = int(rng.integers(1 << 30))
        people.append(ClipPlan(clip, identity, side, i == speaking, valence, arousal, (), unannotated, extra, seed))
    return people


def _plan_events(
    people: list[ClipPlan], speaking: int, seconds: float, dealer: Dealer, index: int, rng: np.random.Generator
) -> tuple[list[Event], list[list[Event]]]:
    """Events of the sound, and of the picture of each person. Slots alternate: one modality at a time stays intact."""
    sound: list[Event] = []
    pictures: list[list[Event]] = [[] for _ in people]
    for i, slot in enumerate(slots(seconds)):
        if (i + index) % 2 == 0:
            sound.append(draw_event(slot, "audio", dealer.next("audio"), people[speaking].arousal, rng))
            continue
        for person, events in zip(people, pictures, strict=True):
            events.append(draw_event(slot, "visual", dealer.next("visual"), person.valence, rng))
    return sound, pictures
