"""Each epoch of a training run on the terminal, and in a local store for TensorBoard or MLflow: `training.logger`.

    FOLDER/tensorboard/<run>/            tensorboard --logdir FOLDER/tensorboard
    FOLDER/mlflow/mlflow.db, artifacts/  mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow/mlflow.db

Neither package is imported before a run starts that uses it. Nothing is sent anywhere: both stores are files, and
MLflow's usage data are switched off before its import. The result of a run does not depend on any of this.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import lightning
from filelock import FileLock
from tqdm import tqdm

from iaca.engine.run import watched
from iaca.files import make_folder
from iaca.training.config import TARGETS, TrainingConfig, require_installed

Logger = Literal["tensorboard", "mlflow"]
EXPERIMENT = "iaca"
FINGERPRINT = "iaca.fingerprint"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
"""Environment variables with which MLflow sends no usage data, and does not look for git."""


@dataclass(frozen=True)
class Tracking:
    """Where runs are tracked.

    Attributes:
        logger: for which program.
        folder: of the stores.
        base: a run is named by the place of its checkpoints below this folder.
    """

    logger: Logger
    folder: Path
    base: Path

    def store(self, checkpoints: Path, fingerprint: str) -> Store:
        """The store of one run, opened or continued.

        Raises:
            InputError: the package is not installed.
            StorageError: the disk is full or read-only.
        """
        require_installed(self.logger)
        name = "-".join(checkpoints.relative_to(self.base).parts)
        make_folder(self.folder / self.logger)
        kind = TensorBoardStore if self.logger == "tensorboard" else MlflowStore
        return kind(self.folder / self.logger, name, fingerprint)


class Store(Protocol):
    """Receives the settings and the epochs of one run."""

    def settings(self, values: Mapping[str, object]) -> None:
        """Settings by name, before the first epoch."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """The numbers of an epoch that has ended."""

    def close(self) -> None:
        """The run has ended. One that was interrupted can continue."""


@dataclass
class TensorBoardStore:
    """A folder of events per run. An interrupted run continues in its own; other settings or data get another."""

    folder: Path
    name: str
    fingerprint: str

    def __post_init__(self) -> None:
        place = self.folder / f"{self.name}-{self.fingerprint[:8]}"
        self._writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(place))

    def settings(self, values: Mapping[str, object]) -> None:
        """As a table of the tab `Text`."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in values.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", 0)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """As one scalar each; they are on disk when this returns."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, number)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


@dataclass
class MlflowStore:
    """A run in a SQLite store. An interrupted run continues: that of its name and fingerprint that has not ended."""

    folder: Path
    name: str
    fingerprint: str

    def __post_init__(self) -> None:
        os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
        mlflow = importlib.import_module("mlflow")
        with FileLock(self.folder / ".lock"):  # several models train at once: one of them makes the tables
            self._client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{self.folder.absolute() / 'mlflow.db'}")
            self._run = self._continued() or self._client.create_run(
                self._experiment(), run_name=self.name, tags={FINGERPRINT: self.fingerprint}
            )

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        place = (self.folder / "artifacts").absolute().as_uri()
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=place))

    def _continued(self) -> Any:
        wanted = f"tags.`{FINGERPRINT}` = '{self.fingerprint}' and attributes.status = 'RUNNING'"
        found = self._client.search_runs([self._experiment()], f"{wanted} and attributes.run_name = '{self.name}'")
        return found[0] if found else None

    def settings(self, values: Mapping[str, object]) -> None:
        """As parameters of the run; those of a run that continues are there already, and are the same."""
        known = self._client.get_run(self._run.info.run_id).data.params
        for name, value in values.items():
            if name not in known:
                self._client.log_param(self._run.info.run_id, name, value)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """As metrics with the epoch as their step."""
        for name, value in values.items():
            self._client.log_metric(self._run.info.run_id, name, value, step=number)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run.info.run_id)


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


# On the terminal


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
