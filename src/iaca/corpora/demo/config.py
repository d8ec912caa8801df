"""Parameters of the demo corpus."""

from __future__ import annotations

from typing import Literal

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
