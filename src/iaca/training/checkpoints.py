"""The checkpoints of a run: which run they belong to, whether it can resume from them, and their removal."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from iaca.encoders.embedding import AnnotatedClip
from iaca.files import LEFTOVER, replacing
from iaca.fusion.config import FusionConfig
from iaca.training.config import VERSION, TrainingConfig

LOGGER = logging.getLogger(__name__)
LAST, BEST = "last.ckpt", "best.ckpt"
MACHINE = {"accelerator", "devices", "strategy", "num_nodes", "threads"}  # where a run happens, not what it is


def data_fingerprint(clips: Mapping[str, AnnotatedClip]) -> str:
    """SHA-256 over the names, cues, arrays and annotation of clips, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(clips):
        clip, labels = clips[name].embedding, clips[name].labels
        digest.update("\0".join((name, *clip.quality_names)).encode())
        arrays = (clip.audio, clip.visual, clip.audio_present, clip.face_found, clip.time_s, labels, clip.quality)
        for array in map(np.ascontiguousarray, arrays):
            digest.update(f"{name}\0{array.dtype}{array.shape}".encode())
            digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def run_fingerprint(fusion: FusionConfig, config: TrainingConfig, *data: str) -> str:
    """SHA-256 over everything that decides how a run turns out, the version of the code among it."""
    parts = (VERSION, fusion.model_dump_json(), config.model_dump_json(exclude=MACHINE), *data)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


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


def checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """Keep the epoch with the best score as `best.ckpt` and the newest as `last.ckpt`, both written after each epoch.

    Two callbacks in this order: Lightning's `save_last` writes only when there is a new best, and the newest checkpoint
    has to include the state of the best.
    """
    keep = partial(ModelCheckpoint, dirpath=folder, save_on_train_epoch_end=True, enable_version_counter=False)
    return [keep(filename=Path(BEST).stem, monitor="score", mode="max"), keep(filename=Path(LAST).stem)]


def resumable(folder: Path, fingerprint: str) -> Path | None:
    """`last.ckpt` if it is intact and of this run in this folder; otherwise our files in the folder are removed."""
    last = folder / LAST
    if last.exists():
        if _belongs(last, folder, fingerprint):
            LOGGER.info("going on from %s", last)
            return last
        LOGGER.info("%s belongs to another run: starting afresh", last)
    clear(folder)
    return None


def read(path: Path) -> dict[str, Any]:
    """A checkpoint, tensors and plain values only: nothing in it is executed."""
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def clear(folder: Path) -> None:
    """Remove our checkpoints, complete or not, and the folder if it is then empty."""
    for path in (folder / LAST, folder / BEST, *folder.glob(f"{LEFTOVER}*")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _belongs(last: Path, folder: Path, fingerprint: str) -> bool:
    newest = _read_if_intact(last)
    best = _read_if_intact(folder / BEST)  # checked now: a torn one would be found only at the end of training
    if newest is None or best is None or newest.get("fingerprint") != fingerprint:
        return False
    folders = {state.get("dirpath") for state in newest["callbacks"].values()}
    return str(folder.resolve()) in folders  # in a folder that was moved, Lightning would forget the best score


def _read_if_intact(path: Path) -> dict[str, Any] | None:
    try:
        return read(path) if is_zipfile(path) else None
    except (RuntimeError, UnpicklingError, LookupError, TypeError, ValueError, AttributeError, EOFError) as error:
        LOGGER.warning("%s cannot be read (%s)", path, type(error).__name__)  # torn bytes break a reader anywhere
        return None
