"""When a run stops because it gets no better, also one that was interrupted just then."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason


class Patience(EarlyStopping):
    """Early stopping that a resumed run knows of.

    A checkpoint holds that the last epoch was one too many, but Lightning asks only after an epoch: a run that was
    killed between its last checkpoint and its end would learn for an epoch more than one that was not.
    """

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            trainer.should_stop = True
