"""The LightningModule: one fusion model, its loss, its validation score, its history."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from iaca.fusion.config import FusionConfig
from iaca.fusion.model import FusionModel, FusionOutput
from iaca.training.config import TrainingConfig
from iaca.training.loss import ccc_loss, concordance
from iaca.training.seeds import Stream, torch_seed

Batch = dict[str, Tensor]
CONDITIONS = ("clean", "corrupted")  # the validation loaders, in order


class FusionTraining(lightning.LightningModule):
    """Trains a `FusionModel` on windows; scores it by pooled CCC on clean and on corrupted validation windows.

    Everything random is seeded anew at each epoch, so that an epoch is the same whether or not the run was interrupted
    before it.
    """

    def __init__(self, fusion: FusionConfig, config: TrainingConfig, fingerprint: str):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        torch.manual_seed(torch_seed(config.seed, Stream.WEIGHTS))
        self.model = FusionModel(fusion)
        self.history: list[dict[str, float]] = []
        self.losses: list[Tensor] = []
        self.scored: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def forward(self, batch: Batch) -> FusionOutput:
        output: FusionOutput = self.model(
            batch["audio"], batch["visual"], batch["audio_present"], batch["visual_present"], batch["padding"]
        )
        return output

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(torch_seed(self.config.seed, Stream.DROPOUT, self.current_epoch))
        self.losses = []

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = ccc_loss(self(batch).prediction, batch["labels"], batch["valid"])
        self.losses.append(loss.detach())
        return loss

    def on_validation_epoch_start(self) -> None:
        self.scored = {condition: [] for condition in CONDITIONS}

    def validation_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        scored = (self(batch).prediction.double(), batch["labels"].double(), batch["valid"])
        self.scored[CONDITIONS[dataloader_idx]].append(scored)

    def on_validation_epoch_end(self) -> None:
        row: dict[str, float] = {"epoch": float(self.current_epoch)}
        for condition, parts in self.scored.items():
            prediction, gold, valid = (torch.cat(column) for column in zip(*parts, strict=True))
            valence, arousal = concordance(prediction, gold, valid).tolist()  # pooled over the partition
            row |= {f"{condition}_valence": valence, f"{condition}_arousal": arousal}
        row["score"] = sum(row[f"{c}_{d}"] for c in CONDITIONS for d in ("valence", "arousal")) / 4
        self.log("score", row["score"])
        self.history.append(row)

    def on_train_epoch_end(self) -> None:
        learning_rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        self.history[-1] |= {"loss": torch.stack(self.losses).mean().item(), "learning_rate": learning_rate}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"fingerprint": self.fingerprint, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        config = self.config
        optimizer = torch.optim.AdamW(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = config.warmup_epochs * steps / config.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate: linear over the first `warmup` steps, then half a cosine down to zero."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, steps - warmup))))
