"""The LightningModule: one fusion model, its loss, its validation score, its history."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor

from iaca.fusion.config import FusionConfig
from iaca.fusion.model import FusionModel, FusionOutput
from iaca.training.config import TARGETS, TrainingConfig
from iaca.training.loss import concordance, training_loss
from iaca.training.sample import model_arguments
from iaca.training.schedule import learning_rate
from iaca.training.seeds import Stream, torch_seed
from iaca.training.supervision import gate_supervision

Batch = dict[str, Tensor]
CONDITIONS = ("clean", "corrupted")  # the validation loaders, in order


class FusionTraining(lightning.LightningModule):
    """Trains a `FusionModel` on windows; scores it by pooled CCC on clean and on corrupted validation windows.

    Everything random is seeded anew at each epoch, and the learning rate follows from the step and the history, so that
    an epoch is the same whether or not the run was interrupted before it.
    """

    def __init__(self, fusion: FusionConfig, config: TrainingConfig, fingerprint: str):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.columns = [TARGETS.index(target) for target in config.targets]
        self.supervised = fusion.learns_reliability and config.supervision > 0
        torch.manual_seed(torch_seed(config.seed, Stream.WEIGHTS))
        self.model = FusionModel(fusion)
        self.history: list[dict[str, float]] = []
        self.losses: dict[str, list[Tensor]] = {}
        self.scored: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def setup(self, stage: str) -> None:
        if self.config.threads is not None:  # the processes of `ddp_spawn` have settings of their own
            torch.set_num_threads(self.config.threads)

    def forward(self, batch: Batch) -> FusionOutput:
        output: FusionOutput = self.model(*model_arguments(batch, reads_cues=bool(self.model.config.cues)))
        return output

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(torch_seed(self.config.seed, Stream.DROPOUT, self.current_epoch))
        self.losses = {}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        rate = learning_rate(self.config, self.global_step, steps, [row["score"] for row in self.history])
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate

    def training_step(self, batch: Batch, index: int) -> Tensor:
        output = self(batch)
        loss = training_loss(*self._targets(output, batch), batch["valid"], self.config.loss)
        said = {"train_loss": loss}
        if self.supervised:
            observed = (batch["present"], batch["padding"])
            said["supervision"] = gate_supervision(output.gates, batch["corrupted"], *observed)
            loss = loss + self.config.supervision * said["supervision"]
        for name, value in said.items():
            self.losses.setdefault(name, []).append(value.detach())
        return loss

    def on_validation_epoch_start(self) -> None:
        self.scored = {condition: [] for condition in CONDITIONS}

    def validation_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        prediction, gold = self._targets(self(batch), batch)
        self.scored[CONDITIONS[dataloader_idx]].append((prediction.double(), gold.double(), batch["valid"]))

    def on_validation_epoch_end(self) -> None:
        cccs = {}
        for condition, parts in self.scored.items():
            prediction, gold, valid = (torch.cat(column) for column in zip(*parts, strict=True))
            cccs[condition] = dict(zip(self.config.targets, concordance(prediction, gold, valid).tolist(), strict=True))
        row = {f"{condition}_{target}": ccc for condition, each in cccs.items() for target, ccc in each.items()}
        means = {target: sum(each[target] for each in cccs.values()) / len(cccs) for target in self.config.targets}
        score = sum(means.values()) / len(means)
        row |= {f"validation_ccc_{target}": mean for target, mean in means.items()}
        self.log("score", score)
        self.history.append({"epoch": float(self.current_epoch), "score": score, **row})

    def on_train_epoch_end(self) -> None:
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        means = {name: torch.stack(values).mean() for name, values in self.losses.items()}
        everywhere = {name: self.trainer.strategy.reduce(mean, reduce_op="mean") for name, mean in means.items()}
        self.history[-1] |= {name: mean.item() for name, mean in everywhere.items()} | {"learning_rate": rate}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"fingerprint": self.fingerprint, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        config = self.config
        return torch.optim.AdamW(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

    def _targets(self, output: FusionOutput, batch: Batch) -> tuple[Tensor, Tensor]:
        """Predictions and gold of the dimensions that are learned, (b, t, k) each."""
        return output.prediction[..., self.columns], batch["labels"][..., self.columns]
