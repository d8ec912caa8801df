"""One network per dimension: each learns its own, and prediction uses the pair like one model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_clips import AUDIO_DIM, VISUAL_DIM, annotated_clips, clip

from iaca.errors import InputError
from iaca.evaluation.figures import learning_curve
from iaca.fusion import preset
from iaca.training.config import TrainingConfig
from iaca.training.model_file import TrainedModel, load_model, save_model
from iaca.training.predict import predict_clip, prediction_table
from iaca.training.train import FusionTraining, TrainingRun, train, train_network

TRAIN, VALIDATION = annotated_clips(5), annotated_clips(2, first=100)
PAIR = TrainingConfig(length=30, hop=20, batch_size=4, epochs=2, accelerator="cpu", threads=1, per_dimension=True)
MODEL = preset("iaca", AUDIO_DIM, VISUAL_DIM, width=8, heads=2, temporal_layers=1)


def alone(target: str) -> TrainingConfig:
    return PAIR.model_copy(update={"per_dimension": False, "targets": (target,)})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("pair") / "checkpoints"
    trained = train(TrainingRun(MODEL, PAIR, TRAIN, VALIDATION, folder))
    assert not folder.exists()
    return trained


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[TrainedModel, pd.DataFrame]]:
    folder = tmp_path_factory.mktemp("single")
    return {t: train(TrainingRun(MODEL, alone(t), TRAIN, VALIDATION, folder)) for t in ("valence", "arousal")}


@pytest.mark.slow
def test_each_dimension_is_predicted_by_the_network_that_learned_it(pair: tuple, single: dict) -> None:
    predicted = predict_clip(pair[0], clip(7, 70), window=30, hop=20)
    for i, target in enumerate(("valence", "arousal")):
        own = predict_clip(single[target][0], clip(7, 70), window=30, hop=20)
        np.testing.assert_array_equal(predicted.prediction[:, i], own.prediction[:, i])
        for name, weights in own.gates.items():
            np.testing.assert_array_equal(predicted.gates[f"{target}_{name}"], weights)
    assert np.isfinite(predicted.prediction).all()


def test_its_gates_are_those_of_both_and_are_labelled(pair: tuple) -> None:
    built = pair[0].build()
    own = ("audio", "visual", "modalities")
    assert list(built.gate_labels) == [f"{t}_{name}" for t in ("valence", "arousal") for name in own]
    assert built.gate_labels["arousal_modalities"] == ("audio", "visual")
    output = built(torch.zeros(1, 5, AUDIO_DIM), torch.zeros(1, 5, VISUAL_DIM))
    assert {name: gate.shape[-1] for name, gate in output.gates.items()} == {
        name: len(labels) for name, labels in built.gate_labels.items()
    }
    one = clip(7)
    table = prediction_table("a", one, predict_clip(pair[0], one), built.gate_labels)
    assert {"gate_valence_modalities_audio", "gate_arousal_audio_self"} <= set(table.columns)


def test_a_model_file_keeps_both(pair: tuple, tmp_path: Path) -> None:
    save_model(pair[0], tmp_path / "pair.safetensors")
    loaded = load_model(tmp_path / "pair.safetensors")
    assert loaded.per_dimension
    assert loaded.metadata == pair[0].metadata
    np.testing.assert_array_equal(predict_clip(loaded, clip(7)).prediction, predict_clip(pair[0], clip(7)).prediction)


def test_its_origin_tells_the_two_apart(pair: tuple, single: dict) -> None:
    metadata = pair[0].metadata
    assert metadata["seed"] == "0"
    assert metadata["audio_encoder"] == "descriptors"
    for target, (model, _) in single.items():
        assert metadata[f"validation_clean_{target}"] == model.metadata[f"validation_clean_{target}"]
        assert metadata[f"validation_score_{target}"] == model.metadata["validation_score"]
    assert "validation_score" not in metadata


def test_its_history_holds_both_and_makes_a_learning_curve(pair: tuple, single: dict) -> None:
    history = pair[1]
    for target, (_, own) in single.items():
        for name in ("train_loss", "score", "learning_rate"):
            np.testing.assert_array_equal(history[f"{name}_{target}"], own[name])
        np.testing.assert_array_equal(history[f"validation_ccc_{target}"], own[f"validation_ccc_{target}"])
    np.testing.assert_allclose(history["score"], history[["score_valence", "score_arousal"]].mean(axis=1))
    loss, scores = learning_curve(history).axes
    assert len(loss.lines) == 1
    assert {"valence", "arousal", "mean"} <= {line.get_label() for line in scores.lines}


@pytest.mark.slow
def test_a_pair_that_was_stopped_does_not_repeat_its_first_half(
    pair: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(Exception):
        pass

    def stops(self: FusionTraining, batch: dict, index: int) -> torch.Tensor:
        if self.config.targets == ("arousal",) and self.current_epoch == 1:
            raise PowerCutError
        return step(self, batch, index)

    step = FusionTraining.training_step
    with monkeypatch.context() as patch:
        patch.setattr(FusionTraining, "training_step", stops)
        with pytest.raises(PowerCutError):
            train(TrainingRun(MODEL, PAIR, TRAIN, VALIDATION, tmp_path / "checkpoints"))
    started = []
    monkeypatch.setattr(
        FusionTraining, "on_train_start", lambda self: started.append((self.config.targets, self.current_epoch))
    )
    model, history = train(TrainingRun(MODEL, PAIR, TRAIN, VALIDATION, tmp_path / "checkpoints"))
    assert started == [(("arousal",), 1)]
    assert model.metadata == pair[0].metadata
    assert all(torch.equal(tensor, pair[0].weights[name]) for name, tensor in model.weights.items())
    pd.testing.assert_frame_equal(history, pair[1], check_exact=True)
    assert list(tmp_path.iterdir()) == []


def test_the_half_of_another_pair_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, single: dict) -> None:
    runs = []

    def train_one(run: TrainingRun) -> tuple[TrainedModel, pd.DataFrame]:
        targets = run.config.targets
        runs.append(targets)
        if targets == ("arousal",) and len(runs) == 2:
            raise InputError("stopped")
        return single[targets[0]]

    monkeypatch.setattr("iaca.training.train.train_network", train_one)
    with pytest.raises(InputError, match="stopped"):
        train(TrainingRun(MODEL, PAIR, TRAIN, VALIDATION, tmp_path))
    assert (tmp_path / "valence.safetensors").exists()
    train(TrainingRun(MODEL, PAIR.model_copy(update={"seed": 1}), TRAIN, VALIDATION, tmp_path))
    assert runs == [("valence",), ("arousal",)] * 2


def test_one_run_trains_one_network(tmp_path: Path) -> None:
    assert not train_network(TrainingRun(MODEL, alone("valence"), TRAIN, VALIDATION, tmp_path))[0].per_dimension
