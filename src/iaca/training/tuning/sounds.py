"""Fine-tuning on sound: the windows that an encoder hears around annotated steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iaca.audio.features import Stretches
from iaca.encoders.audio import Windows
from iaca.encoders.networks import build_network
from iaca.media import present_at, read_audio_file
from iaca.training.tuning.config import EncoderTrainingConfig
from iaca.training.tuning.masking import masked
from iaca.training.tuning.samples import Pairs, annotated, no_sample


@dataclass(frozen=True)
class SoundSamples:
    """n annotated steps with sound.

    Attributes:
        clips: the windows of each clip's steps.
        places: (n, 2) the clip of each sample, and which of its windows.
        labels: (n, 2) valence and arousal in [-1, 1].
    """

    clips: list[Windows]
    places: NDArray[np.intp]
    labels: NDArray[np.float32]

    def inputs(self, which: NDArray[np.intp]) -> Tensor:
        """Samples by number (m,) -> (m, length, bands), or (m, length) of an encoder that hears samples."""
        return torch.stack([self.clips[clip][step] for clip, step in self.places[which]])


class Sounds:
    """The audio encoders."""

    def gather(self, files: Pairs, config: EncoderTrainingConfig) -> SoundSamples:
        """One of every `config.every` annotated steps with sound, clip by clip."""
        encoder: Any = build_network(config.encoder, "audio", None)  # for its front end
        clips: list[Windows] = []
        places, labels = [np.empty((0, 2), np.intp)], [np.empty((0, 2), np.float32)]
        for sound, timeline in files:
            track, (table, gold) = read_audio_file(sound), annotated(timeline, ["time_s"])
            times = table["time_s"].to_numpy(np.float64)
            steps = np.flatnonzero(present_at(track.present, times) & np.isfinite(gold).all(1))[:: config.every]
            if not len(steps):
                continue
            with torch.inference_mode():
                windows = encoder.windows(Stretches(track.samples), torch.from_numpy(times[steps]), config.context_s)
            places.append(np.stack([np.full(len(steps), len(clips)), np.arange(len(steps))], axis=1))
            labels.append(gold[steps])
            clips.append(windows)
        if not clips:
            raise no_sample("sound")
        return SoundSamples(clips, np.concatenate(places), np.concatenate(labels))

    def augment(self, inputs: Tensor, config: EncoderTrainingConfig, random: torch.Generator) -> Tensor:
        """Windows with a stretch of time and a group of bands hidden."""
        return masked(inputs, config.mask_time, config.mask_bands, random)

    def rows(self, encoder: Any, inputs: Tensor) -> Tensor:
        """(m, length, ...) -> (m, dim)."""
        rows: Tensor = encoder.rows(inputs)
        return rows
