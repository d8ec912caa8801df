"""Train a fusion model on the embeddings of clips: stops when it gets no better, goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError
from iaca.fusion.config import FusionConfig
from iaca.training import checkpoints as store
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel
from iaca.training.module import FusionTraining
from iaca.training.normalisation import Normalisation
from iaca.training.progress import EpochBar
from iaca.training.quiet import own_settings, quiet
from iaca.training.seeds import Stream
from iaca.training.windows import EpochSampler, WindowDataset, collate, windows_of

Clips = Mapping[str, ClipEmbedding]
Loader = DataLoader[Any]


def train(
    fusion: FusionConfig,
    config: TrainingConfig,
    train_clips: Clips,
    validation_clips: Clips,
    checkpoints: Path,
    progress: bool = False,
) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one model.

    The state kept is that of the epoch with the best score: the mean of clean and corrupted validation CCC, pooled over
    the partition. On a CPU the result is the same bit for bit for a seed, interrupted or not.

    Args:
        fusion: the model.
        config: the run.
        train_clips, validation_clips: embeddings by clip name.
        checkpoints: a folder of this run's own. A run that was stopped goes on from there, if it is the same run on the
            same data; a finished one leaves nothing in it.
        progress: show one bar of epochs.

    Returns:
        The model, and its history: one row per epoch with epoch, loss, learning_rate, score and
        {clean,corrupted}_{valence,arousal} (validation CCC).

    Raises:
        InputError: no clips, none annotated, or embeddings that do not fit the model.
    """
    _check(fusion, config, {"train": train_clips, "validation": validation_clips})
    data = store.data_fingerprint(train_clips)
    fingerprint = store.run_fingerprint(fusion, config, data, store.data_fingerprint(validation_clips))
    normalisation = Normalisation.fit(train_clips)
    with quiet(), own_settings(config.threads):
        module = FusionTraining(fusion, config, fingerprint)
        trainer = _trainer(config, checkpoints, progress)
        trainer.fit(
            module,
            _training_loader(train_clips, config, normalisation),
            _validation_loaders(validation_clips, config, normalisation),
            ckpt_path=store.resumable(checkpoints, fingerprint),
            weights_only=True,
        )
        trainer.strategy.barrier()
        best, history = store.read(checkpoints / store.BEST), store.read(checkpoints / store.LAST)["history"]
        trainer.strategy.barrier()
    if trainer.is_global_zero:
        store.clear(checkpoints)
    weights = {name.removeprefix("model."): tensor for name, tensor in best["state_dict"].items()}
    metadata = _metadata(config, train_clips, data, best["history"][-1])
    return TrainedModel(fusion, weights, normalisation, metadata), _table(history)


def _trainer(config: TrainingConfig, checkpoints: Path, progress: bool) -> lightning.Trainer:
    stop = EarlyStopping(monitor="score", mode="max", patience=config.patience, check_on_train_epoch_end=True)
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy=config.strategy,
        num_nodes=config.num_nodes,
        precision=config.precision,
        max_epochs=config.epochs,
        gradient_clip_val=config.gradient_clip,
        callbacks=[stop, *([EpochBar(config.epochs)] if progress else []), *store.keepers(checkpoints)],
        deterministic=True,
        use_distributed_sampler=False,  # `EpochSampler` shares the windows itself
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _training_loader(clips: Clips, config: TrainingConfig, normalisation: Normalisation) -> Loader:
    windows = windows_of(clips, config.length, config.hop)
    dataset = WindowDataset(clips, windows, config.length, normalisation, config.corruption, config.seed)
    return _loader(dataset, config, EpochSampler(len(windows), config.seed))


def _validation_loaders(clips: Clips, config: TrainingConfig, normalisation: Normalisation) -> list[Loader]:
    """Clean and corrupted windows; every step counts once, and the corruption is that of no epoch: always the same."""
    windows = windows_of(clips, config.length, config.length, once=True)
    always = config.corruption.model_copy(update={"share": 1.0})
    datasets = [
        WindowDataset(clips, windows, config.length, normalisation, corruption, config.seed, Stream.VALIDATION)
        for corruption in (None, always)
    ]
    return [_loader(dataset, config, EpochSampler(len(windows), config.seed, shuffle=False)) for dataset in datasets]


def _loader(dataset: WindowDataset, config: TrainingConfig, sampler: EpochSampler) -> Loader:
    # its own generator: the loader's draws must not move the dropout's
    return DataLoader(dataset, config.batch_size, sampler=sampler, collate_fn=collate, generator=torch.Generator())


def _check(fusion: FusionConfig, config: TrainingConfig, partitions: Mapping[str, Clips]) -> None:
    if fusion.length not in (None, config.length):
        raise InputError(
            f"the model takes length={fusion.length} steps, but training windows have length={config.length}"
        )
    for partition, clips in partitions.items():
        for name, clip in clips.items():
            dims = {"audio": clip.audio.shape[1], "visual": clip.visual.shape[1]}
            if dims != fusion.dims:
                raise InputError(f"clip {name} has embeddings of width {dims}, but the model takes {fusion.dims}")
        if not any(np.isfinite(clip.labels).all(axis=1).any() for clip in clips.values()):
            raise InputError(
                f"no step of the {partition} partition is annotated ({len(clips)} clips)",
                remedy="check the annotation files and the partition of the corpus",
            )


def _metadata(config: TrainingConfig, clips: Clips, data: str, best: Mapping[str, float]) -> dict[str, str]:
    """What the model file says of its origin; of the clips' own metadata, what they all agree on."""
    every = [set(clip.metadata.items()) for clip in clips.values()]
    scores = {
        f"validation_{name}": f"{value:.6f}"
        for name, value in best.items()
        if name not in {"epoch", "loss", "learning_rate"}
    }
    run = {
        "seed": str(config.seed),
        "epoch": f"{best['epoch']:.0f}",
        "data_fingerprint": data,
        "clips": str(len(clips)),
    }
    return {**dict(sorted(set.intersection(*every))), **run, **scores}


def _table(history: list[dict[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(history).astype({"epoch": "int64"})
    first = ["epoch", "loss", "learning_rate", "score"]
    return table[[*first, *(name for name in table.columns if name not in first)]]
