"""The plan of the demo corpus: every video, who is in it, what they feel and which stretches are corrupted.

From the plan also come the annotation files in the format of Aff-Wild2, and the tables of events and subjects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, pairwise
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from iaca.parameters import Parameters, Seed


class DemoConfig(Parameters):
    """Parameters of the demo corpus. The same values give the same pixels, samples, labels and events.

    Attributes:
        seed: random seed.
        identities: number of people; about half / a quarter / a quarter go to train / validation / test.
        clips_per_identity: clips of each person.
        seconds: mean duration of a video (s); single videos vary by a tenth.
        width, height: size of the pictures (px, even).
        pairs: in partitions of two or more people, one video shows two of them side by side.
        variable_rate: number of videos with a variable frame rate.
        audio_rate: sampling rate of the sound (Hz).
        events: whether stretches of the clips are corrupted.
    """

    seed: Seed = 0
    identities: int = Field(default=12, ge=3, le=200)
    clips_per_identity: int = Field(default=4, ge=1, le=100)
    seconds: float = Field(default=12.0, ge=2.0, le=3600.0)
    width: int = Field(default=320, ge=96, le=1920, multiple_of=2)
    height: int = Field(default=240, ge=96, le=1080, multiple_of=2)
    pairs: bool = True
    variable_rate: int = Field(default=2, ge=0, le=20_000)
    audio_rate: Literal[8000, 16000, 22050, 32000, 44100, 48000] = 16000
    events: bool = True


T = TypeVar("T")
Colour = tuple[float, float, float]
Waves = tuple[tuple[float, float, float], ...]

PARTITIONS = ("train", "validation", "test")
FRAME_RATES = (25.0, 30.0, 24.0, 15.0, 30000 / 1001)
FOLDERS = {"train": "Train_Set", "validation": "Validation_Set", "test": "Test_Set"}
NOT_ANNOTATED = -5
EVENT_COLUMNS = ("clip", "modality", "kind", "start_s", "end_s")
AUDIO_KINDS = ("silent", "noisy", "contradictory")
VISUAL_KINDS = ("occluded", "absent", "contradictory")
SHORTEST, LONGEST = 1.5, 4.0
"""Duration of an event (s)."""
SLOT = 5.0
"""A clip has one event per this many seconds, and at least one."""
EMPATHY = 0.5
"""How far the listener of a two-person video follows the speaker's affect."""
LIMIT = 0.95
"""Bound of valence and arousal."""
BAND_HZ = (0.05, 0.5)
"""Range of the frequencies of the oscillations (Hz)."""
SPREAD = 0.72
"""Standard deviation before `tanh`; the values then fill most of [-0.95, 0.95]."""
COMPLEXIONS: tuple[tuple[Colour, Colour], ...] = (
    ((1.0, 1.0, 1.0), (172.0, 138.0, 88.0)),
    ((0.94, 0.9, 0.87), (62.0, 50.0, 48.0)),
    ((1.05, 1.0, 0.98), (88.0, 60.0, 44.0)),
    ((0.97, 0.93, 0.85), (50.0, 42.0, 40.0)),
    ((1.04, 0.97, 0.95), (160.0, 86.0, 50.0)),
    ((0.92, 0.9, 0.91), (108.0, 78.0, 58.0)),
    ((1.0, 0.95, 0.9), (150.0, 150.0, 154.0)),
    ((0.98, 0.94, 0.88), (70.0, 56.0, 48.0)),
    ((0.95, 0.92, 0.94), (134.0, 70.0, 62.0)),
    ((1.03, 0.99, 0.94), (190.0, 166.0, 120.0)),
)
"""Gains of red, green and blue on the skin, as of warmer or darker light, and the mean colour (RGB) of the hair. The
portrait shows a real person: light and hair change, her appearance otherwise does not."""
SUITS: tuple[Colour, ...] = (
    (214.0, 88.0, 52.0), (58.0, 98.0, 168.0), (70.0, 132.0, 84.0),
    (158.0, 60.0, 96.0), (120.0, 120.0, 128.0), (206.0, 174.0, 74.0),
    (92.0, 74.0, 142.0), (52.0, 136.0, 142.0), (206.0, 206.0, 210.0),
)  # fmt: skip


# Values of a plan


@dataclass(frozen=True)
class Trajectory:
    """Valence or arousal over time: `LIMIT * tanh(sum of a * sin(2 pi f t + phase))`.

    Attributes:
        waves: (frequency in Hz, amplitude, phase in radians) of each oscillation.
    """

    waves: Waves

    def at(self, time_s: ArrayLike) -> NDArray[np.float64]:
        """Values in (-0.95, 0.95) at these times (s); the shape of `time_s` is kept."""
        times = np.asarray(time_s, dtype=np.float64)
        total = sum((a * np.sin(2 * np.pi * f * times + phase) for f, a, phase in self.waves), np.zeros_like(times))
        return LIMIT * np.tanh(total)

    def mixed_with(self, other: Trajectory, share: float) -> Trajectory:
        """A trajectory that follows this one with weight `1 - share` and the other one with `share`."""
        own, others = np.sqrt(1 - share), np.sqrt(share)
        return Trajectory(_scaled(self.waves, own) + _scaled(other.waves, others))


def _scaled(waves: Waves, gain: float) -> Waves:
    return tuple((f, round(float(a * gain), 4), phase) for f, a, phase in waves)


@dataclass(frozen=True)
class Event:
    """A corrupted stretch: `modality` is "audio" or "visual", times in s from the start of the video."""

    modality: str
    kind: str
    start_s: float
    end_s: float
    seed: int


@dataclass(frozen=True)
class Shape:
    """Relative changes of the face's shape, each in [-1, 1], 0 = as in the portrait."""

    jaw: float = 0.0
    length: float = 0.0
    eye_distance: float = 0.0
    eye_size: float = 0.0
    nose: float = 0.0
    mouth: float = 0.0
    brows: float = 0.0
    hair: float = 0.0


@dataclass(frozen=True)
class Voice:
    """A speaker: base pitch (Hz), length of the vocal tract relative to an average one, breathiness in [0, 1]."""

    pitch_hz: float = 170.0
    tract: float = 1.0
    breath: float = 0.2


@dataclass(frozen=True)
class Identity:
    """One person: the portrait with another shape, colouring, light, room and voice; by default the portrait itself.

    Attributes:
        subject: name of the person.
        shape: changes of the face's shape.
        mirror: -1 for the mirrored portrait, else 1.
        skin: gain of red, green and blue on the skin.
        hair: mean colour of the hair (RGB), None = the portrait's.
        suit: colour of the clothes (RGB), None = the portrait's.
        light: direction of the light in the picture (radians, 0 = from the right) and its strength in [0, 1].
        room: seed of the backdrop.
        voice: the person's voice.
    """

    subject: str = "portrait"
    shape: Shape = Shape()
    mirror: int = 1
    skin: Colour = (1.0, 1.0, 1.0)
    hair: Colour | None = None
    suit: Colour | None = None
    light: tuple[float, float] = (0.0, 0.0)
    room: int = 0
    voice: Voice = Voice()


@dataclass(frozen=True)
class ClipPlan:
    """One person in one video.

    Attributes:
        clip: name of the clip.
        identity: who it is.
        side: "left" or "right" in a two-person video, else None.
        speaks: whether the voice of the video is this person's.
        valence, arousal: what the person feels and the labels contain, whatever happens to picture or sound.
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
        """Times (s) of all frames, increasing from 0; with a variable rate the intervals jitter around 1 / fps."""
        count = max(2, round(self.seconds * self.fps))
        if not self.variable:
            return np.asarray(np.arange(count) / self.fps)
        steps = np.random.default_rng([self.seed, 5]).choice([0.6, 0.8, 1.0, 1.2, 1.8], count - 1)
        times = np.concatenate([[0.0], np.cumsum(steps)])
        return np.asarray(np.round(times * (count - 1) / (times[-1] * self.fps), 3))


Cast = tuple[Identity, ...]


# The plan


def plan_corpus(config: DemoConfig) -> list[VideoPlan]:
    """The videos of the corpus, subject-disjoint over the partitions; the same config gives the same plan."""
    rng = np.random.default_rng([config.seed, 3])
    casts = [(part, cast) for part, people in _partition(config).items() for cast in _casts(people, config)]
    names = _names(casts, config, rng)
    variable = set(np.linspace(1, len(casts) - 1, min(config.variable_rate, len(casts)), dtype=int).tolist())
    kinds = {part: _EventKinds() for part in PARTITIONS}
    return [
        _plan_video(names[i], FRAME_RATES[i % len(FRAME_RATES)], i in variable, part, cast, kinds[part], config, i)
        for i, (part, cast) in enumerate(casts)
    ]


def _partition(config: DemoConfig) -> dict[str, Cast]:
    people = draw_identities(config.identities, config.seed)
    quarter = max(1, config.identities // 4)
    train = config.identities - 2 * quarter
    return {"train": people[:train], "validation": people[train : train + quarter], "test": people[train + quarter :]}


def _casts(people: Cast, config: DemoConfig) -> list[Cast]:
    """Who is in each video of a partition: one video shows the first two people, all others one person."""
    pairs: list[Cast] = [people[:2]] if config.pairs and len(people) > 1 else []
    alone = [(p,) for k in range(config.clips_per_identity) for p in people if not (pairs and k == 0 and p in pairs[0])]
    return [*alone[: len(alone) // 2], *pairs, *alone[len(alone) // 2 :]]


def _names(casts: list[tuple[str, Cast]], config: DemoConfig, rng: np.random.Generator) -> list[str]:
    """Names in the three formats of Aff-Wild2; the numbers are unique."""
    numbers = rng.permutation(np.arange(1, 10 * len(casts) + 1))[: len(casts)]
    size = f"{config.width}x{config.height}"
    forms = ("{n}-{fps}-" + size, "{n}", "video{n}")
    return [forms[i % 3].format(n=n, fps=round(FRAME_RATES[i % len(FRAME_RATES)])) for i, n in enumerate(numbers)]


def _plan_video(
    name: str,
    fps: float,
    variable: bool,
    partition: str,
    cast: Cast,
    kinds: _EventKinds,
    config: DemoConfig,
    index: int,
) -> VideoPlan:
    rng = np.random.default_rng([config.seed, 7, index])
    seconds = round(config.seconds * float(rng.uniform(0.9, 1.1)), 2)
    speaking = int(rng.integers(len(cast)))
    people = _plan_people(name, cast, speaking, seconds, rng)
    sound, pictures = _plan_events(people, speaking, seconds, kinds, index, rng) if config.events else ([], [[], []])
    people = [replace(p, events=tuple(events)) for p, events in zip(people, pictures, strict=False)]
    return VideoPlan(name, partition, fps, variable, seconds, tuple(people), tuple(sound), int(rng.integers(1 << 30)))


def _plan_people(name: str, cast: Cast, speaking: int, seconds: float, rng: np.random.Generator) -> list[ClipPlan]:
    feelings = [_draw_affect(rng, seconds) for _ in cast]
    people = []
    for i, identity in enumerate(cast):
        side = ("left", "right")[i] if len(cast) == 2 else None
        clip = name if side is None else f"{name}_{side}"
        share = 0.0 if i == speaking else EMPATHY
        valence, arousal = (own.mixed_with(to, share) for own, to in zip(feelings[i], feelings[speaking], strict=True))
        extra = int(rng.choice([0] * 8 + [1, 2]))
        unannotated = _draw_unannotated(seconds, rng)
        seed = int(rng.integers(1 << 30))
        people.append(ClipPlan(clip, identity, side, i == speaking, valence, arousal, (), unannotated, extra, seed))
    return people


def _plan_events(
    people: list[ClipPlan], speaking: int, seconds: float, kinds: _EventKinds, index: int, rng: np.random.Generator
) -> tuple[list[Event], list[list[Event]]]:
    """Events of the sound, and of the picture of each person. Slots alternate, so one modality is always intact."""
    sound: list[Event] = []
    pictures: list[list[Event]] = [[] for _ in people]
    for i, slot in enumerate(_slots(seconds)):
        if (i + index) % 2 == 0:
            sound.append(_draw_event(slot, "audio", kinds.next("audio"), people[speaking].arousal, rng))
            continue
        for person, events in zip(people, pictures, strict=True):
            events.append(_draw_event(slot, "visual", kinds.next("visual"), person.valence, rng))
    return sound, pictures


# People


def draw_identities(count: int, seed: int) -> tuple[Identity, ...]:
    """`count` different people; a palette is used up before it repeats, so neighbours differ in more than one trait."""
    rng = np.random.default_rng([seed, 11])
    complexions, suits = _shuffled(COMPLEXIONS, count, rng), _shuffled(SUITS, count, rng)
    low = _shuffled((False, True), count, rng)
    return tuple(_draw_identity(i, *complexions[i], suits[i], low[i], rng) for i in range(count))


def _shuffled(values: tuple[T, ...], count: int, rng: np.random.Generator) -> list[T]:
    order = [rng.permutation(len(values)) for _ in range(-(-count // len(values)))]
    return [values[i] for i in np.concatenate(order)[:count]]


def _draw_identity(
    index: int, skin: Colour, hair: Colour, suit: Colour, low_voice: bool, rng: np.random.Generator
) -> Identity:
    shape = Shape(*(round(float(x), 3) for x in rng.uniform(-1, 1, 8)))
    lowest, highest = (95.0, 140.0) if low_voice else (165.0, 230.0)
    tract = rng.uniform(1.03, 1.15) if low_voice else rng.uniform(0.9, 1.0)
    voice = Voice(
        round(float(rng.uniform(lowest, highest)), 1), round(float(tract), 3), round(float(rng.uniform(0.05, 0.4)), 3)
    )
    light = (round(float(rng.uniform(-np.pi, np.pi)), 3), round(float(rng.uniform(0.2, 1.0)), 3))
    mirror = -1 if rng.uniform() < 0.5 else 1
    return Identity(f"person{index + 1:02d}", shape, mirror, skin, hair, suit, light, int(rng.integers(1 << 30)), voice)


# Valence and arousal


def _draw_affect(rng: np.random.Generator, seconds: float) -> tuple[Trajectory, Trajectory]:
    """Valence and arousal of a clip: of 24 random pairs the one that varies most and correlates least over the clip."""
    times = np.linspace(0, seconds, 200)
    pairs = [(_draw_curve(rng), _draw_curve(rng)) for _ in range(24)]
    return min(pairs, key=lambda pair: _monotony(pair[0].at(times), pair[1].at(times)))


def _draw_curve(rng: np.random.Generator) -> Trajectory:
    frequencies = np.exp(rng.uniform(np.log(BAND_HZ[0]), np.log(BAND_HZ[1]), 6))
    weights = rng.uniform(0.5, 1, 6) / np.sqrt(frequencies)
    amplitudes = SPREAD * np.sqrt(2) * weights / np.linalg.norm(weights)
    phases = rng.uniform(0, 2 * np.pi, 6)
    return Trajectory(tuple((round(float(f), 4), round(float(a), 4), round(float(p), 4))
                            for f, a, p in zip(frequencies, amplitudes, phases, strict=True)))  # fmt: skip


def _monotony(valence: NDArray[np.float64], arousal: NDArray[np.float64]) -> float:
    together = abs(float(np.corrcoef(valence, arousal)[0, 1]))
    return together - 0.35 * min(float(np.ptp(valence)), float(np.ptp(arousal)))


# Events and gaps in the annotation


class _EventKinds:
    """Takes kinds of events in turn, so that all kinds are equally frequent in a partition."""

    def __init__(self) -> None:
        self._kinds = {"audio": cycle(AUDIO_KINDS), "visual": cycle(VISUAL_KINDS)}

    def next(self, modality: str) -> str:
        """The kind of the next event of this modality."""
        return next(self._kinds[modality])


def _slots(seconds: float) -> list[tuple[float, float]]:
    """The stretches of a video, one event in each."""
    count = max(1, int(seconds // SLOT))
    edges = [round(seconds * i / count, 3) for i in range(count + 1)]
    return list(pairwise(edges))


def _draw_event(
    slot: tuple[float, float], modality: str, kind: str, trajectory: Trajectory, rng: np.random.Generator
) -> Event:
    """An event inside a slot. A contradiction is placed where the trajectory is far from 0: at 0 there is none."""
    start, end = slot[0] + 0.1, slot[1] - 0.1
    longest = min(LONGEST, 0.62 * (slot[1] - slot[0]))
    duration = rng.uniform(SHORTEST, max(SHORTEST, longest))
    starts = rng.uniform(start, max(start, end - duration), 12)
    steps = np.linspace(0, duration, 12)
    strengths = [float(np.mean(np.abs(trajectory.at(s + steps)))) for s in starts]
    chosen = starts[int(np.argmax(strengths))] if kind == "contradictory" else starts[0]
    stop = min(round(float(chosen + duration), 3), round(slot[1], 3))
    return Event(modality, kind, round(float(chosen), 3), stop, int(rng.integers(1 << 30)))


def _draw_unannotated(seconds: float, rng: np.random.Generator) -> tuple[tuple[float, float, str], ...]:
    """Stretches without annotation: (start_s, end_s, column), the column "valence", "arousal" or "both"."""
    if rng.uniform() > 0.45:
        return ()
    duration = float(rng.uniform(0.04, 0.12)) * seconds
    start = float(rng.uniform(0, seconds - duration))
    column = ("both", "both", "valence", "arousal")[int(rng.integers(4))]
    return ((round(start, 3), round(start + duration, 3), column),)


# Annotations and tables


def annotation_texts(plans: Sequence[VideoPlan]) -> dict[str, str]:
    """Contents of the annotation files by "<folder of the partition>/<clip>": header, then `valence,arousal` per frame.

    The labels are what the person feels, whatever happens to picture or sound. Unannotated stretches have -5 in one
    column or both; some files are one or two lines longer than the video, as in the real corpus.
    """
    return {
        f"{FOLDERS[plan.partition]}/{clip.clip}": _annotation_text(clip, plan) for plan in plans for clip in plan.people
    }


def _annotation_text(clip: ClipPlan, plan: VideoPlan) -> str:
    times = plan.frame_times()
    values = np.stack([clip.valence.at(times), clip.arousal.at(times)], axis=1)
    rows = [[f"{x:.3f}" for x in row] for row in values]
    for start_s, end_s, column in clip.unannotated:
        for i in np.flatnonzero((times >= start_s) & (times < end_s)):
            rows[i] = [str(NOT_ANNOTATED) if column in ("both", name) else text
                       for name, text in zip(("valence", "arousal"), rows[i], strict=True)]  # fmt: skip
    rows += [rows[-1]] * clip.extra_rows
    return "\n".join(["valence,arousal", *(",".join(row) for row in rows)]) + "\n"


def event_table(plans: Sequence[VideoPlan]) -> pd.DataFrame:
    """Corrupted stretches, one row each: clip, modality, kind, start_s, end_s; sorted by clip and start.

    Silence and noise count for both people of a two-person video, a contradictory voice only for the speaker.
    """
    rows = [(clip.clip, e.modality, e.kind, e.start_s, e.end_s)
            for plan in plans for clip in plan.people for e in _events_of(clip, plan)]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(EVENT_COLUMNS)).astype({"start_s": np.float64, "end_s": np.float64})
    return table.sort_values(["clip", "start_s", "modality"], ignore_index=True)


def _events_of(clip: ClipPlan, plan: VideoPlan) -> Iterator[Event]:
    yield from (event for event in plan.events if clip.speaks or event.kind != "contradictory")
    yield from clip.events


def subject_table(plans: Sequence[VideoPlan]) -> pd.DataFrame:
    """The person in each clip: columns clip and subject, sorted by clip."""
    rows = [(clip.clip, clip.identity.subject) for plan in plans for clip in plan.people]
    return pd.DataFrame(rows, columns=["clip", "subject"]).sort_values("clip", ignore_index=True)
