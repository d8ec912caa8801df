"""The protocols by name. A new one is a function in this package and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.robustness.absence import frame_drop, missing
from iaca.evaluation.robustness.config import Condition, ProtocolName, RobustnessConfig
from iaca.evaluation.robustness.contradiction import conflict, feature_noise, time_shift
from iaca.evaluation.robustness.partition import Partition
from iaca.evaluation.robustness.protocol import Corrupted, Protocol
from iaca.evaluation.robustness.signal import spoilt
from iaca.modalities import MODALITIES

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
