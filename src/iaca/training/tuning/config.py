"""How a visual encoder is fine-tuned. Free of torch: parameters are checked before it is imported."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from iaca.config import Parameters
from iaca.encoders.config import EncoderChoice


class EncoderTrainingConfig(Parameters):
    """Parameters of fine-tuning.

    Attributes:
        encoder: a visual encoder's name, or a mapping {name, weights, changes}.
        start: `weights` goes on from the published file, or from the checkpoint that `encoder` names; `random` does
            not.
        epochs: at most.
        patience: epochs without a better validation CCC before it stops.
        batch: faces, or clips of faces, in a step of the optimiser; the CCC is taken over them.
        learning_rate, weight_decay: of AdamW.
        every: one of this many annotated steps with a face is used; neighbours are nearly the same picture.
        flip: probability of a mirrored face.
        jitter: largest change of brightness, contrast and saturation, as a share.
        crop: smallest side that is cut out and enlarged again, as a share of the whole.
        seed: of everything that is drawn.
        device: `auto` takes a GPU where there is one.
    """

    encoder: EncoderChoice = EncoderChoice(name="resnet18")
    start: Literal["weights", "random"] = "weights"
    epochs: int = Field(default=10, ge=1, le=1000)
    patience: int = Field(default=3, ge=1)
    batch: int = Field(default=64, ge=4, le=4096)
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0, lt=1)
    every: int = Field(default=5, ge=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    crop: float = Field(default=0.9, gt=0.3, le=1)
    seed: int = Field(default=0, ge=0)
    device: str = "auto"

    @field_validator("encoder", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("encoder")
    @classmethod
    def _visual(cls, choice: EncoderChoice) -> EncoderChoice:
        choice.entry("visual")
        return choice
