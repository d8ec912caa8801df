"""Synthetic corpora with known truth, in the layout of `iaca.corpora.features`, drawn from a seed.

Two smooth random trajectories are felt (valence, arousal). Voice and face each show a mixture of them, with noise, and
have quality cues as `iaca.encoders.cues` measures them on recordings. In events, one modality is absent, noisy or
taken from another clip. In the test partition of kind `s3`, one modality no longer shows what it showed in training.

`python -m iaca.corpora.synthetic ROOT [--kind s2] [--clips 120] ...` writes a corpus.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from scipy.ndimage import gaussian_filter1d

from iaca.corpora.features import FOLDERS, METADATA
from iaca.corpora.index import CARD_FILE, NOT_ABOUT_PEOPLE, PARTITION_FILE, PARTITIONS, CorpusCard, card_text
from iaca.encoders.cues import synchrony
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding
from iaca.engine.run import progress
from iaca.errors import InputError, ended_by_errors
from iaca.files import replacing, require_file, write_text
from iaca.formats.labels import EVENT_COLUMNS, LABELS
from iaca.formats.tables import write_table
from iaca.parameters import MODALITIES, Modality, Parameters, Partition, Seed, add_options, faults

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Cues = dict[str, Array]
Rows = list[Sequence[str | float]]
Format = Literal["csv", "parquet"]
EventKind = Literal["absent", "zeros", "noise", "other"]
Shift = Literal["gone", "reversed"]
CONFIG_FILE, SHIFT_FILE = "synthetic.json", "shift.csv"
SHIFT_COLUMNS = ("clip", "modality", "dimension", "shift", "correlation", "correlation_learnt")

# Correlation of the signal that a modality shows with what is felt, (valence, arousal).
SEES = {
    "s": {"audio": (0.25, 0.85), "visual": (0.85, 0.25)},
    "s2": {"audio": (0.5, 0.85), "visual": (0.85, 0.5)},
    "s3": {"audio": (0.5, 0.85), "visual": (0.85, 0.5)},  # before the shift
}
STEEPNESS = 0.8  # a label is tanh(0.8 x), where x is what is felt, of variance 1
PLACES = 4  # decimals of features and cues: halves the files, and is far below the noise
DONORS = 10**9  # clips from this number on are in no corpus; they provide the features of `other` events

NUISANCES = 4  # slow processes unrelated to what is felt
TRAITS = 4  # directions in which identities differ
BEND = 0.5  # share of the mildly nonlinear part
SUBJECT, SESSION = 0.9, np.sqrt(1 - 0.9**2)  # an identity depends mostly on the person, slightly on the recording

NAMES = (
    "face_score", "face_sharpness", "sound_level", "snr_estimate", "voice_activity", "synchrony", "mouth_motion",
    "mouth_opening",
)  # fmt: skip
TALK_S, PAUSE_S, ONSET_S, SYLLABLES_HZ = 2.5, 1.0, 0.1, 4.0

NOISE = 2.0  # deviation of the noise of an event, in deviations of each feature
SILENT_SOUND: dict[str, float] = {"sound_level": -100.0, "snr_estimate": 0.0, "voice_activity": 0.0}
NO_FACE: dict[str, float] = {"face_score": 0.0, "face_sharpness": 0.0, "mouth_motion": 0.0, "mouth_opening": 0.0}
DEAD: dict[str, dict[str, float]] = {"audio": SILENT_SOUND, "visual": NO_FACE}
NOISY: dict[str, dict[str, float]] = {
    "audio": {"sound_level": -15.0, "snr_estimate": 3.0, "voice_activity": 0.5},
    "visual": {"face_score": 0.8, "face_sharpness": 3.0, "mouth_motion": 9.0},
}


class SyntheticConfig(Parameters):
    """Parameters of a synthetic corpus. A clip is the same whatever `clips` is.

    Attributes:
        kind: `s`: the face shows valence well and arousal badly, the voice the reverse; `s2`: more redundancy; `s3`:
            `s2` with a shift: in the test partition one modality no longer shows one dimension as in training.
        clips: number of clips.
        clips_per_subject: clips of one subject; a subject stays in one partition.
        partitions: assigned to the subjects in turn.
        seconds: length of every clip (s).
        rate: steps per second (Hz).
        audio_dim, visual_dim: number of features.
        correlation_s: time (s) after which the autocorrelation of what is felt has fallen to 1/e.
        noise: deviation of the white noise on each feature, in deviations of its signal.
        nuisance: the same for the slow part that is unrelated to what is felt.
        identity: the same for the constant part that distinguishes speakers and faces.
        lip_sync: how far the mouth follows the sound: 0 not at all, 1 completely.
        quality: write quality cues.
        event_share: share of a clip's time in which one modality is corrupted; 0: a clean corpus.
        event_kinds: drawn evenly. `absent` has no rows; `zeros` and `noise` replace the features; `other` is a stretch
            of another person's clip.
        event_s: bounds of an event's length (s).
        shift_modality: of `s3`: `audio` or `visual`, the modality that shifts.
        shift_dimension: of `s3`: `valence` or `arousal`, what it no longer shows as in training.
        shift: of `s3`: `gone`: it shows nothing of the dimension; `reversed`: it shows the opposite.
        shift_learnt: of `s3`: correlation of the shown signal with the dimension in training and validation; that of
            `s2` if not given.
        seed: of all random draws.
    """

    kind: Literal["s", "s2", "s3"] = "s2"
    clips: int = Field(default=60, ge=1)
    clips_per_subject: int = Field(default=2, ge=1)
    partitions: tuple[Partition, ...] = Field(default=("train", "validation", "test", "train", "train"), min_length=1)
    seconds: float = Field(default=60.0, gt=0)
    rate: float = Field(default=25.0, gt=0)
    audio_dim: int = Field(default=24, ge=1)
    visual_dim: int = Field(default=32, ge=1)
    correlation_s: float = Field(default=3.0, gt=0)
    noise: float = Field(default=2.0, ge=0)
    nuisance: float = Field(default=1.0, ge=0)
    identity: float = Field(default=1.0, ge=0)
    lip_sync: float = Field(default=0.3, ge=0, le=1)
    quality: bool = True
    event_share: float = Field(default=0.0, ge=0, le=0.8)
    event_kinds: tuple[EventKind, ...] = Field(default=("absent", "zeros", "noise", "other"), min_length=1)
    event_s: tuple[float, float] = (2.0, 8.0)
    shift_modality: Modality = "audio"
    shift_dimension: Literal["valence", "arousal"] = "valence"
    shift: Shift = "gone"
    shift_learnt: float | None = Field(default=None, gt=0, le=1)
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.steps < 2:
            raise ValueError(f"{self.seconds} s at {self.rate} Hz are fewer than two steps")
        if not 0 < self.event_s[0] <= self.event_s[1]:
            raise ValueError(f"event_s={self.event_s} must be two lengths in order, above 0")
        return self

    @model_validator(mode="after")
    def _check_shift(self) -> Self:
        if self.kind != "s3":
            shift = [name for name in type(self).model_fields if name.startswith("shift")]
            given = [name for name in shift if getattr(self, name) != type(self).model_fields[name].default]
            if given:
                raise ValueError(f"{', '.join(given)}: only a corpus of kind s3 has a shift, this one is {self.kind}")
            return self
        drawn = {partition_of(self, index) for index in range(0, self.clips, self.clips_per_subject)}
        if missing := [name for name in PARTITIONS if name not in drawn]:
            raise ValueError(
                f"kind s3 needs clips in every partition, and {self.clips} clips leave {' and '.join(missing)} empty; "
                "draw more clips, or give other partitions"
            )
        return self

    @property
    def steps(self) -> int:
        """Steps of every clip."""
        return round(self.seconds * self.rate)

    def sees(self, partition: str) -> dict[str, Array]:
        """Modality -> (2,) correlation of what it shows with valence and arousal, in the clips of a partition."""
        sees = {modality: np.array(values) for modality, values in SEES[self.kind].items()}
        if self.kind == "s3":
            shown, dimension = sees[self.shift_modality], LABELS.index(self.shift_dimension)
            if self.shift_learnt is not None:
                shown[dimension] = self.shift_learnt
            if partition == "test":
                shown[dimension] = 0.0 if self.shift == "gone" else -shown[dimension]
        return sees


# The corpus on disk


def write_corpus(config: SyntheticConfig, root: Path, form: Format = "csv") -> None:
    """Draw and write one clip at a time. partition.csv comes last and marks the corpus as complete.

    Args:
        config: of the corpus.
        root: a new or an empty folder.
        form: format of the tables of features, cues and labels.

    Raises:
        InputError: the folder is not empty.
    """
    if root.exists() and any(root.iterdir()):
        raise InputError("the folder is not empty", root, remedy="give a new folder, or empty this one")
    members: Rows = [("clip", "partition", "subject")]
    events: Rows = [EVENT_COLUMNS]
    for clip in progress(draw_corpus(config), "clips", config.clips):
        _write_clip(clip, root, form)
        members.append((clip.name, clip.partition, clip.subject))
        events += event_rows(clip.name, clip.events, config.rate)
    write_text(root / CARD_FILE, card_text(card(config)))
    write_text(root / CONFIG_FILE, config.model_dump_json(indent=2) + "\n")
    if config.event_share:
        _write_rows(root / "events.csv", events)
    if config.kind == "s3":
        _write_rows(root / SHIFT_FILE, [SHIFT_COLUMNS, *shift_rows(config)])
    _write_rows(root / PARTITION_FILE, members)


def read_config(root: Path) -> SyntheticConfig:
    """The parameters from which a corpus was drawn.

    Raises:
        InputError: the folder is not a synthetic corpus, or its parameters are not those of this version.
    """
    path = root / CONFIG_FILE
    remedy = "give the folder of a corpus that python -m iaca.corpora.synthetic wrote"
    require_file(path, remedy)
    if not path.exists():
        raise InputError("there is no such file", path, remedy=remedy)
    try:
        return SyntheticConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = faults(error) if isinstance(error, ValidationError) else error.reason
        raise InputError(f"not the parameters of a synthetic corpus ({what})", path, remedy=remedy) from error


def card(config: SyntheticConfig) -> CorpusCard:
    """The card, with the caveat that every result on this corpus repeats."""
    caveat = (
        "Trained on synthetic features: random mixtures of two smooth random trajectories. It shows how models "
        f"compare when the truth is known; {NOT_ABOUT_PEOPLE}."
    )
    if config.kind == "s3":
        stream = {"audio": "voice", "visual": "face"}[config.shift_modality]
        now = {"gone": "nothing of", "reversed": "the opposite of"}[config.shift]
        caveat += f" In the test partition the {stream} shows {now} {config.shift_dimension}, unlike in training."
    return CorpusCard(name=f"synthetic {config.kind.upper()}", caveat=caveat)


def _write_clip(clip: SyntheticClip, root: Path, form: Format) -> None:
    embedding, everywhere = clip.annotated.embedding, np.ones(len(clip.annotated), np.bool_)
    tables: dict[str, tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.bool_]]] = {
        modality: (_names(modality, dim), embedding.features[modality], embedding.present[modality])
        for modality, dim in embedding.dims.items()
    }
    tables["labels"] = (LABELS, clip.annotated.labels, everywhere)
    if embedding.quality_names:
        tables["quality"] = (embedding.quality_names, embedding.quality, everywhere)
    for kind, (names, values, present) in tables.items():
        with replacing(root / FOLDERS[kind] / f"{clip.name}.{form}") as partial:
            write_table(partial, embedding.time_s[present], names, values[present])


def _names(modality: str, dim: int) -> tuple[str, ...]:
    return tuple(f"{modality}_{i}" for i in range(dim))


def _write_rows(path: Path, rows: Rows) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def event_rows(clip: str, events: Iterable[Event], rate: float) -> list[tuple[str, str, str, float, float]]:
    """Rows of the table of events: clip, modality, kind, start_s, end_s; an event covers start_s <= time_s < end_s."""
    return [(clip, event.modality, event.kind, event.start / rate, event.end / rate) for event in events]


def shift_rows(config: SyntheticConfig) -> Rows:
    """Rows of the table of the shift, one per clip of the test partition of an `s3` corpus: clip, modality, dimension,
    kind of shift, and the correlations of what is shown with what is felt, in this clip and in training."""
    modality, dimension = config.shift_modality, LABELS.index(config.shift_dimension)
    now, learnt = (float(config.sees(partition)[modality][dimension]) for partition in ("test", "train"))
    facts = (modality, config.shift_dimension, config.shift, now, learnt)
    return [(clip_name(i), *facts) for i in range(config.clips) if partition_of(config, i) == "test"]


# Clips


@dataclass(frozen=True)
class SyntheticClip:
    """A clip with its ground truth.

    Attributes:
        name, subject, partition: as in partition.csv.
        annotated: the features, and the labels of what is felt, also during events.
        events: in which face or voice are corrupted.
    """

    name: str
    subject: str
    partition: str
    annotated: AnnotatedClip
    events: tuple[Event, ...]


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


def draw_corpus(config: SyntheticConfig) -> Iterator[SyntheticClip]:
    """The clips of a corpus, one at a time."""
    return (draw_clip(config, index) for index in range(config.clips))


def draw_annotated(config: SyntheticConfig, partition: str | None = None) -> dict[str, AnnotatedClip]:
    """The clips of a partition, or all, by name; identical to those read from a written corpus."""
    chosen = (i for i in range(config.clips) if partition in (None, partition_of(config, i)))
    return {clip.name: clip.annotated for clip in (draw_clip(config, index) for index in chosen)}


def partition_of(config: SyntheticConfig, index: int) -> str:
    """Partition of the clip of this number: that of its subject."""
    return config.partitions[index // config.clips_per_subject % len(config.partitions)]


def clip_name(index: int) -> str:
    """Name of the clip of this number."""
    return f"clip{index:05d}"


def draw_clip(config: SyntheticConfig, index: int) -> SyntheticClip:
    """The clip of this number, the same in a corpus of any size."""
    partition = partition_of(config, index)
    felt, tracks = _draw_tracks(config, index, partition)
    rng = generator(config.seed, Stream.EVENTS, index)
    events = draw_events(config, rng)
    for number, event in enumerate(events):
        donor = DONORS * (number + 1) + index

        def other(donor: int = donor, modality: str = event.modality) -> Track:
            return _draw_tracks(config, donor, partition)[1][modality]

        tracks[event.modality] = corrupt(tracks[event.modality], event, other, rng)
    return SyntheticClip(
        name=clip_name(index),
        subject=f"subject{index // config.clips_per_subject:05d}",
        partition=partition,
        annotated=AnnotatedClip(_embedding(config, tracks), _rounded(np.tanh(STEEPNESS * felt))),
        events=events,
    )


def _draw_tracks(config: SyntheticConfig, index: int, partition: str) -> tuple[Array, dict[str, Track]]:
    """What is felt (t, 2), and the clean tracks of voice and face, as they are in the clips of a partition."""
    rng = generator(config.seed, Stream.CLIP, index)
    felt = smooth(rng, config.steps, config.correlation_s * config.rate, 2)
    identity = draw_identity(config, index // config.clips_per_subject, rng)
    views = draw_views(config, partition)
    features = {m: view.features(felt, identity[m], config, rng) for m, view in views.items()}
    cues, present = draw_cues(config, rng), np.ones(config.steps, np.bool_)
    return felt, {m: Track(features[m], present, cues[m]) for m in views}


def _embedding(config: SyntheticConfig, tracks: dict[str, Track]) -> ClipEmbedding:
    audio, visual = tracks["audio"], tracks["visual"]
    time_s = np.arange(config.steps) / config.rate
    return ClipEmbedding(
        audio=_rounded(audio.features),
        visual=_rounded(visual.features),
        audio_present=audio.present,
        face_found=visual.present,
        time_s=time_s,
        quality=_quality(audio, visual, time_s) if config.quality else np.empty((config.steps, 0), np.float32),
        quality_names=NAMES if config.quality else (),
        metadata=METADATA,
    )


def _quality(audio: Track, visual: Track, time_s: Array) -> NDArray[np.float32]:
    """(t, len(NAMES)); synchrony is computed from mouth and sound, as for recorded clips."""
    cues = audio.cues | visual.cues
    opening, level = (cues[name].astype(np.float32) for name in ("mouth_opening", "sound_level"))
    cues["synchrony"] = synchrony(opening, level, time_s, audio.present & visual.present)["synchrony"].astype(
        np.float64
    )
    return _rounded(np.stack([cues[name] for name in NAMES], axis=1))


def _rounded(x: Array) -> NDArray[np.float32]:
    return x.round(PLACES).astype(np.float32)


# Random draws


class Stream(IntEnum):
    """Independent random streams: draws from one never change another."""

    WORLD = 0
    SUBJECT = 1
    CLIP = 2
    EVENTS = 3


def generator(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """The generator of one item of a stream: a subject, a clip, the events of a clip."""
    return np.random.default_rng([seed, stream, index])


def smooth(rng: np.random.Generator, steps: int, correlation: float, columns: int) -> Array:
    """(steps, columns) stationary Gaussian noise of variance 1, with an autocorrelation of 1/e at `correlation` steps.

    White noise through a Gaussian filter of deviation s has the autocorrelation exp(-t^2 / 4 s^2).
    """
    sigma = correlation / 2
    margin = int(4 * sigma) + 1
    impulse = np.zeros(2 * margin + 1)
    impulse[margin] = 1.0
    gain = np.linalg.norm(gaussian_filter1d(impulse, sigma))
    white = rng.standard_normal((steps + 2 * margin, columns))
    filtered: Array = gaussian_filter1d(white, sigma, axis=0)[margin:-margin] / gain
    return filtered


# From what is felt to features: random mixing, the same for all clips of a seed


@dataclass(frozen=True)
class View:
    """How one modality shows what is felt.

    Attributes:
        sees: (2,) correlation of the shown signal with valence and arousal.
        straight, bent: (2, D) mixing of the shown signal, linear and through tanh.
        nuisance: (NUISANCES, D).
        traits: (TRAITS, D).
    """

    sees: Array
    straight: Array
    bent: Array
    nuisance: Array
    traits: Array

    def features(self, felt: Array, identity: Array, config: SyntheticConfig, rng: np.random.Generator) -> Array:
        """(t, D) features of what a person of this identity (TRAITS,) feels (t, 2)."""
        steps, correlation = len(felt), config.correlation_s * config.rate
        drift = smooth(rng, steps, correlation, 2 + NUISANCES)
        shown = self.sees * felt + np.sqrt(1 - self.sees**2) * drift[:, :2]
        signal = shown @ self.straight + BEND * np.tanh(shown @ self.bent)
        slow = config.nuisance * drift[:, 2:] @ self.nuisance + config.identity * identity @ self.traits
        white: Array = config.noise * rng.standard_normal(signal.shape)
        return signal + slow + white


def draw_views(config: SyntheticConfig, partition: str = "train") -> dict[str, View]:
    """The views of voice (`audio`) and face (`visual`) in a partition; they differ between partitions only in `s3`.
    Each feature's signal has a variance of about 1."""
    rng = generator(config.seed, Stream.WORLD)
    dims, sees = {"audio": config.audio_dim, "visual": config.visual_dim}, config.sees(partition)
    return {m: View(sees[m], *_mixing(rng, dim)) for m, dim in dims.items()}


def _mixing(rng: np.random.Generator, dim: int) -> tuple[Array, Array, Array, Array]:
    rows = (2, 2, NUISANCES, TRAITS)
    straight, bent, nuisance, traits = (rng.standard_normal((n, dim)) / np.sqrt(n) for n in rows)
    return straight, 2 * bent, nuisance, traits


def draw_identity(config: SyntheticConfig, subject: int, session: np.random.Generator) -> dict[str, Array]:
    """Traits (TRAITS,) of a subject's voice and face in one recording."""
    person = generator(config.seed, Stream.SUBJECT, subject)
    return {
        modality: SUBJECT * person.standard_normal(TRAITS) + SESSION * session.standard_normal(TRAITS)
        for modality in MODALITIES
    }


# Quality cues


def draw_cues(config: SyntheticConfig, rng: np.random.Generator) -> dict[str, Cues]:
    """Cues (t,) of each modality by name, without `synchrony`, which belongs to both."""
    speech, own = speech_envelope(config, rng), speech_envelope(config, rng)
    slow = smooth(rng, config.steps, config.correlation_s * config.rate, 3)
    white = rng.standard_normal((config.steps, 5))
    room, gain, focus = rng.standard_normal(3)
    shape = rng.standard_normal(config.steps)  # drawn last, so that the other cues stay as in earlier versions
    mouth = config.lip_sync * speech + (1 - config.lip_sync) * own
    return {
        "audio": {
            "sound_level": -45 + 3 * gain + 22 * speech + 1.5 * white[:, 0],
            "snr_estimate": 22 + 3 * room + 2 * slow[:, 0] + white[:, 1],
            "voice_activity": np.clip(1.2 * speech + 0.05 * white[:, 2], 0, 1),
        },
        "visual": {
            "face_score": np.clip(0.98 + 0.01 * slow[:, 1] + 0.005 * white[:, 3], 0, 1),
            "face_sharpness": 6 + 0.4 * focus + 0.2 * slow[:, 2],
            "mouth_motion": np.abs(1 + 6 * mouth + 0.8 * white[:, 4]),
            "mouth_opening": 0.1 * focus + 0.4 * mouth + 0.04 * shape,
        },
    }


def speech_envelope(config: SyntheticConfig, rng: np.random.Generator) -> Array:
    """(t,) loudness of speech in [0, 1]: alternating talk and pauses, with syllables in the talk."""
    steps, rate = config.steps, config.rate
    lengths = rng.exponential(1.0, size=2 * int(config.seconds / (TALK_S + PAUSE_S) * 3 + 8)).reshape(-1, 2)
    edges = np.cumsum(lengths * [TALK_S, PAUSE_S]) - rng.uniform(0, TALK_S)
    time_s = np.arange(steps) / rate
    talks = (np.searchsorted(edges, time_s, side="right") % 2 == 0).astype(np.float64)
    smear = max(1, round(2 * ONSET_S * rate))
    talks = np.convolve(np.pad(talks, smear, mode="edge"), np.ones(smear) / smear, "same")[smear:-smear]
    wander = smooth(rng, steps, 0.5 * rate, 1)[:, 0]
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * SYLLABLES_HZ * time_s + 2 * wander)
    envelope: Array = talks * (0.4 + 0.6 * syllables)
    return envelope


# Events


def draw_events(config: SyntheticConfig, rng: np.random.Generator) -> tuple[Event, ...]:
    """Events of a clip in succession, with pauses so that they fill `event_share` of the time on average."""
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


def corrupt(track: Track, event: Event, other: Callable[[], Track], rng: np.random.Generator) -> Track:
    """The track with an event. `other` draws the same modality of another person's clip."""
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
        if "mouth_motion" in cues:  # noise moves as well, but it is not a mouth
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


# The command


def main(words: Sequence[str] | None = None) -> None:
    """Every field of `SyntheticConfig` is an option of the same name."""
    parser = build_parser()
    given = vars(parser.parse_args(words))
    root, form = given.pop("root"), given.pop("format")
    try:
        config = SyntheticConfig(**{name: value for name, value in given.items() if value is not None})
        with ended_by_errors(parser):
            write_corpus(config, root, form)
    except ValidationError as error:
        parser.error(faults(error, "--"))
    log.info("%d clips of %g s in %s", config.clips, config.seconds, root)


def build_parser() -> argparse.ArgumentParser:
    """The options of the command, with defaults and descriptions from the parameter model."""
    parser = argparse.ArgumentParser(prog="python -m iaca.corpora.synthetic", description=__doc__)
    parser.add_argument("root", type=Path, help="a new or an empty folder")
    parser.add_argument("--format", choices=get_args(Format), default="csv", help="format of the tables")
    add_options(parser, SyntheticConfig)
    return parser


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
