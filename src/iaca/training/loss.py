"""What training minimises, what expressions and action units are scored by, and the learning rate.

The loss is the concordance correlation coefficient (CCC), cross-entropy of expressions and action units, and
supervision of gates. Expressions and action units are scored by F1, and `unit_thresholds` are chosen here.

Letters: b batch, t steps, k dimensions, m modalities, n steps of a sequence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from iaca.errors import InputError
from iaca.formats.labels import EXPRESSIONS
from iaca.parameters import MODALITIES
from iaca.training.config import LossConfig, TrainingConfig

EPSILON = 1e-8  # makes 0/0 of two constants 0, with a finite gradient
FEWEST = 2  # valid steps of a window that has a CCC
UNSEEN = -1e9  # log variance of what was not observed: no share of a softmax, and finite
RARE = 0.05  # share of the observed steps below which a class weighs less than one half


def training_loss(prediction: Tensor, gold: Tensor, valid: Tensor, config: LossConfig) -> Tensor:
    """What a run minimises: 1 - CCC in the configured form, plus the weighted squared error.

    Args:
        prediction, gold: (b, t, k), a column per dimension that is learned.
        valid: (b, t) bool. The gradient of other steps is exactly zero, whatever their values.
        config: form and weight.

    Returns:
        Scalar, the mean over the dimensions; `ccc_loss` by default. Finite, with a finite gradient, for any `valid`.

    Raises:
        InputError: shapes that do not match.
    """
    pooled = config.form == "pooled"
    loss = 1.0 - (concordance if pooled else window_concordance)(prediction, gold, valid)  # (k,)
    if config.mse > 0:
        loss = loss + config.mse * squared_error(prediction, gold, valid)
    return loss.mean()


def ccc_loss(prediction: Tensor, gold: Tensor, valid: Tensor) -> Tensor:
    """1 - CCC, the mean over valence and arousal, each pooled over all valid steps of the batch.

    Args:
        prediction, gold: (b, t, 2) valence, arousal.
        valid: (b, t) bool. The gradient of other steps is exactly zero, whatever their values.

    Returns:
        Scalar in [0, 2]. Finite, with a finite gradient, on constant targets too.

    Raises:
        InputError: shapes that do not match.
    """
    return (1.0 - concordance(prediction, gold, valid)).mean()


def concordance(prediction: Tensor, gold: Tensor, valid: Tensor) -> Tensor:
    """CCC = 2 cov / (var_x + var_y + (mean_x - mean_y)^2), with biased (N) moments [Lin, 1989].

    Args:
        prediction, gold: (..., k), a column per dimension; any value, even NaN, where not valid.
        valid: (...) bool, the steps that count; they are taken as one sequence.

    Returns:
        (k,) in [-1, 1], float32 or better under any autocast; 0 for constants and where nothing is valid.

    Raises:
        InputError: shapes that do not match.
    """
    _check(prediction, gold, valid)
    return _ccc(*_flat(prediction, gold, valid.flatten()))


def window_concordance(prediction: Tensor, gold: Tensor, valid: Tensor) -> Tensor:
    """CCC of each window, averaged over windows with at least two valid steps [sibling: GRJCA].

    A window of constant gold has CCC 0 and no gradient: one reason why the pooled form is the default.

    Args:
        prediction, gold: (b, t, k).
        valid: (b, t) bool.

    Returns:
        (k,) in [-1, 1], float32 or better; 0 if no window qualifies.
    """
    _check(prediction, gold, valid)
    scored = (valid.sum(dim=1) >= FEWEST)[:, None]  # (b, 1)
    each = _ccc(*_masked(prediction, gold, valid))  # (b, k)
    return torch.where(scored, each, 0.0).sum(0) / scored.sum().clamp(min=1)


def squared_error(prediction: Tensor, gold: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error over the valid steps of all windows, (..., k) -> (k,); 0 if nothing is valid."""
    _check(prediction, gold, valid)
    x, y, weight = _flat(prediction, gold, valid.flatten())
    return (x - y).square().sum(0) / weight.sum().clamp(min=1.0)


def _ccc(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """CCC of sequences: (..., n, k) twice, zero where not valid, and weights (..., n, 1) -> (..., k)."""
    total = weight.sum(-2, keepdim=True).clamp(min=1.0)  # (..., 1, 1)
    mean_x, mean_y = x.sum(-2, keepdim=True) / total, y.sum(-2, keepdim=True) / total  # (..., 1, k)
    dx, dy = (x - mean_x) * weight, (y - mean_y) * weight  # (..., n, k), centred first: float32 keeps its digits
    covariance = (dx * dy).sum(-2, keepdim=True) / total
    spread = (dx.square() + dy.square()).sum(-2, keepdim=True) / total
    return (2 * covariance / (spread + (mean_x - mean_y).square() + EPSILON)).squeeze(-2)


def _flat(prediction: Tensor, gold: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All steps as one sequence: prediction and gold (n, k), weights (n, 1)."""
    return _masked(prediction.flatten(0, -2), gold.flatten(0, -2), valid)


def _masked(prediction: Tensor, gold: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both in float32 or better, zero and without gradient where not valid; and the weights 1 or 0, (..., 1)."""
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    mask = valid.bool()[..., None]
    x, y = torch.where(mask, prediction.to(dtype), 0.0), torch.where(mask, gold.to(dtype), 0.0)
    return x, y, mask.to(dtype)


def _check(prediction: Tensor, gold: Tensor, valid: Tensor) -> None:
    if prediction.shape != gold.shape or prediction.shape[:-1] != valid.shape:
        shapes = f"prediction {tuple(prediction.shape)}, gold {tuple(gold.shape)}, valid {tuple(valid.shape)}"
        raise InputError(
            f"the shapes do not match: {shapes}",
            remedy="give prediction and gold as (b, t, k) and valid as (b, t)",
        )


def task_losses(
    logits: Mapping[str, Tensor], labels: Tensor, weights: Mapping[str, Tensor] = MappingProxyType({})
) -> dict[str, Tensor]:
    """Cross-entropy of expressions and of action units, each over the cells that are annotated with it.

    Args:
        logits: of a `FusionOutput`, `expression` (b, t, 8) and `action_units` (b, t, 12), or one of them.
        labels: (b, t, 13) class and units, of a `Sample`; NaN where a cell does not count. The gradient there is zero.
        weights: `expression` (8,) of the classes, whose weighted mean is taken; `action_units` (12,) of active frames.

    Returns:
        Task -> scalar, float32 or better. Units weigh the same, however many frames have them: that is how they are
        scored. Without an annotated cell exactly zero, with a gradient of zeros.
    """
    losses = {}
    if "expression" in logits:
        scores, gold = _exact(logits["expression"]), labels[..., 0]
        known = gold.isfinite()
        chosen = torch.where(known, gold, 0.0).long()
        weight = weights["expression"][chosen] if "expression" in weights else torch.ones_like(gold)
        weight = torch.where(known, weight, 0.0).to(scores.dtype)
        each = -scores.log_softmax(dim=-1).gather(-1, chosen[..., None])[..., 0]
        losses["expression"] = (each * weight).sum() / weight.sum().clamp(min=EPSILON)
    if "action_units" in logits:
        scores, gold = _exact(logits["action_units"]).flatten(0, -2), labels[..., 1:].flatten(0, -2)
        known = gold.isfinite()
        each = F.binary_cross_entropy_with_logits(
            scores, torch.where(known, gold, 0.0).to(scores.dtype), known.to(scores.dtype),
            reduction="none", pos_weight=weights.get("action_units"),
        )  # fmt: skip
        means = each.sum(0) / known.sum(0).clamp(min=1)  # (12,)
        losses["action_units"] = means.sum() / known.any(0).sum().clamp(min=1)
    return losses


MOST_WEIGHT = 10.0


def balanced_weights(labels: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
    """Weights of `task_losses` by the inverse of how often a class, and an active unit, is annotated.

    A class that is never annotated, or a unit that is never active, weighs 1. No weight is above `MOST_WEIGHT`, nor
    below its inverse.

    Args:
        labels: (t, 13) of each clip of the train partition.
    """
    rows = np.concatenate(labels)
    classes = np.bincount(rows[np.isfinite(rows[:, 0]), 0].astype(np.int64), minlength=len(EXPRESSIONS)).astype(float)
    active, known = (rows[:, 1:] == 1).sum(axis=0), np.isfinite(rows[:, 1:]).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_classes = np.where(classes > 0, classes.sum() / (len(EXPRESSIONS) * classes), 1.0)
        of_units = np.where(active > 0, (known - active) / active, 1.0)
    both = {"expression": of_classes, "action_units": of_units}
    return {task: torch.tensor(w.clip(1 / MOST_WEIGHT, MOST_WEIGHT), dtype=torch.float32) for task, w in both.items()}


def _exact(logits: Tensor) -> Tensor:
    """In float32 or better under any autocast."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def gate_supervision(gates: Mapping[str, Tensor], corrupted: Tensor, present: Tensor, padding: Tensor) -> Tensor:
    """How far the reliability that `iaca_plus` reports is from the corruption that training injected [ours].

    Cross-entropy of (trusted, doubted), in which clean and corrupted observed steps weigh one half each; the mean over
    the modalities that have a gate `reliability_<modality>`.

    Only these gates, which explain, are supervised. How the model uses a corrupted stream is left to the main loss: a
    gate that was supervised to avoid it discarded what still helped (docs/engineering/experiments.md).

    Args:
        gates: of a `FusionOutput`, (b, t, 2) each.
        corrupted: (b, t, 2) bool (audio, visual), of a `Sample`.
        present: (b, t, 2) bool (audio, visual), True where that modality was observed.
        padding: (b, t) bool, True where the step exists.

    Returns:
        Scalar >= 0, float32 or better. If no step qualifies, exactly zero with a gradient of zeros.
    """
    observed = present & padding[..., None]  # (b, t, 2)
    corrupted = corrupted & observed
    supervised = [(gates[f"reliability_{m}"], i) for i, m in enumerate(MODALITIES) if f"reliability_{m}" in gates]
    terms = [_balanced_cross_entropy(gate, corrupted[..., i], observed[..., i]) for gate, i in supervised]
    return torch.stack(terms).mean() if terms else torch.zeros((), device=corrupted.device)


def _balanced_cross_entropy(weights: Tensor, corrupted: Tensor, observed: Tensor) -> Tensor:
    """Cross-entropy of (trusted, doubted) (b, t, 2) against corruption (b, t); both classes weigh the same.

    A class with less than `RARE` of the observed steps weighs less in proportion, so that a few steps never dominate.
    """
    loss = _negative_log(weights)  # (b, t, 2)
    fewest = RARE * observed.sum()
    halves = [
        torch.where(steps, loss[..., i], 0.0).sum() / torch.maximum(steps.sum(), fewest).clamp(min=1.0)
        for i, steps in enumerate((observed & ~corrupted, corrupted))
    ]
    return torch.stack(halves).mean()


def latent_loss(
    alone: Mapping[str, Tensor], gold: Tensor, valid: Tensor, present: Tensor, config: LossConfig
) -> Tensor:
    """What `cold` minimises besides the loss of its prediction [after COLD Fusion, arXiv 2206.05833; form ours].

    Each modality predicts from its own latent: `training_loss`, the mean over modalities. And the variances match the
    errors: KL(P || Q) over all observed steps and modalities of a window, P the squared error and Q the variance, each
    divided by its sum. So the variance is calibrated over time and ranks the modalities, up to one factor per window.

    Args:
        alone: of a `FusionOutput`, modality -> (b, t, k + 1): k predictions and the log variance.
        gold: (b, t, k).
        valid: (b, t) bool, annotated steps.
        present: (b, t, 2) bool (audio, visual), True where that modality was observed.
        config: form and weight of the loss of the predictions.

    Returns:
        Scalar, float32 or better. Without any valid step it is the loss of the predictions, with a gradient of zeros.
    """
    seen = {m: valid & present[..., i] for i, m in enumerate(MODALITIES) if m in alone}
    own = [training_loss(alone[m][..., :-1], gold, steps, config) for m, steps in seen.items()]
    errors = torch.stack([_squared(alone[m][..., :-1].detach(), gold, steps) for m, steps in seen.items()], dim=-1)
    scores = torch.stack([alone[m][..., -1] for m in seen], dim=-1).to(errors.dtype).flatten(1)  # (b, t m)
    scored, wrong = torch.stack(list(seen.values()), dim=-1).flatten(1), errors.flatten(1)
    matched = torch.log_softmax(scores.masked_fill(~scored, UNSEEN), dim=-1)  # log Q
    target = wrong / wrong.sum(dim=-1, keepdim=True).clamp(min=EPSILON)  # P
    divergence = (torch.xlogy(target, target) - target * matched).sum(dim=-1)  # (b,)
    return torch.stack(own).mean() + divergence.sum() / scored.any(dim=-1).sum().clamp(min=1)


def _squared(prediction: Tensor, gold: Tensor, valid: Tensor) -> Tensor:
    """Mean over the dimensions of the squared error (b, t, k) -> (b, t); 0 where not valid."""
    x, y, _ = _masked(prediction, gold, valid)
    return (x - y).square().mean(dim=-1)


def _negative_log(weights: Tensor) -> Tensor:
    """-log of weights in float32 or better, finite for a weight of zero."""
    exact = weights.to(torch.promote_types(weights.dtype, torch.float32))
    return -exact.clamp(min=torch.finfo(torch.float32).tiny).log()


# Scores of expressions and action units

CONDITIONS = ("clean", "corrupted")
"""The validation loaders, in order."""
THRESHOLDS = "tasks.thresholds"
"""The buffer in a model's weights that says from which probability on each action unit counts as active."""
CANDIDATES = tuple(i / 20 for i in range(1, 20))
Tasks = dict[str, list[tuple[dict[str, Tensor], Tensor]]]
"""By condition: logits by task (b, t, k) and labels (b, t, 13), batch by batch."""
Array = NDArray[np.float64]


def task_row(scored: Tasks) -> dict[str, float]:
    """`{clean,corrupted}_expression` (macro-F1) and `..._action_units` (mean F1 at a probability of 0.5)."""
    row = {}
    for condition, batches in scored.items():
        labels = torch.cat([gold.flatten(0, -2) for _, gold in batches]).double().cpu().numpy()
        for task in batches[0][0]:
            logits = torch.cat([own[task].flatten(0, -2) for own, _ in batches]).double().cpu().numpy()
            decided = logits.argmax(axis=1) if task == "expression" else logits > 0
            f1 = expression_f1(decided, labels[:, 0]) if task == "expression" else unit_f1(decided, labels[:, 1:])
            row[f"{condition}_{task}"] = float(f1.mean() if task == "expression" else np.nanmean(f1))
    return row


def score_of_all(row: dict[str, float]) -> float:
    """The mean of validation CCC and of the F1 of each task, each the mean of clean and corrupted."""
    tasks = [t for t in ("expression", "action_units") if f"{CONDITIONS[0]}_{t}" in row]
    each = [sum(row[f"{condition}_{task}"] for condition in CONDITIONS) / len(CONDITIONS) for task in tasks]
    return (row["score"] + sum(each)) / (1 + len(each))


def expression_f1(predicted: NDArray[np.generic], gold: Array) -> Array:
    """F1 of each of the 8 classes (8,), over the frames that are annotated.

    F1 = 2 TP / (2 TP + FP + FN), and 0 for a class that is neither annotated nor predicted, so that the macro-F1 always
    divides by 8: as `sklearn.metrics.f1_score(..., labels=range(8), average=None, zero_division=0)`.

    Args:
        predicted: (n,) classes.
        gold: (n,) classes, NaN where not annotated. NaN for all classes if no frame is.
    """
    known = np.isfinite(gold)
    if not known.any():
        return np.full(len(EXPRESSIONS), np.nan)
    classes = np.arange(len(EXPRESSIONS))
    return _f1(predicted[known, None] == classes, gold[known, None] == classes, np.ones((1, 1), np.bool_))


def unit_f1(predicted: NDArray[np.generic], gold: Array) -> Array:
    """F1 of the active state of each unit (12,), each over the frames in which that unit is annotated.

    0 if it is neither annotated as active nor predicted as active, NaN if it is never annotated.

    Args:
        predicted: (n, 12) whether active.
        gold: (n, 12) 0 or 1, NaN where not annotated.
    """
    known = np.isfinite(gold)
    return np.where(known.any(axis=0), _f1(predicted.astype(np.bool_), gold == 1, known), np.nan)


def _f1(predicted: NDArray[np.bool_], gold: NDArray[np.bool_], known: NDArray[np.bool_]) -> Array:
    """(k,) of columns (n, k)."""
    hits = (predicted & gold & known).sum(axis=0)
    errors = ((predicted != gold) & known).sum(axis=0)
    return np.asarray(2 * hits / np.maximum(2 * hits + errors, 1), np.float64)


def unit_thresholds(probabilities: NDArray[np.floating[Any]], gold: Array) -> NDArray[np.float32]:
    """For each unit the probability, out of `CANDIDATES`, from which on it counts as active: that of the best F1.

    Of several the one nearest to 0.5; 0.5 for a unit that is never annotated as active.

    Args:
        probabilities: (n, 12) on validation frames.
        gold: (n, 12) 0 or 1, NaN where not annotated.
    """
    ordered = sorted(CANDIDATES, key=lambda value: abs(value - 0.5))
    scores = np.nan_to_num(np.stack([unit_f1(probabilities >= value, gold) for value in ordered]))  # (candidates, 12)
    best = np.where((gold == 1).any(axis=0), scores.argmax(axis=0), 0)
    return np.array(ordered, np.float32)[best]


# Learning rate: a function of the step and of the scores so far, so that a resumed run needs no other state


def learning_rate(config: TrainingConfig, step: int, steps: int, scores: Sequence[float]) -> float:
    """The learning rate of one optimiser step.

    Args:
        config: which schedule.
        step: 0-based, counted from the start of the run.
        steps: optimiser steps of a run of all its epochs.
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
    """How often `patience` epochs in a row brought no new best score. The first `warmup` epochs do not count."""
    best, waited, drops = -math.inf, 0, 0
    for epoch, score in enumerate(scores):
        if score > best:
            best, waited = score, 0
        elif epoch >= warmup:
            waited += 1
        if waited == patience:
            waited, drops = 0, drops + 1
    return drops
