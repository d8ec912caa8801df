"""Predictions of causal models piece by piece, and what their calibration reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_clips import AUDIO_DIM, CUES, VISUAL_DIM, annotated_clips, clip, clips

from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError
from iaca.fusion import FusionConfig, FusionModel, preset
from iaca.training import predict
from iaca.training.calibration import TrailingPresence, calibrate
from iaca.training.config import TrainingConfig
from iaca.training.model_file import PerDimension, TrainedModel, load_model, save_model
from iaca.training.predict import BuiltModel, RunningPrediction, joined_predictions, predict_clip
from iaca.training.sample import Normalisation
from iaca.training.train import TrainingRun, calibrated

SMALL = {"width": 8, "heads": 2, "memory": 12}
KINDS: dict[str, dict] = {
    "tcn": {}, "lstm": {"temporal": "lstm"}, "transformer": {"temporal": "transformer", "lookahead": 2},
    "plus": {"gate": "iaca_plus", "cues": CUES, "lookahead": 5}, "tasks": {"tasks": ("expression", "action_units")},
    "voice": {"modalities": ("audio",)},
}  # fmt: skip


def config_of(kind: str) -> FusionConfig:
    modalities = KINDS[kind].get("modalities")
    return preset("audio" if modalities else "iaca", AUDIO_DIM, VISUAL_DIM, causal=True, **SMALL, **KINDS[kind])


def some_model(kind: str, per_dimension: bool = False) -> TrainedModel:
    config = config_of(kind)
    torch.manual_seed(0)
    network = PerDimension(config) if per_dimension else FusionModel(config)
    weights = {name: w + 0.1 * torch.randn_like(w) for name, w in network.state_dict().items()}
    return TrainedModel(config, weights, Normalisation.fit(clips(3), config.cues), {}, per_dimension=per_dimension)


def in_pieces(model: TrainedModel, one: ClipEmbedding, lengths: list[int]) -> predict.ClipPrediction:
    running, parts, place = RunningPrediction(BuiltModel.of(model)), [], 0
    for length in lengths:
        parts.append(running.push(one.part(slice(place, place + length))))
        place += length
    return joined_predictions([*parts, running.finish()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [[1] * 70, [3, 0, 40, 27], [70]])
def test_pieces_of_a_clip_give_what_the_whole_clip_gives(kind: str, lengths: list[int], monkeypatch) -> None:
    monkeypatch.setattr(predict, "PIECE", 32)
    model, one = some_model(kind), clip(5, 70)
    whole, parts = predict_clip(model, one), in_pieces(model, one, lengths)
    assert whole.prediction.shape == (70, 2)
    assert whole.prediction.std() > 0.01
    np.testing.assert_allclose(parts.prediction, whole.prediction, atol=1e-6)
    assert parts.gates.keys() == whole.gates.keys()
    for name, weights in whole.gates.items():
        np.testing.assert_allclose(parts.gates[name], weights, atol=1e-6)
    assert parts.tasks.keys() == set(KINDS[kind].get("tasks", ()))
    for task, values in whole.tasks.items():
        np.testing.assert_allclose(parts.tasks[task], values, atol=1e-6)
    np.testing.assert_array_equal(parts.observed, one.observed)


def test_it_is_what_the_network_gives_for_the_whole_sequence() -> None:
    """With `lookahead`, too: the last steps get the last output."""
    model, one = some_model("plus"), clip(5, 30)
    spec = predict.WindowSpec(30, model.normalisation, CUES)
    batch = predict.collate([predict.cut(one, 0, spec)])
    with torch.inference_mode():
        whole = model.build()(*predict.model_arguments(batch, reads_cues=True)).prediction[0].numpy()
    np.testing.assert_allclose(predict_clip(model, one).prediction, whole, atol=1e-6)


def test_two_networks_of_one_model_keep_their_own_past() -> None:
    model, one = some_model("tcn", per_dimension=True), clip(5, 40)
    np.testing.assert_allclose(
        in_pieces(model, one, [1] * 40).prediction, predict_clip(model, one).prediction, atol=1e-6
    )


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_clip_shorter_than_the_lookahead_has_an_answer_for_each_step(steps: int) -> None:
    assert predict_clip(some_model("plus"), clip(5, steps)).prediction.shape == (steps, 2)


def test_pieces_of_other_encoders_are_refused() -> None:
    one = clip(5)
    trained = replace(some_model("tcn"), metadata={**one.metadata, "audio_version": "2"})
    running = RunningPrediction(BuiltModel.of(trained))
    with pytest.raises(InputError, match=r"widths \{'audio': 7.*Remedy: embed the clip with the encoders"):
        running.push(replace(one, audio=np.zeros((len(one), AUDIO_DIM + 1), np.float32)))
    with pytest.raises(InputError, match=r"audio_version '3', not '2'.*Remedy: embed the clip with the encoders"):
        running.push(replace(one, metadata={**one.metadata, "audio_version": "3"}))


def test_a_model_that_reads_later_steps_can_not_run() -> None:
    config = preset("iaca", AUDIO_DIM, VISUAL_DIM, width=8, heads=2)
    model = TrainedModel(config, FusionModel(config).state_dict(), Normalisation.fit(clips(3)), {})
    with pytest.raises(InputError, match="reads later steps"):
        RunningPrediction(BuiltModel.of(model))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_file_brings_it_back(kind: str, tmp_path: Path) -> None:
    model, one = some_model(kind), clip(5, 20)
    save_model(model, tmp_path / "m.safetensors")
    found = load_model(tmp_path / "m.safetensors")
    assert found.config == model.config
    np.testing.assert_array_equal(predict_clip(found, one).prediction, predict_clip(model, one).prediction)


def test_presence_is_that_of_the_second_before_in_pieces_too() -> None:
    one = clip(1, 100)  # 25 Hz; no face from 30 to 45, no sound from 80 to 90
    whole = TrailingPresence().of(one)
    trailing = TrailingPresence()
    pieces = np.concatenate([trailing.of(one.part(slice(i, i + 7))) for i in range(0, 100, 7)])
    np.testing.assert_allclose(pieces, whole)
    for i in range(100):
        before = slice(max(i - 24, 0), i + 1)
        np.testing.assert_allclose(whole[i], [one.audio_present[before].mean(), one.face_found[before].mean()])
    assert trailing.of(one.part(slice(0))).shape == (0, 2)


def test_a_causal_calibration_has_intervals_that_read_nothing_later() -> None:
    model = some_model("tcn")
    train, held = annotated_clips(6), annotated_clips(6, first=10)
    found = calibrate(
        ("audio", "visual"),
        model.normalisation,
        lambda c: predict_clip(model, c).prediction,
        train,
        held,
        {},
        causal=True,
    )
    assert found.intervals is None  # six clips are too few for 90 %
    held = annotated_clips(10, first=10)
    found = calibrate(
        ("audio", "visual"),
        model.normalisation,
        lambda c: predict_clip(model, c).prediction,
        train,
        held,
        {},
        causal=True,
    )
    assert found.causal
    assert found.readers is None
    assert found.facts["inconsistency"] == ("none: a causal model does not compare a stretch with the rest of the clip")
    one, prediction = clip(30, 60), predict_clip(model, clip(30, 60)).prediction
    whole = found.judge(one, model.normalisation, prediction).bounds
    assert np.isfinite(whole).all()
    first = found.judge(one.part(slice(40)), model.normalisation, prediction[:40]).bounds
    np.testing.assert_array_equal(whole[:40], first)
    assert np.ptp(whole[:, 1, 0] - whole[:, 0, 0]) > 0.01


@pytest.mark.slow
def test_a_causal_model_is_trained_and_predicts_from_its_file(tmp_path: Path) -> None:
    config = TrainingConfig(length=40, hop=30, epochs=2, folds=2, threads=1)
    train, held = annotated_clips(6, steps=80), annotated_clips(5, first=10, steps=80)
    model, _ = calibrated(TrainingRun(config_of("transformer"), config, train, held, tmp_path / "checkpoints"))
    save_model(model, tmp_path / "m.safetensors")
    found = load_model(tmp_path / "m.safetensors")
    assert found.calibration is not None
    assert found.calibration.causal
    one = clip(30, 60)
    whole, parts = predict_clip(found, one), in_pieces(found, one, [1] * 60)
    assert whole.bounds is not None
    assert parts.bounds is not None
    np.testing.assert_allclose(parts.bounds, whole.bounds, atol=2e-6)
