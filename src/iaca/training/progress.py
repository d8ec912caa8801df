"""What Lightning calls while a model is trained: each epoch into a store (`tracking`), on a bar, or as a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import lightning
from tqdm import tqdm

from iaca.engine.run import watched
from iaca.training.config import TARGETS, TrainingConfig
from iaca.training.tracking import Store


class EpochTracker(lightning.Callback):
    """Writes the history of a run into its store, epoch by epoch; of several processes, the first one does.

    Args:
        open_store: opens the store, in the process that trains.
        settings: of the run, by name.
    """

    def __init__(self, open_store: Callable[[], Store], settings: Mapping[str, object]):
        self._open, self._settings = open_store, settings
        self._store: Store | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            self._store = self._open()
            self._store.settings(self._settings)

    def record(self, row: Mapping[str, float]) -> None:
        """Write the row of an epoch. The module calls this: when Lightning tells callbacks, its row is incomplete."""
        if self._store is not None:
            self._store.epoch(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._store is not None:
            self._store.close()


class EpochBar(lightning.Callback):
    """A bar of epochs with the validation score; a resumed run starts at the epoch where it was interrupted."""

    def __init__(self, config: TrainingConfig):
        self.epochs = config.epochs
        self.title = "training" if config.targets == TARGETS else f"training {config.targets[0]}"
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.bar = tqdm(total=self.epochs, initial=trainer.current_epoch, desc=self.title, unit="epoch")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.bar is not None and (scores := _scores(pl_module)):
            self.bar.set_postfix(score=f"{scores[-1]:.3f}", refresh=False)
            self.bar.update()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if self.bar is not None:
            self.bar.close()


LINE_S = 10.0
"""Least time (s) between two lines of `EpochLines`."""


class EpochLines(lightning.Callback):
    """Lines about a long training where nobody watches a bar, as in a redirected log: one at most every `LINE_S`.

    They go to stderr, since worker processes have no log of their own.
    """

    def __init__(self, name: str):
        self.name, self.last = name, time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if watched() or time.monotonic() - self.last < LINE_S or not trainer.is_global_zero:
            return
        self.last = time.monotonic()
        if scores := _scores(pl_module):
            best = max(scores)
            sys.stderr.write(
                f"{time.strftime('%H:%M:%S')} training {self.name}: epoch {len(scores)} of at most "
                f"{trainer.max_epochs}, validation score {scores[-1]:.3f}, best {best:.3f} (epoch "
                f"{scores.index(best) + 1})\n"
            )
            sys.stderr.flush()


def _scores(module: lightning.LightningModule) -> list[float]:
    """The score of each epoch so far, from the history of a `FusionTraining`."""
    history: list[dict[str, float]] = getattr(module, "history", [])
    return [row["score"] for row in history]
