"""Around a training run: torch's settings are restored afterwards, and Lightning logs only errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SILENCED = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero",
          "lightning.fabric.utilities.seed", "pytorch_lightning")  # fmt: skip


@contextmanager
def restored_torch_settings(threads: int | None) -> Iterator[None]:
    """Set torch's threads for a run; restore threads, random state and other global settings afterwards."""
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    sharing = torch.multiprocessing.get_sharing_strategy()  # type: ignore[no-untyped-call]
    # shared by file descriptors, tensors on their way to the processes of `ddp_spawn` fail on Python 3.11
    torch.multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
        torch.multiprocessing.set_sharing_strategy(sharing)  # type: ignore[no-untyped-call]
        torch.use_deterministic_algorithms(deterministic)


@contextmanager
def silenced_lightning() -> Iterator[None]:
    """Keep Lightning's tips, device lists and warnings about loaders out of the log; its errors stay."""
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
