"""Short runs on synthetic clips, and how to stop them."""

from __future__ import annotations

import pytest
import torch
from synthetic_clips import AUDIO_DIM, CUES, VISUAL_DIM, annotated_clips

from iaca.fusion import preset
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel
from iaca.training.train import FusionTraining, TrainingRun, train

TRAIN, VALIDATION = annotated_clips(6), annotated_clips(3, first=100)
SHORT = TrainingConfig(length=30, hop=20, batch_size=4, epochs=4, accelerator="cpu", threads=1)
MODEL = preset("iaca", AUDIO_DIM, VISUAL_DIM, width=8, heads=2, temporal_layers=1)
PLUS = preset("iaca_plus", AUDIO_DIM, VISUAL_DIM, CUES, width=8, heads=2, temporal_layers=1)


class PowerCutError(Exception):
    """What a power cut looks like from the inside."""


def run_until(epoch: int, monkeypatch: pytest.MonkeyPatch, *run: object) -> None:
    """Train, and lose power in the middle of an epoch."""
    step = FusionTraining.training_step

    def stops(self: FusionTraining, batch: dict, index: int) -> torch.Tensor:
        if self.current_epoch == epoch and index == 1:
            raise PowerCutError
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(FusionTraining, "training_step", stops)
        with pytest.raises(PowerCutError):
            train(TrainingRun(*run))


def equal(one: TrainedModel, other: TrainedModel) -> bool:
    return one.weights.keys() == other.weights.keys() and all(
        torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items()
    )
