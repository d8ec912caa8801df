"""A model file records how the model was trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from short_runs import MODEL, SHORT, TRAIN, VALIDATION

from iaca.errors import InputError
from iaca.training.config import MACHINE, TrainingConfig
from iaca.training.model_file import (
    SETTINGS_KEY,
    TrainedModel,
    load_model,
    save_model,
    training_settings_of,
    with_training_settings,
)
from iaca.training.train import TrainingRun, train

ONE_EPOCH = SHORT.model_copy(update={"epochs": 1, "threads": 1})


@pytest.fixture(scope="module", params=[False, True], ids=["both dimensions", "per dimension"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    config = ONE_EPOCH.model_copy(update={"per_dimension": request.param})
    return config, train(TrainingRun(MODEL, config, TRAIN, VALIDATION, tmp_path_factory.mktemp("run") / "checkpoints"))[
        0
    ]


@pytest.mark.slow
def test_a_file_holds_every_setting_that_decides_how_a_run_turns_out(trained: tuple, tmp_path: Path) -> None:
    config, model = trained
    save_model(model, tmp_path / "model.safetensors")
    recorded = TrainingConfig(**json.loads(load_model(tmp_path / "model.safetensors").metadata[SETTINGS_KEY]))
    assert recorded.model_dump(exclude=MACHINE) == config.model_dump(exclude=MACHINE)


def test_nested_settings_have_names_of_their_own_and_the_machine_is_none_of_them(trained: tuple) -> None:
    config, model = trained
    recorded = training_settings_of(model)
    assert recorded["learning_rate"] == config.learning_rate
    assert recorded["corruption.share"] == config.corruption.share
    assert recorded["loss.form"] == config.loss.form
    assert recorded["per_dimension"] is config.per_dimension
    assert not MACHINE & recorded.keys()


def test_machines_make_no_difference_to_the_file(trained: tuple) -> None:
    config, model = trained
    elsewhere = config.model_copy(update={"threads": 7, "devices": 4})
    assert with_training_settings(model, elsewhere).metadata == model.metadata


def older(model: TrainedModel, **changes: str) -> TrainedModel:
    return replace(model, metadata={**{k: v for k, v in model.metadata.items() if k != SETTINGS_KEY}, **changes})


def test_an_older_file_has_none(trained: tuple) -> None:
    assert training_settings_of(older(trained[1])) == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_what_is_no_table_of_settings_is_refused(trained: tuple, text: str) -> None:
    with pytest.raises(
        InputError, match=r"training settings in the header are not (JSON|a JSON object).*Remedy: give a model file"
    ):
        training_settings_of(older(trained[1], **{SETTINGS_KEY: text}))
