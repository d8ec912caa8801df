"""How a fusion model is trained. Free of torch, so that parameters are checked before anything heavy is imported."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from iaca.config import Parameters

CorruptionKind = Literal["absent", "zeros", "noise", "other"]


class CorruptionConfig(Parameters):
    """Corruption of training windows: the largest effect found in the project's study, for every model.

    Attributes:
        share: of windows that are corrupted, in one modality each.
        whole: share of those that are corrupted from end to end.
        shortest, longest: bounds of the other corrupted segments, as a share of the window.
        kinds: drawn evenly. `absent` takes the presence mask down; `zeros` leaves it up over mean features; `noise`
            adds Gaussian noise; `other` puts in another clip's segment.
        noise: bounds of the noise's standard deviation, in standard deviations of each feature.
    """

    share: float = Field(default=0.6, ge=0, le=1)
    whole: float = Field(default=1 / 3, ge=0, le=1)
    shortest: float = Field(default=0.1, gt=0, le=1)
    longest: float = Field(default=0.8, gt=0, le=1)
    kinds: tuple[CorruptionKind, ...] = Field(default=("absent", "zeros", "noise", "other"), min_length=1)
    noise: tuple[float, float] = (1.0, 3.0)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest={self.shortest} is above longest={self.longest}")
        if not 0 <= self.noise[0] <= self.noise[1]:
            raise ValueError(f"noise={self.noise} must be two bounds in order, from 0 up")
        return self


class TrainingConfig(Parameters):
    """Settings of one training run.

    Attributes:
        seed: of initial weights, order, dropout and corruption.
        length, hop: training windows, in steps [sibling: 300, 200]; the last window of a clip is right-aligned.
        batch_size: windows per batch and device.
        learning_rate, weight_decay: of AdamW.
        warmup_epochs, epochs: linear warm-up, then a cosine down to zero at the last epoch.
        patience: epochs without a better validation score before training stops.
        gradient_clip: largest gradient norm.
        corruption: of training windows, and of the corrupted half of the validation score.
        precision, accelerator, devices, strategy, num_nodes: as in `lightning.Trainer`.
        threads: of torch on the CPU while training; None leaves them as they are.
    """

    seed: int = Field(default=0, ge=0, lt=2**63)
    length: int = Field(default=300, ge=2)
    hop: int = Field(default=200, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    warmup_epochs: float = Field(default=1.0, ge=0)
    epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=8, ge=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    corruption: CorruptionConfig = CorruptionConfig()
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = 1
    strategy: str = "auto"
    num_nodes: int = Field(default=1, ge=1)
    threads: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _windows_leave_no_gap(self) -> Self:
        if self.hop > self.length:
            raise ValueError(f"hop={self.hop} is above length={self.length}: steps between windows would be left out")
        return self
