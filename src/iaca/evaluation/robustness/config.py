"""Which corruptions, at which levels. Free of numpy, so that parameters are checked before anything is imported."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, field_validator

from iaca.config import Parameters

ProtocolName = Literal["missing_audio", "missing_video", "frame_drop", "time_shift", "conflict", "feature_noise"]
MISSING = (0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0)
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
SHIFTS_S = (-8.0, -4.0, -2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
DEFAULT_LEVELS: MappingProxyType[ProtocolName, tuple[float, ...]] = MappingProxyType(
    {
        "missing_audio": MISSING,
        "missing_video": MISSING,
        "frame_drop": SHARES,
        "time_shift": SHIFTS_S,
        "conflict": SHARES,
        "feature_noise": SHARES,
    }
)


class Condition(NamedTuple):
    """What is done to a partition: a protocol and its level. Level 0 of every protocol is the clean partition."""

    corruption: str
    level: float


CLEAN = Condition("clean", 0.0)


def _curve(levels: tuple[float, ...]) -> tuple[float, ...]:
    """In order, each once, with 0 among them: every curve starts at, or passes through, the clean partition."""
    if not all(math.isfinite(level) for level in levels):
        raise ValueError(f"a level is not finite: {list(levels)}")
    return tuple(sorted({0.0, *levels})) if levels else ()


Levels = Annotated[tuple[float, ...], AfterValidator(_curve)]


class RobustnessConfig(Parameters):
    """Corruption of embeddings at evaluation. It depends on nothing else than this, the clips, and their names.

    Attributes:
        levels: protocol -> levels. Shares of the timeline in [0, 1]; for `time_shift` seconds, positive where the
            sound comes late. An empty list leaves a protocol out; 0 is always added to one that is not empty.
        block_s: s, the mean length of the blocks of a timeline that each hold one segment; a segment at a share of 0.5
            is half of it long on average.
        noise_sd: of `feature_noise`, in standard deviations of each feature over the train partition.
        noise_reach: steps that it lasts, see `iaca.training.noise.lasting_noise`.
        seed: of every draw.
    """

    levels: dict[ProtocolName, Levels] = Field(default_factory=lambda: dict(DEFAULT_LEVELS))
    block_s: float = Field(default=6.0, gt=0, allow_inf_nan=False)
    noise_sd: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    noise_reach: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)

    @field_validator("levels")
    @classmethod
    def _shares_are_shares(cls, levels: dict[ProtocolName, Levels]) -> dict[ProtocolName, Levels]:
        for protocol, given in levels.items():
            if protocol != "time_shift" and any(not 0 <= level <= 1 for level in given):
                raise ValueError(f"levels of {protocol} are shares of the timeline, in [0, 1]; got {list(given)}")
        return levels

    def conditions(self) -> list[Condition]:
        """The clean partition, then every protocol with each of its levels."""
        return [CLEAN, *(Condition(protocol, level) for protocol, given in self.levels.items() for level in given)]
