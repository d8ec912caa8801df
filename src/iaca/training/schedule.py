"""The learning rate of every step: a function of the step and of the scores so far, with no state that could be lost.

A run that goes on from a checkpoint has its scores in the history, and with them its learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from iaca.training.config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int, steps: int, scores: Sequence[float]) -> float:
    """The learning rate of one optimiser step.

    Args:
        config: which schedule.
        step: 0-based, of the whole run.
        steps: of a run of all its epochs.
        scores: validation scores of the epochs that have ended.
    """
    warmup = config.warmup_epochs * steps / config.epochs
    if config.schedule == "cosine":
        return config.learning_rate * warmup_cosine(step, steps, warmup)
    drops = reductions(scores, config.plateau_patience, math.ceil(config.warmup_epochs))
    return config.learning_rate * min(1.0, (step + 1) / (warmup + 1)) * config.plateau_factor**drops


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate: linear over the first `warmup` steps, then half a cosine down to zero."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, steps - warmup))))


def reductions(scores: Sequence[float], patience: int, warmup: int) -> int:
    """How often `patience` epochs in a row, none of the first `warmup` ones, brought no score above all before them."""
    best, waited, drops = -math.inf, 0, 0
    for epoch, score in enumerate(scores):
        if score > best:
            best, waited = score, 0
        elif epoch >= warmup:
            waited += 1
        if waited == patience:
            waited, drops = 0, drops + 1
    return drops
