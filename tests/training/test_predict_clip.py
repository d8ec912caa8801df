"""Predictions of whole clips: every step at any length, and none where nothing was observed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_clips import AUDIO_DIM, VISUAL_DIM, blind, clip, clips

from iaca.encoders import ClipEmbedding
from iaca.errors import InputError
from iaca.fusion import FusionConfig, FusionModel, preset
from iaca.training.model_file import TrainedModel
from iaca.training.predict import BuiltModel, predict_clip, prediction_table
from iaca.training.sample import Normalisation


def some_model(config: FusionConfig | None = None) -> TrainedModel:
    config = config or preset("iaca", AUDIO_DIM, VISUAL_DIM, width=8, heads=2)
    torch.manual_seed(0)
    weights = {name: w + 0.1 * torch.randn_like(w) for name, w in FusionModel(config).state_dict().items()}
    return TrainedModel(config, weights, Normalisation.fit(clips(3)), {})


@pytest.mark.parametrize("steps", [1, 7, 29, 30, 31, 50, 51, 200])
def test_every_step_of_a_clip_of_any_length_gets_an_answer(steps: int) -> None:
    predicted = predict_clip(some_model(), clip(5, steps), window=30, hop=20)
    assert predicted.prediction.shape == (steps, 2)
    assert predicted.prediction.dtype == np.float32
    assert np.abs(predicted.prediction).max() <= 1
    assert set(predicted.gates) == {"audio", "visual", "modalities"}
    for weights in predicted.gates.values():
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)


def test_a_clip_of_no_steps_gets_no_answers() -> None:
    predicted = predict_clip(some_model(), clip(5, 0))
    assert predicted.prediction.shape == (0, 2)
    assert predicted.gates["modalities"].shape == (0, 2)


def test_where_windows_overlap_their_answers_are_averaged() -> None:
    model, one = some_model(), clip(5, 75)
    starts = (0, 20, 40, 45)  # the last is right-aligned
    total, count = np.zeros((75, 2)), np.zeros((75, 1))
    for start in starts:
        part = replace(one, **{name: getattr(one, name)[start : start + 30] for name in STEPWISE})
        total[start : start + 30] += predict_clip(model, part, window=30, hop=20).prediction
        count[start : start + 30] += 1
    together = predict_clip(model, one, window=30, hop=20).prediction
    np.testing.assert_allclose(together, total / count, atol=1e-6)


STEPWISE = ("audio", "visual", "audio_present", "face_found", "time_s", "quality")


def test_a_model_built_once_says_the_same_as_one_built_each_time() -> None:
    model, one = some_model(), clip(5, 70)
    np.testing.assert_array_equal(
        predict_clip(BuiltModel.of(model), one).prediction, predict_clip(model, one).prediction
    )


def test_what_was_not_observed_may_be_anything_and_changes_nothing() -> None:
    model, one = some_model(), clip(5, 70)
    changed = replace(
        one,
        audio=np.where(one.audio_present[:, None], one.audio, np.nan),
        visual=np.where(one.face_found[:, None], one.visual, np.inf),
    )
    np.testing.assert_array_equal(predict_clip(model, changed).prediction, predict_clip(model, one).prediction)


def test_one_modality_alone_is_enough_and_the_gate_says_which() -> None:
    for missing, column in (("audio", 1), ("visual", 0)):
        predicted = predict_clip(some_model(), blind(clip(5), **{missing: True}))
        here = predicted.observed
        assert predicted.gates["modalities"][here][:, column].min() > 0.6
        assert np.isfinite(predicted.prediction).all()


@pytest.mark.parametrize("steps", [10, 30, 70])
def test_a_length_in_the_weights_becomes_the_window(steps: int) -> None:
    fixed = FusionConfig(audio_dim=AUDIO_DIM, visual_dim=VISUAL_DIM, width=8, heads=2, attention="jca_fixed", length=30)
    assert predict_clip(some_model(fixed), clip(5, steps), hop=20).prediction.shape == (steps, 2)


def reader() -> TrainedModel:
    """A model that reads two of the clips' three cues, in an order of its own."""
    config = preset("iaca_plus", AUDIO_DIM, VISUAL_DIM, ("synchrony", "face_score"), width=8, heads=2)
    return replace(some_model(config), normalisation=Normalisation.fit(clips(3), config.cues))


def rearranged(one: ClipEmbedding, *names: str) -> ClipEmbedding:
    columns = [one.quality_names.index(name) for name in names]
    return replace(one, quality=one.quality[:, columns], quality_names=names)


def test_a_model_gets_its_cues_by_name_among_others_of_the_clip() -> None:
    one = clip(5, 70)
    predicted = predict_clip(reader(), one, window=30, hop=20)
    assert {"reliability_audio", "reliability_visual"} <= set(predicted.gates)
    for names in (("face_score", "synchrony"), ("synchrony", "snr_estimate", "face_score")):
        again = predict_clip(reader(), rearranged(one, *names), window=30, hop=20)
        np.testing.assert_array_equal(again.prediction, predicted.prediction)
    other = replace(one, quality=one.quality[::-1].copy())
    assert not np.array_equal(predict_clip(reader(), other, window=30, hop=20).prediction, predicted.prediction)


def test_a_cue_that_a_clip_lacks_is_unknown_not_an_error() -> None:
    one, unknown = clip(5, 70), np.nan
    lacks = predict_clip(reader(), rearranged(one, "face_score"))
    quality = one.quality.copy()
    quality[:, one.quality_names.index("synchrony")] = unknown
    np.testing.assert_array_equal(lacks.prediction, predict_clip(reader(), replace(one, quality=quality)).prediction)
    assert np.isfinite(lacks.prediction).all()


def test_a_dimension_that_was_not_learned_is_not_predicted() -> None:
    whole, one = some_model(), clip(5, 70)
    predicted = predict_clip(replace(whole, targets=("arousal",)), one).prediction
    assert np.isnan(predicted[:, 0]).all()
    np.testing.assert_array_equal(predicted[:, 1], predict_clip(whole, one).prediction[:, 1])


def test_the_table_has_one_row_per_frame_and_nan_only_where_nothing_was_there() -> None:
    model, one = some_model(), clip(5, 70)
    hidden = replace(one, audio_present=one.audio_present & (np.arange(70) > 1), face_found=np.arange(70) > 0)
    table = prediction_table("a", hidden, predict_clip(model, hidden), model.build().gate_labels)
    assert list(table.columns) == [
        "clip", "frame", "time_s", "valence", "arousal", "valence_low", "valence_high", "arousal_low", "arousal_high",
        "inconsistency", "face_found", "audio_present",
        "gate_audio_self", "gate_audio_cross", "gate_visual_self", "gate_visual_cross",
        "gate_modalities_audio", "gate_modalities_visual",
    ]  # fmt: skip
    assert table["frame"].tolist() == list(range(70))
    assert table["valence"].isna().tolist() == [True] + [False] * 69
    assert table["arousal"].isna().tolist() == [True] + [False] * 69
    assert {str(table[name].dtype) for name in ("valence", "gate_audio_self")} == {"float32"}
    pd.testing.assert_series_equal(table["time_s"], pd.Series(hidden.time_s, name="time_s"))


def test_models_without_gates_have_no_gate_columns() -> None:
    model, one = some_model(preset("visual", AUDIO_DIM, VISUAL_DIM, width=8)), clip(5)
    table = prediction_table("a", one, predict_clip(model, one), model.build().gate_labels)
    assert not [name for name in table.columns if name.startswith("gate_")]


def test_embeddings_of_other_encoders_and_gaps_between_windows_are_refused() -> None:
    wide = replace(clip(5), audio=np.zeros((60, AUDIO_DIM + 1), np.float32))
    with pytest.raises(InputError, match=r"widths \{'audio': 7.*Remedy: embed the clip with the encoders"):
        predict_clip(some_model(), wide)
    with pytest.raises(InputError, match="hop=40 must be between 1 and window=30"):
        predict_clip(some_model(), clip(5), window=30, hop=40)


def test_a_clip_of_encoders_of_the_same_width_but_another_name_or_version_is_refused() -> None:
    one = clip(5)
    trained = replace(some_model(), metadata={**one.metadata, "audio_version": "2"})
    assert len(predict_clip(trained, one).prediction) == len(one)  # the clip has no version
    newer = replace(one, metadata={**one.metadata, "audio_version": "3"})
    with pytest.raises(InputError, match=r"audio_version '3', not '2'.*Remedy: embed the clip with the encoders"):
        predict_clip(trained, newer)
    other = replace(one, metadata={**one.metadata, "visual_encoder": "resnet18"})
    with pytest.raises(InputError, match="visual_encoder 'resnet18', not 'fer'"):
        predict_clip(trained, other)
