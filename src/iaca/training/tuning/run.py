"""Fine-tuning as the engine's task: from faces or sound and timelines to a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save_file

from iaca.errors import InputError
from iaca.training.tuning.config import EncoderTrainingConfig
from iaca.training.tuning.tune import MODALS, tune

VERSION = "2"
HEADER = "iaca_encoder"  # one entry: safetensors keeps several in no fixed order, and the bytes would differ


def tune_file(
    *files: Path,
    target: Path,
    config: EncoderTrainingConfig,
    train_clips: Sequence[str],
    validation_clips: Sequence[str],
    corpus: Mapping[str, str],
    started_from: str,
) -> None:
    """Fine-tune on the named clips and write the encoder's tensors, with what they are in the header.

    The file serves as `{name: ENCODER, weights: FILE}`.

    Args:
        files: faces of the training clips and of the validation clips, or their sound where the encoder is one of
            sound, then their timelines in the same order.
        target: the file to write.
        config: what to train, and how.
        train_clips, validation_clips: names.
        corpus: name and caveat.
        started_from: version and checksum of the weights before: part of the task's fingerprint.

    Raises:
        InputError: a partition has no clip, or no annotated step with a face (with sound).
    """
    if not train_clips or not validation_clips:
        raise InputError(
            f"{len(train_clips)} clips to train on, {len(validation_clips)} to validate on",
            remedy="the corpus needs both partitions",
        )
    pairs = list(zip(files[: len(files) // 2], files[len(files) // 2 :], strict=True))
    parts = pairs[: len(train_clips)], pairs[len(train_clips) :]
    modal = MODALS[config.modality]
    tuned = tune(config, *(modal.gather(part, config) for part in parts))
    header = {
        "encoder": config.encoder.name,
        "changes": config.encoder.changes,
        "dim": config.encoder.entry(config.modality).dim,
        "started_from": started_from,
        "corpus": dict(corpus),
        "config": config.model_dump(mode="json"),
        "best": tuned.best,
        "history": tuned.history,
    }
    state = {name: tensor.contiguous() for name, tensor in tuned.state.items()}
    save_file(state, target, metadata={HEADER: json.dumps(header, sort_keys=True)})
