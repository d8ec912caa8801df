"""How a model was trained, as its file carries it."""

from __future__ import annotations

from dataclasses import replace

from iaca.config import flat
from iaca.errors import InputError
from iaca.text import parse_json
from iaca.training.checkpoints import MACHINE
from iaca.training.config import TrainingConfig
from iaca.training.model_file import REMEDY, TrainedModel

KEY = "training"  # in the metadata of a model file


def with_settings(model: TrainedModel, config: TrainingConfig) -> TrainedModel:
    """The model with the settings of its run in its metadata, less those of the machine: the same bytes everywhere."""
    return replace(model, metadata={**model.metadata, KEY: config.model_dump_json(exclude=MACHINE)})


def settings_of(model: TrainedModel) -> dict[str, object]:
    """The settings a model carries, nested ones by names with a dot ("corruption.share"); none of an older file.

    Raises:
        InputError: what stands in their place is no table of settings.
    """
    try:
        settings = parse_json(model.metadata.get(KEY, "{}"))
    except ValueError as error:
        raise InputError("the header's training settings are not JSON", remedy=REMEDY) from error
    if not isinstance(settings, dict):
        raise InputError("the header's training settings are no table", remedy=REMEDY)
    return dict(flat(settings))
