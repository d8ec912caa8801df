"""The loaders of a run: shuffled windows to learn from, and two fixed sets of windows to be scored on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader

from iaca.encoders.embedding import ClipEmbedding
from iaca.training.config import TrainingConfig
from iaca.training.normalisation import Normalisation
from iaca.training.seeds import Stream
from iaca.training.windows import EpochSampler, WindowDataset, collate, windows_of

Clips = Mapping[str, ClipEmbedding]
Loader = DataLoader[Any]


def training_loader(
    clips: Clips, config: TrainingConfig, normalisation: Normalisation, cues: tuple[str, ...] = ()
) -> Loader:
    """Overlapping windows in an order of the epoch's own, some of them corrupted."""
    windows = windows_of(clips, config.length, config.hop)
    dataset = WindowDataset(
        clips, windows, config.length, normalisation, config.corruption, config.seed, cues=cues, targets=config.targets
    )
    return _loader(dataset, config, EpochSampler(len(windows), config.seed))


def validation_loaders(
    clips: Clips, config: TrainingConfig, normalisation: Normalisation, cues: tuple[str, ...] = ()
) -> list[Loader]:
    """Clean and corrupted windows; every step counts once, and the corruption is that of no epoch: always the same."""
    windows = windows_of(clips, config.length, config.length, once=True)
    always = config.corruption.model_copy(update={"share": 1.0})
    datasets = [
        WindowDataset(
            clips, windows, config.length, normalisation, corruption, config.seed, Stream.VALIDATION, cues,
            config.targets,
        )
        for corruption in (None, always)
    ]  # fmt: skip
    return [_loader(dataset, config, EpochSampler(len(windows), config.seed, shuffle=False)) for dataset in datasets]


def _loader(dataset: WindowDataset, config: TrainingConfig, sampler: EpochSampler) -> Loader:
    # its own generator: the loader's draws must not move the dropout's
    return DataLoader(dataset, config.batch_size, sampler=sampler, collate_fn=collate, generator=torch.Generator())
