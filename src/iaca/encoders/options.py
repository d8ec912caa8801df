"""What can be changed about an encoder. Free of torch, so that it is checked before anything heavy is imported."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from iaca.config import Parameters


class NoOptions(Parameters):
    """Nothing: the network takes one form of input."""


class FaceOptions(Parameters):
    """Of a network that looks at one face.

    Attributes:
        side: the face is scaled to this, px. Faces are stored at 112 px: more adds cost, and no detail.
    """

    side: int = Field(default=112, ge=32, le=512)


class ClipOptions(FaceOptions):
    """Of a network that looks at a clip of faces, centred on its step.

    Attributes:
        frames: faces in a clip.
        dilation: decoded frames from one to the next; even, unless the number of faces is odd, or the clip would
            not be centred.
    """

    frames: int = Field(default=8, ge=2, le=64)
    dilation: int = Field(default=4, ge=1, le=64)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Frames of the clip, counted from its step: -14, -10, ..., 14 for 8 faces at dilation 4."""
        half = (self.frames - 1) * self.dilation // 2
        return tuple(i * self.dilation - half for i in range(self.frames))

    @model_validator(mode="after")
    def _centred(self) -> Self:
        if (self.frames - 1) * self.dilation % 2:
            raise ValueError(f"{self.frames} faces at an odd dilation ({self.dilation}) can't be centred on a step")
        return self


class WindowOptions(Parameters):
    """Of a network that looks at a window of a spectrogram, centred on its step.

    Attributes:
        frames: of 10 ms; odd, so that one is in the middle.
    """

    frames: int = Field(default=107, ge=9, le=1001)

    @field_validator("frames")
    @classmethod
    def _odd(cls, frames: int) -> int:
        if frames % 2 == 0:
            raise ValueError(f"a window is centred on a step, but {frames} frames have none in the middle")
        return frames


class LayerOptions(Parameters):
    """Of a transformer over sound.

    Attributes:
        layer: whose hidden states are taken, counted from 1.
    """

    layer: int = Field(default=12, ge=1, le=12)
