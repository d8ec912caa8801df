"""One progress bar, over epochs."""

from __future__ import annotations

from typing import Any

import lightning
from tqdm import tqdm

from iaca.training.config import TARGETS, TrainingConfig
from iaca.training.module import FusionTraining


class EpochBar(lightning.Callback):
    """A bar of epochs with the validation score; it says how many of them a resumed run starts with."""

    def __init__(self, config: TrainingConfig):
        self.epochs = config.epochs
        self.what = "training" if config.targets == TARGETS else f"training {config.targets[0]}"
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.bar = tqdm(total=self.epochs, initial=trainer.current_epoch, desc=self.what, unit="epoch")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.bar is not None and isinstance(pl_module, FusionTraining):
            self.bar.set_postfix(score=f"{pl_module.history[-1]['score']:.3f}", refresh=False)
            self.bar.update()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if self.bar is not None:
            self.bar.close()
