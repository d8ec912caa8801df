"""Early stopping, also of a run that was interrupted just when it was to stop."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that a resumed run respects.

    The checkpoint says that training has stopped, but Lightning checks only after an epoch: a run that was killed
    between its last checkpoint and its end would train for one epoch more than an undisturbed one.
    """

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            trainer.should_stop = True
