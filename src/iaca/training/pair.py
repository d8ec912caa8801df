"""Two runs, one per dimension, and the one model they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from lightning.pytorch.utilities import rank_zero_only

from iaca.errors import InputError
from iaca.training.config import TARGETS, TrainingConfig
from iaca.training.history import KEY, history_of, merged_histories, with_history
from iaca.training.model_file import TrainedModel, load_model, save_model

Result = tuple[TrainedModel, pd.DataFrame]
FINGERPRINT = "pair_fingerprint"


def train_pair(
    run: Callable[[TrainingConfig, Path], Result], config: TrainingConfig, checkpoints: Path, fingerprint: str
) -> Result:
    """Train one network per dimension on the same windows; a pair that was stopped does not repeat its first half.

    Args:
        run: trains one network, given its settings and a folder of its own.
        config: of the pair.
        checkpoints: a folder of the pair's own; in the end nothing is left in it.
        fingerprint: of everything that decides how the pair turns out.
    """
    parts: dict[str, Result] = {}
    for target in TARGETS:
        alone = config.model_copy(update={"targets": (target,), "per_dimension": False})
        file = checkpoints / f"{target}.safetensors"
        parts[target] = _finished(file, fingerprint) or run(alone, checkpoints / target)
        _keep(parts[target], file, fingerprint)
    _clear(checkpoints)
    model = _joined({target: model for target, (model, _) in parts.items()})
    return model, merged_histories({target: history for target, (_, history) in parts.items()})


def _joined(models: Mapping[str, TrainedModel]) -> TrainedModel:
    """One model of two networks. What their metadata do not agree on has the name of the dimension behind it."""
    valence, arousal = (models[target].metadata for target in TARGETS)
    metadata = {name: text for name, text in valence.items() if arousal.get(name) == text}
    for target, own in ((target, models[target].metadata) for target in TARGETS):
        for name in own.keys() - metadata.keys():
            metadata[f"{name}_{target}" if name in valence and name in arousal else name] = own[name]
    weights = {f"{t}.{name}": tensor for t in TARGETS for name, tensor in models[t].weights.items()}
    some = models[TARGETS[0]]
    return TrainedModel(some.config, weights, some.normalisation, metadata, TARGETS, per_dimension=True)


@rank_zero_only
def _keep(part: Result, file: Path, fingerprint: str) -> None:
    model, history = part
    finished = with_history(model, history)
    save_model(replace(finished, metadata={**finished.metadata, FINGERPRINT: fingerprint}), file)


def _finished(file: Path, fingerprint: str) -> Result | None:
    """A network that this pair has trained before it was stopped."""
    try:
        model = load_model(file)
    except InputError:  # none, or a torn one
        return None
    if model.metadata.get(FINGERPRINT) != fingerprint:
        return None
    metadata = {name: text for name, text in model.metadata.items() if name not in {KEY, FINGERPRINT}}
    return replace(model, metadata=metadata), history_of(model)


@rank_zero_only
def _clear(checkpoints: Path) -> None:
    for target in TARGETS:
        (checkpoints / f"{target}.safetensors").unlink(missing_ok=True)
    if checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()
