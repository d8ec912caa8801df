"""How is a network scored on the validation partition, and how far is it believed?

The score of an epoch is the mean of clean and corrupted validation CCC, pooled over the partition; the epoch with the
best one is kept. `held_back` then decides how much of the network of `iaca_plus` is used, against late fusion. Of a
model with more tasks, expressions and action units are scored by F1, and `unit_thresholds` are chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t
from torch import Tensor

from iaca.formats.labels import EXPRESSIONS
from iaca.fusion.config import FusionConfig
from iaca.fusion.model import FusionModel
from iaca.training.config import TARGETS, Target
from iaca.training.data import Loader
from iaca.training.loss import concordance
from iaca.training.sample import Window, model_arguments

CONDITIONS = ("clean", "corrupted")
"""The validation loaders, in order."""
SHARE = "readings.share"
"""The buffer in a model's weights that says how much of its network is used, per dimension."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
DOUBT, FEWEST = 0.05, 5

THRESHOLDS = "tasks.thresholds"
"""The buffer in a model's weights that says from which probability on each action unit counts as active."""
CANDIDATES = tuple(i / 20 for i in range(1, 20))

Scored = dict[str, list[tuple[Tensor, Tensor, Tensor]]]
"""By condition: prediction and gold (b, t, k) and valid steps (b, t), batch by batch."""


CPU = torch.device("cpu")


def validation_row(
    model: FusionModel, loaders: Sequence[Loader], targets: Sequence[Target], device: torch.device = CPU
) -> dict[str, float]:
    """The scores of a model on the validation loaders."""
    return score_row(predicted_windows(model, loaders, targets, device), targets)


def predicted_windows(
    model: FusionModel, loaders: Sequence[Loader], targets: Sequence[Target], device: torch.device = CPU
) -> Scored:
    """What a model predicts for the windows of the validation loaders, in their order; computed on a device, to which
    the model moves, and kept on the CPU."""
    columns, scored = [TARGETS.index(target) for target in targets], Scored()
    model.to(device).eval()
    with torch.inference_mode():
        for condition, loader in zip(CONDITIONS, loaders, strict=True):
            for batch in loader:
                there = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
                prediction = model(*model_arguments(there, reads_cues=bool(model.config.cues))).prediction.cpu()
                both = (x[..., columns].double() for x in (prediction, batch["labels"]))
                scored.setdefault(condition, []).append((*both, batch["valid"]))  # type: ignore[arg-type]
    return scored


def score_row(scored: Scored, targets: Sequence[Target]) -> dict[str, float]:
    """The scores of one epoch."""
    cccs = {}
    for condition, batches in scored.items():
        prediction, gold, valid = (torch.cat(column) for column in zip(*batches, strict=True))
        cccs[condition] = dict(zip(targets, concordance(prediction, gold, valid).tolist(), strict=True))
    means = {target: sum(each[target] for each in cccs.values()) / len(cccs) for target in targets}
    row = {"score": sum(means.values()) / len(means)}
    row |= {f"{condition}_{target}": ccc for condition, each in cccs.items() for target, ccc in each.items()}
    return row | {f"validation_ccc_{target}": mean for target, mean in means.items()}


# --- expressions and action units ---

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


# --- how much of the network of `iaca_plus` is used ---


def held_back(
    fusion: FusionConfig,
    weights: dict[str, Tensor],
    loaders: Sequence[Loader],
    targets: Sequence[Target],
    subjects: Mapping[str, str],
    device: torch.device = CPU,
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Hold the network of `iaca_plus` back per dimension, as far as validation says; at 0 the model is `late`.

    A share of `SHARES` is a candidate if it loses to `late` neither on clean nor on corrupted validation windows. Of
    the candidates that is taken whose gain over `late`, the mean of both, has the largest lower bound, one-sided at
    `DOUBT`, by the jackknife over subjects: what a few subjects alone speak for is not believed. With fewer than
    `FEWEST` subjects no distribution-free test can reach `DOUBT` (the sign test: 2^-n), and the model is `late`.

    Returns:
        The weights, and the scores of that model.
    """
    model = FusionModel(fusion)
    model.load_state_dict(weights)
    share = model.to(device).get_buffer(SHARE)
    scored = []
    for value in SHARES:
        share.fill_(value)
        scored.append(predicted_windows(model, loaders, targets, device))
    windows: Sequence[Window] = loaders[0].dataset.windows  # type: ignore[attr-defined]
    people = np.array([subjects.get(window.clip, window.clip) for window in windows])
    everybody = np.ones(len(people), np.bool_)
    rows = [
        [_ccc_of(each, targets, keep) for each in scored]
        for keep in (everybody, *(people != p for p in sorted(set(people))))
    ]
    for i, target in enumerate(targets):
        each = np.array(rows)[..., i]  # (1 + subjects, shares, conditions)
        sound = (each[0] >= each[0, 0]).all(axis=1)  # (shares,)
        gain = each.mean(axis=2) - each[:, :1].mean(axis=2)  # (1 + subjects, shares)
        others = len(gain) - 2  # degrees of freedom
        if others + 1 >= FEWEST:
            error = np.sqrt(others * gain[1:].var(axis=0))
            sure = np.where(sound, gain[0] - student_t.ppf(1 - DOUBT, others) * error, -np.inf)
            share[TARGETS.index(target)] = SHARES[int(sure.argmax())]
        else:
            share[TARGETS.index(target)] = 0.0
    return {**weights, SHARE: share.cpu().clone()}, validation_row(model, loaders, targets, device)


def _ccc_of(scored: Scored, targets: Sequence[Target], keep: NDArray[np.bool_]) -> list[list[float]]:
    """CCC on some of the windows, by condition and target."""
    kept = {c: [tuple(torch.cat(x)[torch.from_numpy(keep)] for x in zip(*b, strict=True))] for c, b in scored.items()}
    row = score_row(kept, targets)  # type: ignore[arg-type]  # tuples of three
    return [[row[f"{condition}_{target}"] for target in targets] for condition in scored]
