"""A training run as the engine's task: from embedding files to a model file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from iaca.encoders.embedding import read_embedding
from iaca.training.choice import ModelChoice
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel, save_model
from iaca.training.train import train

VERSION = "1"
HISTORY = "history"


def train_file(
    *embeddings: Path,
    target: Path,
    choice: ModelChoice,
    training: TrainingConfig,
    train_clips: Sequence[str],
    validation_clips: Sequence[str],
    corpus: Mapping[str, str],
    checkpoints: Path,
    progress: bool = False,
) -> None:
    """Train on the named clips among the embedding files and write the model, its origin in its metadata.

    Raises:
        InputError: a partition has no clip, or none that is annotated.
    """
    clips = {path.stem: read_embedding(path) for path in embeddings}
    widths = next(((c.audio.shape[1], c.visual.shape[1]) for c in clips.values()), (1, 1))
    parts = [{name: clips[name] for name in names} for names in (train_clips, validation_clips)]
    model, history = train(choice.build(*widths), training, parts[0], parts[1], checkpoints, progress)
    origin = {"preset": choice.preset, "corpus": corpus["name"], "caveat": corpus["caveat"]}
    metadata = {**model.metadata, **origin, HISTORY: json.dumps(history.to_dict("list"))}
    save_model(replace(model, metadata=metadata), target)


def history_of(model: TrainedModel) -> pd.DataFrame:
    """The history a model carries: one row per epoch."""
    return pd.DataFrame(json.loads(model.metadata[HISTORY]))
