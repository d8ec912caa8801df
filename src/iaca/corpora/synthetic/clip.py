"""One synthetic clip: what is felt, what face and voice show of it, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iaca.corpora.features.clip import METADATA
from iaca.corpora.synthetic.config import SyntheticConfig
from iaca.corpora.synthetic.cues import NAMES, draw_cues
from iaca.corpora.synthetic.events import Event, Track, corrupt, draw_events
from iaca.corpora.synthetic.noise import Array, Stream, generator, smooth
from iaca.corpora.synthetic.world import draw_identity, draw_views
from iaca.encoders.cues import synchrony
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding

STEEPNESS = 0.8  # a label is tanh(0.8 of what is felt), whose variance is 1
PLACES = 4  # decimals of features and cues: halves the files, and is far below the noise
DONORS = 10**9  # clips of this number and above lend a stretch to an event, and are in no corpus


@dataclass(frozen=True)
class SyntheticClip:
    """A clip with its truth.

    Attributes:
        name, subject, partition: where it belongs.
        annotated: what a model sees, and the labels of what is felt, whatever happened to face or voice.
        events: what happened to them.
    """

    name: str
    subject: str
    partition: str
    annotated: AnnotatedClip
    events: tuple[Event, ...]


def draw_corpus(config: SyntheticConfig) -> Iterator[SyntheticClip]:
    """The clips of a corpus, one at a time."""
    return (draw_clip(config, index) for index in range(config.clips))


def draw_annotated(config: SyntheticConfig, partition: str | None = None) -> dict[str, AnnotatedClip]:
    """The clips of a partition, or all, by name; bit for bit those read from a written corpus."""
    chosen = (i for i in range(config.clips) if partition in (None, partition_of(config, i)))
    return {clip.name: clip.annotated for clip in (draw_clip(config, index) for index in chosen)}


def partition_of(config: SyntheticConfig, index: int) -> str:
    """Partition of the clip of this number: that of its subject."""
    return config.partitions[index // config.clips_per_subject % len(config.partitions)]


def draw_clip(config: SyntheticConfig, index: int) -> SyntheticClip:
    """The clip of this number, the same in a corpus of any size."""
    felt, tracks = _draw_tracks(config, index)
    rng = generator(config.seed, Stream.EVENTS, index)
    events = draw_events(config, rng)
    for number, event in enumerate(events):
        donor = DONORS * (number + 1) + index

        def other(donor: int = donor, modality: str = event.modality) -> Track:
            return _draw_tracks(config, donor)[1][modality]

        tracks[event.modality] = corrupt(tracks[event.modality], event, other, rng)
    return SyntheticClip(
        name=f"clip{index:05d}",
        subject=f"subject{index // config.clips_per_subject:05d}",
        partition=partition_of(config, index),
        annotated=AnnotatedClip(_embedding(config, tracks), _rounded(np.tanh(STEEPNESS * felt))),
        events=events,
    )


def _draw_tracks(config: SyntheticConfig, index: int) -> tuple[Array, dict[str, Track]]:
    """What is felt (t, 2), and the clean tracks of voice and face."""
    rng = generator(config.seed, Stream.CLIP, index)
    felt = smooth(rng, config.steps, config.correlation_s * config.rate, 2)
    identity = draw_identity(config, index // config.clips_per_subject, rng)
    views = draw_views(config)
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
    """(t, len(NAMES)); synchrony is computed from what mouth and sound do, as it is for recorded clips."""
    cues = audio.cues | visual.cues
    opening, level = (cues[name].astype(np.float32) for name in ("mouth_opening", "sound_level"))
    cues["synchrony"] = synchrony(opening, level, time_s, audio.present & visual.present)["synchrony"].astype(
        np.float64
    )
    return _rounded(np.stack([cues[name] for name in NAMES], axis=1))


def _rounded(x: Array) -> NDArray[np.float32]:
    return x.round(PLACES).astype(np.float32)
