"""Absence: a modality is gone for a while, for whole videos, or in single steps, and its presence mask says so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.robustness.config import RobustnessConfig
from iaca.evaluation.robustness.partition import Partition, clip_generator, drawn_order
from iaca.evaluation.robustness.protocol import Corrupted, Mask
from iaca.evaluation.robustness.segments import block_count, nearest, segments
from iaca.modalities import MODALITIES

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
