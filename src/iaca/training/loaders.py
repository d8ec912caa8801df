"""The loaders of a run: shuffled windows to learn from, and two fixed sets of windows to be scored on."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader

from iaca.training.config import TrainingConfig
from iaca.training.sample import WindowSpec, collate
from iaca.training.seeds import Stream
from iaca.training.windows import Clips, EpochSampler, WindowDataset, windows_of

Loader = DataLoader[Any]


def training_loader(clips: Clips, config: TrainingConfig, spec: WindowSpec) -> Loader:
    """Overlapping windows in an order of the epoch's own, some of them corrupted."""
    windows = windows_of(clips, spec.length, config.hop)
    dataset = WindowDataset(clips, windows, spec, config.corruption, seed=config.seed)
    return _loader(dataset, config, EpochSampler(len(windows), config.seed))


def validation_loaders(clips: Clips, config: TrainingConfig, spec: WindowSpec) -> list[Loader]:
    """Clean and corrupted windows; every step counts once, and the corruption is that of no epoch: always the same."""
    windows = windows_of(clips, spec.length, spec.length, once=True)
    always = config.corruption.model_copy(update={"share": 1.0})
    datasets = [
        WindowDataset(clips, windows, spec, corruption, seed=config.seed, stream=Stream.VALIDATION)
        for corruption in (None, always)
    ]
    return [_loader(dataset, config, EpochSampler(len(windows), config.seed, shuffle=False)) for dataset in datasets]


def _loader(dataset: WindowDataset, config: TrainingConfig, sampler: EpochSampler) -> Loader:
    # its own generator: the loader's draws must not move the dropout's
    return DataLoader(dataset, config.batch_size, sampler=sampler, collate_fn=collate, generator=torch.Generator())
