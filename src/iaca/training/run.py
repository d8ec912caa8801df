"""A training run as the engine's task: from embeddings and timelines to a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from iaca.encoders.embedding import embeddings_of, read_annotated
from iaca.training.choice import ModelChoice
from iaca.training.config import VERSION, TrainingConfig
from iaca.training.cues import shared_cues
from iaca.training.history import history_of, with_history
from iaca.training.model_file import save_model
from iaca.training.train import train

__all__ = ["VERSION", "history_of", "train_file"]


def train_file(
    *files: Path,
    target: Path,
    choice: ModelChoice,
    training: TrainingConfig,
    train_clips: Sequence[str],
    validation_clips: Sequence[str],
    corpus: Mapping[str, str],
    checkpoints: Path,
    progress: bool = False,
) -> None:
    """Train on the named clips and write the model, its origin in its metadata.

    A model that reads quality cues is given those that all of these clips have, unless `choice` names them.

    Args:
        files: embeddings of the clips, then their timelines, which hold the annotation, in the same order.
        target: the model file.
        choice, training: the model and the run.
        train_clips, validation_clips: names of the clips to learn from, and of those that say when to stop.
        corpus: its name and caveat.
        checkpoints: folder of this run's own.
        progress: show a bar of epochs.

    Raises:
        InputError: a partition has no clip, or none that is annotated; a timeline is not of its embedding.
    """
    pairs = zip(files[: len(files) // 2], files[len(files) // 2 :], strict=True)
    clips = {embedding.stem: read_annotated(embedding, timeline) for embedding, timeline in pairs}
    embeddings = embeddings_of(clips)
    dims = next((clip.dims for clip in embeddings.values()), {"audio": 1, "visual": 1})
    parts = [{name: clips[name] for name in names} for names in (train_clips, validation_clips)]
    fusion = choice.build(dims["audio"], dims["visual"], shared_cues(embeddings))
    model, history = train(fusion, training, parts[0], parts[1], checkpoints, progress)
    origin = {"preset": choice.preset, "corpus": corpus["name"], "caveat": corpus["caveat"]}
    save_model(with_history(replace(model, metadata={**model.metadata, **origin}), history), target)
