"""How a training run is set up around Lightning: its checkpoints, its processes, and torch's global settings.

An interrupted run resumes from `last.ckpt`, provided that it belongs to the same run: same model, settings, data, code.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.fabric.plugins import TorchCheckpointIO, environments
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.utilities import rank_zero_only

from iaca.encoders.embedding import AnnotatedClip
from iaca.encoders.networks import set_tf32
from iaca.errors import InputError, counted
from iaca.files import LEFTOVER, replacing
from iaca.fusion.config import FusionConfig
from iaca.training.config import MACHINE, VERSION, TrainingConfig
from iaca.training.data import on_gpu, placement
from iaca.training.model_file import (
    HISTORY_KEY,
    TrainedModel,
    history_of,
    load_model,
    save_model,
    with_history,
)

LAST, BEST = "last.ckpt", "best.ckpt"
FINISHED_FINGERPRINT = "finished_fingerprint"  # in the metadata of a finished network: the run it belongs to
LAUNCHERS = ("TorchElasticEnvironment", "LSFEnvironment", "MPIEnvironment")
IN_PROCESS = ("spawn", "fork", "notebook")  # strategies that start their processes from the caller's
SILENCED = (
    "lightning",
    "lightning.pytorch",
    "lightning.fabric",
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "pytorch_lightning",
)
LOGGER = logging.getLogger(__name__)


# --- checkpoints ---


def resumable_checkpoint(folder: Path, fingerprint: str) -> Path | None:
    """`last.ckpt` if it is intact and belongs to this run in this folder; otherwise remove the folder's checkpoints."""
    last = folder / LAST
    if last.exists():
        if _belongs(last, folder, fingerprint):
            LOGGER.info("resuming from %s", last)
            return last
        LOGGER.info("%s belongs to another run: starting from the beginning", last)
    remove_checkpoints(folder)
    return None


def _belongs(last: Path, folder: Path, fingerprint: str) -> bool:
    newest = _read_if_intact(last)
    best = _read_if_intact(folder / BEST)  # checked now: a torn one would be found only at the end of training
    if newest is None or best is None or newest.get("fingerprint") != fingerprint:
        return False
    folders = {state.get("dirpath") for state in newest["callbacks"].values()}
    return str(folder.resolve()) in folders  # if the folder was moved, Lightning would forget the best score


def _read_if_intact(path: Path) -> dict[str, Any] | None:
    try:
        return read_checkpoint(path) if is_zipfile(path) else None
    except (RuntimeError, UnpicklingError, LookupError, TypeError, ValueError, AttributeError, EOFError) as error:
        LOGGER.warning("%s cannot be read (%s)", path, type(error).__name__)  # torn bytes raise any of these
        return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values only, no code is executed."""
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def remove_checkpoints(folder: Path) -> None:
    """Remove a run's checkpoints, complete or not, and the folder if it is then empty."""
    for path in (folder / LAST, folder / BEST, *folder.glob(f"{LEFTOVER}*")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """Keep the epoch with the best score as `best.ckpt` and the newest as `last.ckpt`, both written after each epoch.

    Two callbacks in this order: Lightning's `save_last` writes only when there is a new best, and the newest checkpoint
    has to include the state of the best.
    """
    keep = partial(ModelCheckpoint, dirpath=folder, save_on_train_epoch_end=True, enable_version_counter=False)
    return [keep(filename=Path(BEST).stem, monitor="score", mode="max"), keep(filename=Path(LAST).stem)]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes next to the target, then renames.

    Lightning writes to the system's temporary folder and moves the file. Across file systems that is a copy, which a
    kill or a full disk leaves incomplete under the final name, and the temporary file is never removed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint, completely or not at all.

        Raises:
            StorageError: the disk is full or read-only.
        """
        with replacing(path) as partial:
            torch.save(checkpoint, partial)


def run_fingerprint(fusion: FusionConfig, config: TrainingConfig, *data: str) -> str:
    """SHA-256 over all that decides the result of a run, including the version of the code."""
    parts = (VERSION, fusion.model_dump_json(), config.model_dump_json(exclude=MACHINE), *data)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def data_fingerprint(clips: Mapping[str, AnnotatedClip]) -> str:
    """SHA-256 over the names, cues, arrays and annotation of clips, in any order."""
    digest = hashlib.sha256()
    for name in sorted(clips):
        clip, labels = clips[name].embedding, clips[name].labels
        digest.update("\0".join((name, *clip.quality_names)).encode())
        arrays = (clip.audio, clip.visual, clip.audio_present, clip.face_found, clip.time_s, labels, clip.quality)
        tasks = () if (known := clips[name].tasks) is None else (known,)
        for array in map(np.ascontiguousarray, (*arrays, *tasks)):
            digest.update(f"{name}\0{array.dtype}{array.shape}".encode())
            digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that a resumed run respects.

    The checkpoint records that training has stopped, but Lightning checks only after an epoch: a run that was killed
    between its last checkpoint and its end would train for one epoch more than an uninterrupted one.
    """

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            trainer.should_stop = True


# --- finished networks of a run: each is kept until all are, so an interrupted run does not train it twice ---

Finished = tuple[TrainedModel, pd.DataFrame]
"""A trained model and its history."""


def train_once(network: Callable[[], Finished], file: Path, fingerprint: str) -> Finished:
    """What `network()` returns; from `file`, if an interrupted run of this fingerprint has finished it."""
    finished = _read_finished(file, fingerprint)
    if finished is None:
        finished = network()
        _keep_finished(*finished, file, fingerprint)
    return finished


def _read_finished(file: Path, fingerprint: str) -> Finished | None:
    try:
        model = load_model(file)
    except InputError:  # missing or torn
        return None
    if model.metadata.get(FINISHED_FINGERPRINT) != fingerprint:
        return None
    metadata = {n: text for n, text in model.metadata.items() if n not in {HISTORY_KEY, FINISHED_FINGERPRINT}}
    return replace(model, metadata=metadata), history_of(model)


@rank_zero_only
def _keep_finished(model: TrainedModel, history: pd.DataFrame, file: Path, fingerprint: str) -> None:
    metadata = {**model.metadata, FINISHED_FINGERPRINT: fingerprint}
    save_model(with_history(replace(model, metadata=metadata), history), file)


@rank_zero_only
def remove_finished(checkpoints: Path, names: Iterable[str]) -> None:
    """Remove the files of these networks, and the folder if it is then empty."""
    for name in names:
        finished_file(checkpoints, name).unlink(missing_ok=True)
    if checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()


def finished_file(checkpoints: Path, name: str) -> Path:
    """Where the finished network of this name is kept."""
    return checkpoints / f"{name}.safetensors"


# --- devices and processes ---


def strategy_of(config: TrainingConfig) -> str:
    """The Lightning strategy of a run, one that starts its processes from within `train`.

    Lightning's own choice for several devices, `ddp`, starts them by running `sys.argv` once more for each: a Kedro
    node, and everything before it, would run several times. So `auto` and `ddp` become `ddp_spawn`, unless a launcher
    (torchrun, srun, jsrun, mpirun) has already started a process per device.

    Raises:
        InputError: more devices than this process sees; several, and a strategy that only such a launcher can start;
            or srun has started another number of processes than the run has devices.
    """
    strategy, devices = config.strategy, _devices(config)
    if on_gpu(config) and devices > (seen := torch.cuda.device_count()):
        raise InputError(
            f"devices={devices}, but this process sees {counted(seen, 'GPU')}",
            remedy="set executor.workers=1, so that one worker sees all of them, or fewer training.devices",
        )
    alone = devices == 1 and config.num_nodes == 1
    if alone or any(part in strategy for part in IN_PROCESS) or launched(config):
        return strategy
    if strategy == "auto":
        return "ddp_fork" if hasattr(sys, "ps1") else "ddp_spawn"  # an interactive session cannot be spawned
    if strategy.startswith("ddp"):
        return strategy.replace("ddp", "ddp_spawn", 1)
    raise InputError(
        f"strategy={strategy!r} would run the program once for each of its {devices * config.num_nodes} devices",
        remedy="start the program with torchrun or srun, or set strategy=ddp_spawn",
    )


def _devices(config: TrainingConfig) -> int:
    if config.devices != "auto":
        return config.devices
    alone = ":" in config.device or placement(config)["accelerator"] in ("cpu", "mps")
    return 1 if alone else max(1, torch.cuda.device_count())


def launched(config: TrainingConfig) -> bool:
    """Whether a launcher has started a process for each device of this run.

    Of SLURM, only a step of several tasks counts. An allocation says `--ntasks` too (SLURM_NTASKS), but its batch
    script is one process; and a run on one device is not distributed wherever it is, such as on one of several Dask
    workers that a step has started.

    Raises:
        InputError: srun has started several processes, but not one per device.
    """
    if any(getattr(environments, name).detect() for name in LAUNCHERS):
        return True
    tasks, devices = slurm_tasks(), _devices(config) * config.num_nodes
    if tasks == 1 or devices == 1:
        return False
    if tasks != devices:
        raise InputError(
            f"srun has started {tasks} processes, but the run has devices={_devices(config)} on "
            f"num_nodes={config.num_nodes}",
            remedy="give srun --ntasks-per-node=DEVICES and --nodes=NUM_NODES, or set training.devices and "
            "training.num_nodes",
        )
    return True


def slurm_tasks() -> int:
    """Processes of the SLURM step that this one belongs to; 1 outside of steps, as in a batch script."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) if "SLURM_STEP_ID" in os.environ else 1


def cluster_environment(config: TrainingConfig) -> list[ClusterEnvironment]:
    """The plugin that keeps Lightning from taking an allocation of SLURM for a launcher; none where there is one."""
    return [] if launched(config) else [LightningEnvironment()]


# --- global settings ---


@contextmanager
def restored_torch_settings(threads: int | None, tf32: bool = False) -> Iterator[None]:
    """Set torch's threads and precision for a run; restore them, random state and other global settings afterwards."""
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    set_tf32(tf32)
    sharing = torch.multiprocessing.get_sharing_strategy()  # type: ignore[no-untyped-call]
    # file descriptors, the default, fail on Python 3.11 when tensors are sent to the processes of `ddp_spawn`
    torch.multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.multiprocessing.set_sharing_strategy(sharing)  # type: ignore[no-untyped-call]
        torch.use_deterministic_algorithms(deterministic)


@contextmanager
def silenced_lightning() -> Iterator[None]:
    """Keep Lightning's tips, device lists and warnings about loaders out of the log; its errors remain."""
    loggers = [logging.getLogger(name) for name in SILENCED]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
