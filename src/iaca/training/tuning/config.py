"""How an encoder is fine-tuned. Free of torch: parameters are checked before it is imported."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from iaca.config import Parameters, Seed
from iaca.encoders.config import DEVICE, ENCODERS, EncoderChoice
from iaca.modalities import Modality


class EncoderTrainingConfig(Parameters):
    """Parameters of fine-tuning.

    Attributes:
        encoder: the name of an encoder that learns, or a mapping {name, weights, changes}.
        start: `weights` goes on from the published file, or from the checkpoint that `encoder` names; `random` does
            not.
        epochs: at most.
        patience: epochs without a better validation CCC before it stops.
        batch: faces, clips of faces, or windows of sound in a step of the optimiser; the CCC is taken over them.
        learning_rate, weight_decay: of AdamW.
        every: one of this many annotated steps with a face (with sound) is used; neighbours are nearly the same.
        flip: probability of a mirrored face.
        jitter: largest change of brightness, contrast and saturation, as a share.
        crop: smallest side that is cut out and enlarged again, as a share of the whole.
        mask_time, mask_bands: longest stretch of a window of sound, and widest group of its bands, that is hidden, as
            a share of all.
        context_s: s of sound around a step, for encoders that hear whole sounds (`wavlm_base_plus`, `hubert_base`).
        seed: of everything that is drawn.
        device: `auto` takes a GPU where there is one.
    """

    encoder: EncoderChoice = EncoderChoice(name="resnet18")
    start: Literal["weights", "random"] = "weights"
    epochs: int = Field(default=10, ge=1, le=1000)
    patience: int = Field(default=3, ge=1, le=1000)
    batch: int = Field(default=64, ge=4, le=4096)
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0, lt=1)
    every: int = Field(default=5, ge=1, le=10_000)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    crop: float = Field(default=0.9, gt=0.3, le=1)
    mask_time: float = Field(default=0.2, ge=0, lt=1)
    mask_bands: float = Field(default=0.2, ge=0, lt=1)
    context_s: float = Field(default=2.0, gt=0, le=20)
    seed: Seed = 0
    device: str = Field(default="auto", pattern=DEVICE)

    @field_validator("encoder", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("encoder")
    @classmethod
    def _learns(cls, choice: EncoderChoice) -> EncoderChoice:
        if not choice.entry(modality_of(choice)).learned:
            raise ValueError(f"{choice.name} has nothing to learn")
        return choice

    @property
    def modality(self) -> Modality:
        """What the encoder sees or hears."""
        return modality_of(self.encoder)


def modality_of(choice: EncoderChoice) -> Modality:
    """The modality of a named encoder.

    Raises:
        ValueError: there is no such encoder.
    """
    for modality, encoders in ENCODERS.items():
        if choice.name in encoders:
            return modality
    known = ", ".join(name for encoders in ENCODERS.values() for name in encoders)
    raise ValueError(f"there is no encoder named {choice.name!r}; choose one of {known}")
