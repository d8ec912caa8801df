"""The settings of a training run in the metadata of its model file."""

from __future__ import annotations

from dataclasses import replace

from iaca.config import flat
from iaca.errors import InputError
from iaca.text import parse_json
from iaca.training.checkpoints import MACHINE
from iaca.training.config import TrainingConfig
from iaca.training.model_file import REMEDY, TrainedModel

KEY = "training"  # in the metadata of a model file


def with_training_settings(model: TrainedModel, config: TrainingConfig) -> TrainedModel:
    """The model with its run's settings in its metadata, without those of the machine: the same bytes everywhere."""
    return replace(model, metadata={**model.metadata, KEY: config.model_dump_json(exclude=MACHINE)})


def training_settings_of(model: TrainedModel) -> dict[str, object]:
    """The training settings of a model, nested ones by dotted name ("corruption.share"); none for an older file.

    Raises:
        InputError: the metadata hold something else in their place.
    """
    try:
        settings = parse_json(model.metadata.get(KEY, "{}"))
    except ValueError as error:
        raise InputError("the header's training settings are not JSON", remedy=REMEDY) from error
    if not isinstance(settings, dict):
        raise InputError("the header's training settings are no table", remedy=REMEDY)
    return dict(flat(settings))
