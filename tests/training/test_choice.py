"""A model is chosen by its name, and any field about it by the field's name."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from iaca.fusion import preset
from iaca.fusion.config import ModelChoice


def test_a_choice_is_a_preset_and_changed_fields() -> None:
    choice = ModelChoice.model_validate({"preset": "dca", "temperature": 0.1, "modalities": ["visual", "audio"]})
    assert choice.build(3, 5) == preset("dca", 3, 5, temperature=0.1)
    assert choice.changes == {"temperature": 0.1, "modalities": ["visual", "audio"]}
    assert pickle.loads(pickle.dumps(choice)) == choice
    assert ModelChoice().build(3, 5) == preset("iaca", 3, 5)


def test_fingerprints_of_finished_runs_stay_as_they_are() -> None:
    assert ModelChoice(preset="ca").model_dump(mode="json") == {"preset": "ca", "changes": {}}
    changed = ModelChoice(width=32, modalities=("audio",))
    assert changed.model_dump(mode="json") == {"preset": "iaca", "changes": {"width": 32, "modalities": ["audio"]}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tempertaure": 0.1}, r"tempertaure\n.*did you mean temperature\?"),
        ({"presett": "iaca"}, r"presett\n.*did you mean preset\?"),
        ({"audio_dim": 3}, r"audio_dim\n.*not permitted; did you mean audio_width\? \["),  # the width of the embeddings
        ({"width": "wide"}, r"^1 validation error.*\nwidth\n.*valid integer"),
        ({"width": True}, r"^1 validation error.*\nwidth\n.*true is not of type int"),
        ({"width": 10**400}, r"width\n.*64 bits"),
        ({"dropout": float("nan")}, r"dropout\n.*finite"),
        ({"gate": ["iaca"]}, r"gate\n.*valid string"),
        ({"heads": 3}, "heads=3 does not divide width=128"),
        ({"preset": "iacca"}, r"no model named 'iacca'.*iaca_plus"),
        ({"preset": "concat", "gate": "dca"}, "gate='dca' weighs attended features"),
    ],
)
def test_what_does_not_fit_is_named(given: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelChoice.model_validate(given)
