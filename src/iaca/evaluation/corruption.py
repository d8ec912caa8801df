"""Quality cues go with what they were measured on: another clip's voice brings its own level, and its own noise.

Absence: a modality is gone for a while, for whole videos, or in single steps, and its presence mask says so.

Contradiction: both modalities are there and look healthy, but one is another clip's, late, or buried in noise.

The protocols by name. A new one is a function in this package and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.cues import OF, synchrony
from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.config import Condition, ProtocolName, RobustnessConfig
from iaca.evaluation.partition import (
    Corrupted,
    Mask,
    Partition,
    Protocol,
    Steps,
    block_count,
    clip_generator,
    drawn_order,
    nearest,
    segments,
)
from iaca.evaluation.signal_corruption import spoilt
from iaca.parameters import MODALITIES, Modality
from iaca.training.corruption import lasting_noise

ITS_PARTS = ("mouth_opening", "sound_level")
SAME, SHARE = 0.01, 0.9  # features read from text are rounded, and a lag may flip; of another making nearly all differ


def take_cues(target: ClipEmbedding, steps: Steps, source: ClipEmbedding, rows: Steps, modality: str) -> None:
    """Write the cues of one modality at `rows` of another clip to `steps` of `target`, whose array is its own."""
    for column, name in enumerate(target.quality_names):
        if OF.get(name) == modality and name in source.quality_names:
            target.quality[steps, column] = source.quality[rows, source.quality_names.index(name)]


def resynchronised(changed: ClipEmbedding, clean: ClipEmbedding) -> ClipEmbedding:
    """The changed clip with the synchrony, and its lag, that its own mouth and sound now have.

    Only where the clean clip's synchrony is what `iaca.encoders.cues` makes of its mouth and its level: a cue
    of another making cannot be measured anew, and stays as it was, which tells a model nothing about what was done.
    """
    names = clean.quality_names
    if not {"synchrony", *ITS_PARTS} <= set(names):
        return changed
    told = clean.quality[:, names.index("synchrony")]
    if len(told) and np.isclose(_measured(clean)["synchrony"], told, atol=SAME).mean() < SHARE:
        return changed
    quality = changed.quality.copy()
    for name, values in _measured(changed).items():
        if name in names:
            quality[:, names.index(name)] = values
    return replace(changed, quality=quality)


def _measured(clip: ClipEmbedding) -> dict[str, NDArray[np.float32]]:
    opening, level = (clip.quality[:, clip.quality_names.index(part)] for part in ITS_PARTS)
    return synchrony(opening, level, clip.time_s, clip.face_found & clip.audio_present)


MISSING = {"missing_audio": "audio", "missing_video": "visual"}


def missing(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`missing_audio`, `missing_video`: a share of the partition's timeline is gone.

    The videos are parted into two halves by lot. In one of them whole videos go, one after the other in a drawn order,
    until the share is reached (the last one in part, from its start); in each video of the other half contiguous
    segments go, as much of it as the share says.
    """
    whole_videos = drawn_order(config.seed, protocol, partition.steps)[1::2]
    if name in whole_videos:
        gone = _share_of_videos(whole_videos, name, level, partition)
    else:
        gone = np.zeros(len(clip), np.bool_)
        blocks = block_count(clip.time_s, config.block_s)
        for steps in segments(len(clip), blocks, level, clip_generator(config.seed, protocol, name)):
            gone[steps] = True
    truth = np.stack([gone & (MISSING[protocol] == modality) for modality in MODALITIES], axis=1)
    return Corrupted(without(clip, truth), truth)


def frame_drop(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`frame_drop`: each step of each modality goes with probability `level`, independently of all others."""
    truth = clip_generator(config.seed, protocol, name).random((len(clip), len(MODALITIES))) < level
    return Corrupted(without(clip, truth), truth)


def without(clip: ClipEmbedding, gone: Mask) -> ClipEmbedding:
    """The clip without some steps (t, 2) of its modalities: mask down, zeros in the place of the features."""
    masks = dict(zip(MODALITIES, gone.T, strict=True))
    return clip.with_modalities(
        features={m: np.where(mask[:, None], np.float32(0), clip.features[m]) for m, mask in masks.items()},
        present={m: clip.present[m] & ~mask for m, mask in masks.items()},
    )


def _share_of_videos(order: list[str], name: str, level: float, partition: Partition) -> NDArray[np.bool_]:
    """The steps of one video that are gone when the videos are laid end to end and the share is cut off in front."""
    steps = [partition.steps[clip] for clip in order]
    before = sum(steps[: order.index(name)])
    return np.arange(partition.steps[name]) < nearest(level * sum(steps)) - before


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


PROTOCOLS: Mapping[ProtocolName, Protocol] = MappingProxyType(
    {
        "missing_audio": missing,
        "missing_video": missing,
        "frame_drop": frame_drop,
        "time_shift": time_shift,
        "conflict": conflict,
        "feature_noise": feature_noise,
        "audio_noise": spoilt,
        "audio_babble": spoilt,
        "video_blur": spoilt,
        "occlusion_mouth": spoilt,
        "occlusion_eyes": spoilt,
    }
)


def corrupted(
    condition: Condition, name: str, clip: ClipEmbedding, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """What a condition makes of a clip: the same for every model, and the same each time. At the clean level the
    clip itself.

    Args:
        condition: protocol and level.
        name: of the clip.
        clip: the clean clip; never changed.
        partition: the clips that are corrupted together.
        config: segments, noise, seed.
    """
    if condition.clean or len(clip) == 0:
        return Corrupted(clip, np.zeros((len(clip), len(MODALITIES)), np.bool_))
    protocol: Protocol = PROTOCOLS[condition.corruption]  # type: ignore[index]
    return protocol(condition.corruption, name, clip, condition.level, partition, config)
