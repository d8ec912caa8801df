"""What a synthetic corpus is made of."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from iaca.config import Parameters, Partition, Seed

EventKind = Literal["absent", "zeros", "noise", "other"]

# Correlation of what a modality shows with what is felt, (valence, arousal).
SEES = {
    "s": {"audio": (0.25, 0.85), "visual": (0.85, 0.25)},
    "s2": {"audio": (0.5, 0.85), "visual": (0.85, 0.5)},
}


class SyntheticConfig(Parameters):
    """Parameters of a synthetic corpus. A clip is the same whatever `clips` is.

    Attributes:
        kind: `s`: the face sees valence well and arousal badly, the voice the reverse; `s2`: more redundancy.
        clips: number of clips.
        clips_per_subject: clips of one subject; a subject stays in one partition.
        partitions: dealt to the subjects in turn.
        seconds: length of every clip (s).
        rate: steps a second (Hz).
        audio_dim, visual_dim: number of features.
        correlation_s: time (s) after which the autocorrelation of what is felt has fallen to 1/e.
        noise: deviation of the white noise on each feature, in deviations of its signal.
        nuisance: the same of the slow part that has nothing to do with what is felt.
        identity: the same of the constant part that tells speakers and faces apart.
        lip_sync: how far the mouth follows the sound: 0 not at all, 1 wholly.
        quality: write quality cues.
        event_share: share of a clip's time in which one modality is corrupted; 0: a clean corpus.
        event_kinds: drawn evenly. `absent` has no rows; `zeros` and `noise` are as they say; `other` is a stretch of
            another person's clip.
        event_s: bounds of an event's length (s).
        seed: of everything that is drawn.
    """

    kind: Literal["s", "s2"] = "s2"
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
    seed: Seed = 0

    @model_validator(mode="after")
    def _lengths_make_sense(self) -> Self:
        if self.steps < 2:
            raise ValueError(f"{self.seconds} s at {self.rate} Hz are less than two steps")
        if not 0 < self.event_s[0] <= self.event_s[1]:
            raise ValueError(f"event_s={self.event_s} must be two lengths in order, above 0")
        return self

    @property
    def steps(self) -> int:
        """Steps of every clip."""
        return round(self.seconds * self.rate)
