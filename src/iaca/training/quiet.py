"""What surrounds a training run: torch's settings put back afterwards, and nothing of Lightning's chatter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

CHATTY = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero",
          "lightning.fabric.utilities.seed", "pytorch_lightning")  # fmt: skip


@contextmanager
def own_settings(threads: int | None) -> Iterator[None]:
    """Threads, random state and other settings of torch are the run's own, and the caller's again afterwards."""
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
def quiet() -> Iterator[None]:
    """Tips, device lists and hints about loaders stay out of the log; warnings and errors of ours do not."""
    loggers = [logging.getLogger(name) for name in CHATTY]
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
