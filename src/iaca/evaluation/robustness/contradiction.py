"""Contradiction: both modalities are there and look healthy, but one is another clip's, late, or buried in noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.robustness.config import RobustnessConfig
from iaca.evaluation.robustness.cues import resynchronised, take_cues
from iaca.evaluation.robustness.partition import Partition, clip_generator
from iaca.evaluation.robustness.protocol import Corrupted, Mask
from iaca.evaluation.robustness.segments import Steps, block_count, segments
from iaca.modalities import MODALITIES, Modality
from iaca.training.noise import lasting_noise


def conflict(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`conflict`: in segments of that share, one modality is that of another clip, its quality cues with it.

    Contradiction, not absence: observed steps of the other clip take the place of observed steps of this one, and
    the presence masks stay as they are. Where no other clip has that modality, it is another time of the same clip.
    """
    rng = clip_generator(config.seed, protocol, name)
    parts, truth = _one_modality_each(clip, level, config, rng)
    others = np.array([other for other in partition.steps if other != name], dtype=object)
    changed = replace(clip, audio=clip.audio.copy(), visual=clip.visual.copy(), quality=clip.quality.copy())
    for modality, steps in parts:
        order, place = rng.permutation(others).tolist(), rng.random()
        steps = steps[clip.present[modality][steps]]
        if len(steps):
            donor = _first_observed(order, modality, partition)
            source = clip if donor is None else donor
            rows = _elsewhere(clip, modality, steps, place) if donor is None else _from(donor, modality, steps, place)
            changed.features[modality][steps] = source.features[modality][rows]
            take_cues(changed, steps, source, rows, modality)
    return Corrupted(resynchronised(changed, clip), truth)


def feature_noise(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`feature_noise`: in segments of that share, Gaussian noise on every feature of one modality, which lasts.

    Noise on embeddings, not on sound or pixels: the quality cues, which are measured there, know nothing of it.
    """
    rng = clip_generator(config.seed, protocol, name)
    _, truth = _one_modality_each(clip, level, config, rng)
    noisy: dict[Modality, NDArray[np.float32]] = {}
    for modality, mask in zip(MODALITIES, truth.T, strict=True):
        x = clip.features[modality]
        noise = (
            np.float32(config.noise_sd) * partition.scale[modality] * lasting_noise(rng, x.shape, config.noise_reach)
        )
        noisy[modality] = np.where((mask & clip.present[modality])[:, None], x + noise, x)
    return Corrupted(clip.with_modalities(features=noisy), truth)


def time_shift(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`time_shift`: the sound comes `level` seconds late (or early, below 0).

    Sound, its presence and its cues are taken from the nearest step; the edges hold the first or the last one.
    """
    rows = _nearest_steps(clip.time_s, clip.time_s - level)
    changed = replace(clip, audio=clip.audio[rows], audio_present=clip.audio_present[rows], quality=clip.quality.copy())
    take_cues(changed, np.arange(len(clip)), clip, rows, "audio")
    truth = np.zeros((len(clip), len(MODALITIES)), np.bool_)
    truth[:, MODALITIES.index("audio")] = True
    return Corrupted(resynchronised(changed, clip), truth)


def _one_modality_each(
    clip: ClipEmbedding, level: float, config: RobustnessConfig, rng: np.random.Generator
) -> tuple[list[tuple[Modality, Steps]], Mask]:
    """Segments of a share of the clip, each with the modality it is for, and their mask (t, 2).

    The first modality is drawn, then they take turns: a clip has few segments, and a lot for each would often let one
    modality off.
    """
    cut = segments(len(clip), block_count(clip.time_s, config.block_s), level, rng)
    chosen = ((int(rng.integers(len(MODALITIES))) + np.arange(len(cut))) % len(MODALITIES)).tolist()
    truth = np.zeros((len(clip), len(MODALITIES)), np.bool_)
    for column, steps in zip(chosen, cut, strict=True):
        truth[steps, column] = True
    return [(MODALITIES[column], steps) for column, steps in zip(chosen, cut, strict=True)], truth


def _first_observed(order: list[str], modality: Modality, partition: Partition) -> ClipEmbedding | None:
    """The first clip of the order that has anything of the modality."""
    clips = (partition.read(other) for other in order)
    return next((clip for clip in clips if clip.present[modality].any()), None)


def _from(donor: ClipEmbedding, modality: Modality, steps: Steps, place: float) -> Steps:
    """As many observed steps of another clip, in order, from a place in [0, 1) of it, beginning anew at its end."""
    observed = np.flatnonzero(donor.present[modality])
    return observed[(int(place * len(observed)) + np.arange(len(steps))) % len(observed)]


def _elsewhere(clip: ClipEmbedding, modality: Modality, steps: Steps, place: float) -> Steps:
    """As many observed steps of the same clip, a quarter to three quarters of it further on."""
    observed = np.flatnonzero(clip.present[modality])
    away = int((0.25 + 0.5 * place) * len(observed))
    return observed[(np.searchsorted(observed, steps) + away) % len(observed)]


def _nearest_steps(time_s: NDArray[np.float64], wanted_s: NDArray[np.float64]) -> Steps:
    """For each wanted time (n,) the index of the nearest of the step times (t,), the earlier one of two as near."""
    after = np.searchsorted(time_s, wanted_s).clip(min(1, len(time_s) - 1), len(time_s) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted_s - time_s[before] <= time_s[after] - wanted_s, before, after)
