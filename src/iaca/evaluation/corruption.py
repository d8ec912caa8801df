"""Which corruptions does the benchmark apply to a clip? The protocols by name, and those that change embeddings.

* Absence (`missing_audio`, `missing_video`, `frame_drop`): a modality is missing for some time, for whole videos or in
  single steps, and its presence mask says so.
* Contradiction (`conflict`, `time_shift`, `feature_noise`): both modalities are present, but one is another clip's,
  late, or buried in noise.
* Corruption of the signal, before the encoders: `iaca.evaluation.signal_corruption` writes the embedding, which is read
  here.

To add a protocol, write a function of type `Protocol`, put it into `PROTOCOLS`, and its levels into
`iaca.evaluation.config`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.cues import OF, synchrony
from iaca.encoders.embedding import ClipEmbedding, read_embedding
from iaca.evaluation.config import SNR, Condition, ProtocolName, RobustnessConfig
from iaca.parameters import MODALITIES, Modality
from iaca.training.data import lasting_noise

MISSING = {"missing_audio": "audio", "missing_video": "visual"}
SYNCHRONY_INPUTS = ("mouth_opening", "sound_level")
TOLERANCE, MIN_AGREEMENT = 0.01, 0.9
"""A clip's synchrony is ours if this share of steps agrees to within the tolerance. Features read from text are rounded
and a lag may flip its sign; a synchrony computed in another way differs at nearly all steps."""


def corrupted(
    condition: Condition, name: str, clip: ClipEmbedding, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """A clip under a condition: the same for every model and on every call. At the clean level, the clip itself.

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


# The clips that are corrupted together, and reproducible random segments of a clip

Steps = NDArray[np.intp]
Mask = NDArray[np.bool_]
CLIPS_IN_MEMORY = 16
JITTER = 0.25  # of a block's length, at each of its two ends: blocks are 0.5 to 1.5 times their mean length


@dataclass(frozen=True)
class Partition:
    """The clips that are corrupted together.

    Attributes:
        steps: clip -> its number of steps, sorted by name.
        read: returns a clip by its name.
        scale: modality -> (D,) standard deviation of each of its features.
        corrupted_files: (protocol, level, clip) -> embedding of the clip with corrupted sound or faces.
    """

    steps: Mapping[str, int]
    read: Callable[[str], ClipEmbedding]
    scale: Mapping[str, NDArray[np.float32]]
    corrupted_files: Mapping[tuple[str, float, str], Path] = field(default_factory=dict)

    @classmethod
    def of(cls, clips: Mapping[str, ClipEmbedding], scale: Mapping[str, NDArray[np.float32]]) -> Partition:
        """A partition in memory."""
        return cls({name: len(clips[name]) for name in sorted(clips)}, clips.__getitem__, scale)

    @classmethod
    def of_files(
        cls,
        paths: Sequence[Path],
        scale: Mapping[str, NDArray[np.float32]],
        corrupted_files: Mapping[tuple[str, float, str], Path] = MappingProxyType({}),
    ) -> Partition:
        """A partition on disk, of which only a few clips are in memory at a time. Clips are named by file stems."""
        files = {path.stem: path for path in paths}
        read = lru_cache(CLIPS_IN_MEMORY)(lambda name: read_embedding(files[name]))
        return cls({name: len(read(name)) for name in sorted(files)}, read, scale, corrupted_files)


@dataclass(frozen=True)
class Corrupted:
    """A clip of t steps after a protocol.

    Attributes:
        clip: with the times of the clean clip.
        truth: (t, 2) bool, where audio and where visual was corrupted. Steps at which the modality had not been
            observed in the first place count as well, so the mean over a partition is the requested share.
    """

    clip: ClipEmbedding
    truth: Mask


Protocol = Callable[[str, str, ClipEmbedding, float, Partition, RobustnessConfig], Corrupted]
"""(protocol, name of the clip, clip, level, partition, config) -> the corrupted clip."""


def clip_generator(seed: int, protocol: str, clip: str) -> np.random.Generator:
    """The random generator of one clip under one protocol.

    All levels share the same random draws, so a higher level extends a lower one.
    """
    return np.random.default_rng(np.frombuffer(_digest(seed, protocol, clip), np.uint32))


def drawn_order(seed: int, protocol: str, clips: Mapping[str, int]) -> list[str]:
    """The clips in a random order that depends on seed and protocol only."""
    return sorted(clips, key=lambda clip: _digest(seed, protocol, clip))


def _digest(seed: int, protocol: str, clip: str) -> bytes:
    return hashlib.sha256(f"{seed}/{protocol}/{clip}".encode()).digest()


def block_count(time_s: NDArray[np.float64], block_s: float) -> int:
    """Number of blocks of about `block_s` seconds in a clip with step times (t,), from 1 to t."""
    steps = len(time_s)
    seconds = float(time_s[-1] - time_s[0]) * steps / max(steps - 1, 1)
    return int(np.clip(round(seconds / block_s), 1, steps))


def segments(steps: int, blocks: int, share: float, rng: np.random.Generator) -> list[Steps]:
    """One segment at the start of each block; together they cover the share, to within half a step per block.

    Block lengths and the step at which the first block starts are random; the last block wraps around the clip's end.
    With the same draws, the segments of a larger share contain those of a smaller one.

    Args:
        steps: of the clip, t >= 1.
        blocks: number of blocks.
        share: of the clip, in [0, 1].
        rng: makes the same number of draws for every share.

    Returns:
        Step indices of the segment of each block, ascending except where the segment wraps around.
    """
    bounds = np.arange(blocks + 1, dtype=np.float64)
    bounds[1:-1] += rng.uniform(-JITTER, JITTER, blocks - 1)
    edges = np.rint(bounds * steps / blocks).astype(np.intp)
    start = int(rng.integers(steps))
    return [(start + np.arange(a, a + rounded(share * (b - a)))) % steps for a, b in pairwise(edges.tolist())]


def rounded(count: float) -> int:
    """Nearest integer, halves up. Python rounds halves to even, so a larger share could get fewer steps."""
    return int(count + 0.5)


# Absence


def missing(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`missing_audio`, `missing_video`: a share of the partition's timeline is missing.

    The videos are split at random into two halves. In one half, entire videos lose the modality, one after the other in
    a random order, until the share is reached (the last one in part, from its start). In each video of the other half,
    contiguous segments of that share lose it.
    """
    entire_videos = drawn_order(config.seed, protocol, partition.steps)[1::2]
    if name in entire_videos:
        gone = _share_of_videos(entire_videos, name, level, partition)
    else:
        gone = np.zeros(len(clip), np.bool_)
        blocks = block_count(clip.time_s, config.block_s)
        for steps in segments(len(clip), blocks, level, clip_generator(config.seed, protocol, name)):
            gone[steps] = True
    truth = np.stack([gone & (MISSING[protocol] == modality) for modality in MODALITIES], axis=1)
    return Corrupted(_without(clip, truth), truth)


def _share_of_videos(order: list[str], name: str, level: float, partition: Partition) -> NDArray[np.bool_]:
    """Missing steps of one video if the videos are concatenated in this order and the first share is removed."""
    steps = [partition.steps[clip] for clip in order]
    before = sum(steps[: order.index(name)])
    return np.arange(partition.steps[name]) < rounded(level * sum(steps)) - before


def frame_drop(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`frame_drop`: each step of each modality is dropped with probability `level`, independently."""
    truth = clip_generator(config.seed, protocol, name).random((len(clip), len(MODALITIES))) < level
    return Corrupted(_without(clip, truth), truth)


def _without(clip: ClipEmbedding, gone: Mask) -> ClipEmbedding:
    """The clip without the steps (t, 2) of its modalities: absent in the masks, with zeros for features."""
    masks = dict(zip(MODALITIES, gone.T, strict=True))
    return clip.with_modalities(
        features={m: np.where(mask[:, None], np.float32(0), clip.features[m]) for m, mask in masks.items()},
        present={m: clip.present[m] & ~mask for m, mask in masks.items()},
    )


# Contradiction


def conflict(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`conflict`: in segments of that share, one modality and its quality cues are those of another clip.

    Observed steps of the other clip replace observed steps of this one, and the presence masks do not change. If no
    other clip has the modality, it is taken from another time of the same clip.
    """
    rng = clip_generator(config.seed, protocol, name)
    parts, truth = _one_modality_each(clip, level, config, rng)
    others = np.array([other for other in partition.steps if other != name], dtype=object)
    changed = replace(clip, audio=clip.audio.copy(), visual=clip.visual.copy(), quality=clip.quality.copy())
    for modality, steps in parts:
        order, position = rng.permutation(others).tolist(), rng.random()
        steps = steps[clip.present[modality][steps]]
        if not len(steps):
            continue
        donor = _first_observed(order, modality, partition)
        if donor is None:
            source, rows = clip, _later_rows(clip, modality, steps, position)
        else:
            source, rows = donor, _donor_rows(donor, modality, len(steps), position)
        changed.features[modality][steps] = source.features[modality][rows]
        _take_cues(changed, steps, source, rows, modality)
    return Corrupted(_resynchronised(changed, clip), truth)


def time_shift(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`time_shift`: the sound is `level` seconds late (early, if negative).

    Sound, its presence and its cues are taken from the nearest step; at the edges the first or last one is repeated.
    """
    rows = _nearest_steps(clip.time_s, clip.time_s - level)
    changed = replace(clip, audio=clip.audio[rows], audio_present=clip.audio_present[rows], quality=clip.quality.copy())
    _take_cues(changed, np.arange(len(clip)), clip, rows, "audio")
    truth = np.zeros((len(clip), len(MODALITIES)), np.bool_)
    truth[:, MODALITIES.index("audio")] = True
    return Corrupted(_resynchronised(changed, clip), truth)


def feature_noise(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """`feature_noise`: in segments of that share, temporally correlated Gaussian noise on every feature of one
    modality.

    The noise is on embeddings, not on sound or pixels, so the quality cues, measured on those, do not change.
    """
    rng = clip_generator(config.seed, protocol, name)
    _, truth = _one_modality_each(clip, level, config, rng)
    noisy: dict[Modality, NDArray[np.float32]] = {}
    for modality, mask in zip(MODALITIES, truth.T, strict=True):
        x = clip.features[modality]
        amplitude = np.float32(config.noise_sd) * partition.scale[modality]
        noise = amplitude * lasting_noise(rng, x.shape, config.noise_reach)
        noisy[modality] = np.where((mask & clip.present[modality])[:, None], x + noise, x)
    return Corrupted(clip.with_modalities(features=noisy), truth)


def _one_modality_each(
    clip: ClipEmbedding, level: float, config: RobustnessConfig, rng: np.random.Generator
) -> tuple[list[tuple[Modality, Steps]], Mask]:
    """Segments of a share of the clip, each with the modality that it corrupts, and their mask (t, 2).

    The modality of the first segment is random; after that they alternate. A clip has few segments, so independent
    draws would often leave one modality clean.
    """
    parts = segments(len(clip), block_count(clip.time_s, config.block_s), level, rng)
    columns = ((int(rng.integers(len(MODALITIES))) + np.arange(len(parts))) % len(MODALITIES)).tolist()
    truth = np.zeros((len(clip), len(MODALITIES)), np.bool_)
    for column, steps in zip(columns, parts, strict=True):
        truth[steps, column] = True
    return [(MODALITIES[column], steps) for column, steps in zip(columns, parts, strict=True)], truth


def _first_observed(order: list[str], modality: Modality, partition: Partition) -> ClipEmbedding | None:
    """The first clip of the order in which the modality is present at any step."""
    clips = (partition.read(other) for other in order)
    return next((clip for clip in clips if clip.present[modality].any()), None)


def _donor_rows(donor: ClipEmbedding, modality: Modality, count: int, position: float) -> Steps:
    """`count` consecutive observed steps of another clip from a relative position in [0, 1), wrapping at its end."""
    observed = np.flatnonzero(donor.present[modality])
    return observed[(int(position * len(observed)) + np.arange(count)) % len(observed)]


def _later_rows(clip: ClipEmbedding, modality: Modality, steps: Steps, position: float) -> Steps:
    """For each step an observed step of the same clip, a quarter to three quarters of the clip later (wrapping)."""
    observed = np.flatnonzero(clip.present[modality])
    offset = int((0.25 + 0.5 * position) * len(observed))
    return observed[(np.searchsorted(observed, steps) + offset) % len(observed)]


def _nearest_steps(time_s: NDArray[np.float64], wanted_s: NDArray[np.float64]) -> Steps:
    """For each wanted time (n,) the index of the nearest step time (t,); of two equally near ones, the earlier."""
    after = np.searchsorted(time_s, wanted_s).clip(min(1, len(time_s) - 1), len(time_s) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted_s - time_s[before] <= time_s[after] - wanted_s, before, after)


# Quality cues: another clip's voice comes with its own level and noise


def _take_cues(target: ClipEmbedding, steps: Steps, source: ClipEmbedding, rows: Steps, modality: str) -> None:
    """Copy the cues of one modality from `rows` of a clip to `steps` of `target`, which owns its array."""
    for column, name in enumerate(target.quality_names):
        if OF.get(name) == modality and name in source.quality_names:
            target.quality[steps, column] = source.quality[rows, source.quality_names.index(name)]


def _resynchronised(changed: ClipEmbedding, clean: ClipEmbedding) -> ClipEmbedding:
    """The changed clip with synchrony and lag recomputed from its mouth opening and sound level.

    Only if `iaca.encoders.cues` reproduces the clean clip's synchrony. One that was computed in another way can't be
    recomputed and stays unchanged, so it tells a model nothing about the corruption.
    """
    names = clean.quality_names
    if not {"synchrony", *SYNCHRONY_INPUTS} <= set(names):
        return changed
    stored = clean.quality[:, names.index("synchrony")]
    if len(stored) and np.isclose(_synchrony(clean)["synchrony"], stored, atol=TOLERANCE).mean() < MIN_AGREEMENT:
        return changed
    quality = changed.quality.copy()
    for name, values in _synchrony(changed).items():
        if name in names:
            quality[:, names.index(name)] = values
    return replace(changed, quality=quality)


def _synchrony(clip: ClipEmbedding) -> dict[str, NDArray[np.float32]]:
    opening, level = (clip.quality[:, clip.quality_names.index(name)] for name in SYNCHRONY_INPUTS)
    return synchrony(opening, level, clip.time_s, clip.face_found & clip.audio_present)


# Corruption of the signal

LEFT_ALONE = "left_alone"
"""Key of an embedding's metadata: the reason why the clip was not corrupted."""


def corrupted_steps(
    condition: Condition, name: str, time_s: NDArray[np.float64], config: RobustnessConfig
) -> NDArray[np.bool_]:
    """(t,) bool, the steps whose signal a condition corrupts, in segments.

    An occlusion covers the share of the clip that its level gives; noise and blur cover `signal_share`.
    """
    protocol, level = condition
    share = level if protocol.startswith("occlusion") else config.signal_share
    steps = np.zeros(len(time_s), np.bool_)
    if len(time_s):
        blocks, rng = block_count(time_s, config.block_s), clip_generator(config.seed, protocol, name)
        for part in segments(len(time_s), blocks, share, rng):
            steps[part] = True
    return steps


def corrupted_signal(
    protocol: str, name: str, clip: ClipEmbedding, level: float, partition: Partition, config: RobustnessConfig
) -> Corrupted:
    """Protocol of `audio_noise`, `audio_babble`, `video_blur`, `occlusion_mouth`, `occlusion_eyes`: read the embedding
    of the corrupted signal.

    The truth is where the signal was corrupted. Encoders with a longer receptive field spread the corruption beyond
    those steps; that is not counted. A clip that was not corrupted has no such steps.
    """
    changed = read_embedding(partition.corrupted_files[protocol, level, name])
    truth = np.zeros((len(clip), len(MODALITIES)), np.bool_)
    if LEFT_ALONE not in changed.metadata:
        column = MODALITIES.index("audio" if protocol in SNR else "visual")
        truth[:, column] = corrupted_steps(Condition(protocol, level), name, clip.time_s, config)
    return Corrupted(changed, truth)


PROTOCOLS: Mapping[ProtocolName, Protocol] = MappingProxyType(
    {
        "missing_audio": missing,
        "missing_video": missing,
        "frame_drop": frame_drop,
        "time_shift": time_shift,
        "conflict": conflict,
        "feature_noise": feature_noise,
        "audio_noise": corrupted_signal,
        "audio_babble": corrupted_signal,
        "video_blur": corrupted_signal,
        "occlusion_mouth": corrupted_signal,
        "occlusion_eyes": corrupted_signal,
    }
)
