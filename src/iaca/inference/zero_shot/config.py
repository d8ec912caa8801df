"""The numbers of the zero-shot model, and the JSON file that holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from iaca.config import Parameters, faults
from iaca.errors import InputError, brief
from iaca.text import parse_json

Value = Annotated[float, Field(ge=-1, le=1)]
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The classes of the expression encoder, in the order of its logits."""
REMEDY = "give a file like the project's own zero_shot.json"


class Ramp(Parameters):
    """How a quality cue becomes trust: 0 at `none` and beyond, 1 at `full` and beyond, straight in between."""

    none: float
    full: float

    @model_validator(mode="after")
    def _steep(self) -> Ramp:
        if self.none == self.full:
            raise ValueError("a ramp needs two different ends")
        return self


class FaceRules(Parameters):
    """How a face is read.

    Attributes:
        coordinates: valence and arousal of each class.
        trust: quality cue -> ramp; the trust in a face is their product. An unknown cue leaves no doubt.
        rest_share: how much of the face's own mean position is taken off in a long clip.
        rest_s: s of face after which half of that share is taken off.
    """

    coordinates: dict[str, tuple[Value, Value]]
    trust: dict[str, Ramp]
    rest_share: float = Field(ge=0, le=1)
    rest_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _complete(self) -> FaceRules:
        if set(self.coordinates) != set(CLASSES):
            raise ValueError(f"coordinates are needed of exactly {', '.join(CLASSES)}")
        return self


class VoiceRules(Parameters):
    """How a voice is read.

    Attributes:
        units: descriptor -> how far it rises above the speaker's own level for one unit of evidence.
        reach: the most arousal that a voice adds or takes.
        trust: as of a face; ramps also of `voiced_share`, the share of voiced frames within a second.
        own_s: s of voice after which the speaker's own level is half known.
    """

    units: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    reach: float = Field(gt=0, le=1)
    trust: dict[str, Ramp]
    own_s: float = Field(gt=0)


class ZeroShotConfig(Parameters):
    """The whole model.

    Attributes:
        version: of the rules in code that these numbers are for.
        sources: where the numbers come from, in words.
        smoothing_s: time constant of the two-sided exponential mean, s.
        step_s: the longest time one step may stand for, s: what comes after a gap weighs no more.
        prior_s: s of fully trusted evidence that the resting point (0, 0) weighs.
        confidence_s: s of fully trusted evidence at which confidence is a half.
    """

    version: int = Field(ge=1, le=1)
    sources: dict[str, str]
    face: FaceRules
    voice: VoiceRules
    smoothing_s: float = Field(gt=0)
    step_s: float = Field(gt=0)
    prior_s: float = Field(gt=0)
    confidence_s: float = Field(gt=0)


def read_config(path: Path) -> ZeroShotConfig:
    """The rules in a JSON file.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    try:
        content = parse_json(path.read_text())
        json.dumps(content, ensure_ascii=False).encode()  # ValueError: half of a surrogate pair can't be written again
        return ZeroShotConfig.model_validate(content)
    except FileNotFoundError as error:
        raise InputError("there is no such model file", path, remedy=REMEDY) from error
    except ValidationError as error:
        raise InputError(f"not the rules of a zero-shot model ({faults(error)})", path, remedy=REMEDY) from error
    except (OSError, ValueError) as error:
        raise InputError(f"not a JSON file of rules ({brief(error)})", path, remedy=REMEDY) from error
