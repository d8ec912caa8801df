"""What every protocol gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.robustness.config import RobustnessConfig
from iaca.evaluation.robustness.partition import Partition

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Corrupted:
    """A clip of t steps after a protocol.

    Attributes:
        clip: its times are those of the clean clip.
        truth: (t, 2) bool, where audio and where visual was corrupted. It holds steps at which that modality had not
            been observed anyway, so that its mean over a partition is the share that was asked for.
    """

    clip: ClipEmbedding
    truth: Mask


Protocol = Callable[[str, str, ClipEmbedding, float, Partition, RobustnessConfig], Corrupted]
"""(protocol, name of the clip, clip, level, partition, config) -> the corrupted clip."""
