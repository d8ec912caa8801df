"""A local store for TensorBoard or MLflow that receives the epochs of training runs: `training.logger`.

    FOLDER/tensorboard/<run>/            tensorboard --logdir FOLDER/tensorboard
    FOLDER/mlflow/mlflow.db, artifacts/  mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow/mlflow.db

Neither package is imported before a run starts that uses it. Nothing is sent anywhere: both stores are files, and
MLflow's usage data are switched off before its import. The result of a run does not depend on any of this.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from filelock import FileLock

from iaca.files import make_folder
from iaca.training.config import require_installed

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
