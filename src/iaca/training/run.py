"""A training run as the engine's task: from embedding files to a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from iaca.encoders.embedding import read_embedding
from iaca.training.choice import ModelChoice
from iaca.training.config import VERSION, TrainingConfig
from iaca.training.cues import shared_cues
from iaca.training.history import history_of, with_history
from iaca.training.model_file import save_model
from iaca.training.train import train

__all__ = ["VERSION", "history_of", "train_file"]


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

    A model that reads quality cues is given those that all of these clips have, unless `choice` names them.

    Raises:
        InputError: a partition has no clip, or none that is annotated.
    """
    clips = {path.stem: read_embedding(path) for path in embeddings}
    audio_dim, visual_dim = next(((c.audio.shape[1], c.visual.shape[1]) for c in clips.values()), (1, 1))
    parts = [{name: clips[name] for name in names} for names in (train_clips, validation_clips)]
    fusion = choice.build(audio_dim, visual_dim, shared_cues(clips))
    model, history = train(fusion, training, parts[0], parts[1], checkpoints, progress)
    origin = {"preset": choice.preset, "corpus": corpus["name"], "caveat": corpus["caveat"]}
    save_model(with_history(replace(model, metadata={**model.metadata, **origin}), history), target)
