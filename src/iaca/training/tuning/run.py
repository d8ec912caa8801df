"""Fine-tuning as the engine's task: from faces and timelines to a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save_file

from iaca.encoders.options import ClipOptions
from iaca.errors import InputError
from iaca.training.tuning.config import EncoderTrainingConfig
from iaca.training.tuning.samples import gather
from iaca.training.tuning.tune import tune

VERSION = "1"
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
        files: faces of the training clips and of the validation clips, then their timelines in the same order.
        target: the file to write.
        config: what to train, and how.
        train_clips, validation_clips: names.
        corpus: name and caveat.
        started_from: version and checksum of the weights before: part of the task's fingerprint.

    Raises:
        InputError: a partition has no clip, or no annotated face.
    """
    if not train_clips or not validation_clips:
        raise InputError(
            f"{len(train_clips)} clips to train on, {len(validation_clips)} to validate on",
            remedy="the corpus needs both partitions",
        )
    options = config.encoder.entry("visual").configured(config.encoder.changes)
    offsets = options.offsets if isinstance(options, ClipOptions) else (0,)
    pairs = list(zip(files[: len(files) // 2], files[len(files) // 2 :], strict=True))
    parts = pairs[: len(train_clips)], pairs[len(train_clips) :]
    tuned = tune(config, *(gather(part, offsets, config.every) for part in parts))
    header = {
        "encoder": config.encoder.name,
        "changes": config.encoder.changes,
        "dim": config.encoder.entry("visual").dim,
        "started_from": started_from,
        "corpus": dict(corpus),
        "config": config.model_dump(mode="json"),
        "best": tuned.best,
        "history": tuned.history,
    }
    state = {name: tensor.contiguous() for name, tensor in tuned.state.items()}
    save_file(state, target, metadata={HEADER: json.dumps(header, sort_keys=True)})
