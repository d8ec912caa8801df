"""Gates are scored against what was really corrupted."""

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.evaluation.events import believed, event_mask, gate_auroc, modality_gates, truth_masks


def test_an_event_includes_its_start_and_not_its_end(predictions, events):
    times = predictions.loc[event_mask(predictions, events, "audio", "silent"), ["clip", "time_s"]]
    assert set(times["clip"]) == {"a"}
    assert (times["time_s"].min(), times["time_s"].max()) == (2.0, 3.96)


def test_there_is_one_mask_for_each_kind_that_occurs(predictions, events):
    masks = truth_masks(predictions, events)
    assert set(masks) == {("audio", "silent"), ("audio", "noisy"), ("visual", "occluded"), ("visual", "absent")}
    assert sum(mask.sum() for mask in masks.values()) == event_mask(predictions, events).sum()


def test_a_gate_that_follows_the_truth_scores_one(predictions, events):
    scores = gate_auroc(predictions, events)
    assert (scores["auroc"] == 1).all()
    assert list(scores["kind"]) == ["noisy", "silent", "any", "absent", "occluded", "any"]
    assert (scores["weight_event"] < scores["weight_clean"]).all()


def test_a_gate_that_is_wrong_way_round_scores_zero(predictions, events):
    inverted = predictions.assign(
        gate_modalities_audio=predictions["gate_modalities_visual"],
        gate_modalities_visual=predictions["gate_modalities_audio"],
    )
    assert (gate_auroc(inverted, events)["auroc"] == 0).all()


def test_a_gate_that_never_moves_is_at_chance(predictions, events):
    still = predictions.assign(gate_modalities_audio=0.5, gate_modalities_visual=0.5)
    assert (gate_auroc(still, events)["auroc"] == 0.5).all()


def test_kinds_without_a_frame_are_left_out_and_nothing_is_nan(predictions, events):
    elsewhere = pd.DataFrame([("a", "visual", "contradictory", 99.0, 100.0)], columns=list(events))
    scores = gate_auroc(predictions, pd.concat([events, elsewhere]))
    assert "contradictory" not in set(scores["kind"])
    assert not scores.isna().any(axis=None)


def test_frames_without_a_weight_are_left_out(predictions, events):
    gone = predictions.copy()
    gone.loc[gone["clip"] == "a", ["gate_modalities_audio", "gate_modalities_visual"]] = np.nan
    assert "silent" not in set(gate_auroc(gone, events)["kind"])


def test_the_weights_of_readings_count_and_not_the_gate_of_a_correction(predictions, events):
    acting = predictions.assign(
        gate_readings_valence_audio=0.25, gate_readings_valence_visual=0.75,
        gate_readings_arousal_audio=0.5, gate_readings_arousal_visual=0.5,
    )  # fmt: skip
    assert list(modality_gates(acting)) == ["valence", "arousal"]
    assert (believed(acting) == [0.375, 0.625]).all(axis=None)
    assert (gate_auroc(acting, events)["auroc"] == 0.5).all()  # they never move; `modalities` follows the truth
    assert list(modality_gates(predictions)) == ["prediction"]
    assert (believed(predictions)["audio"] == predictions["gate_modalities_audio"]).all()


def test_a_network_per_dimension_has_weights_for_each(predictions):
    renamed = {f"gate_modalities_{m}": f"gate_valence_modalities_{m}" for m in ("audio", "visual")}
    pair = predictions.rename(columns=renamed)
    assert not modality_gates(pair)
    pair = pair.assign(gate_arousal_modalities_audio=1.0, gate_arousal_modalities_visual=0.0)
    expected = (predictions["gate_modalities_audio"] + 1) / 2
    np.testing.assert_allclose(believed(pair)["audio"], expected)


def test_a_model_without_gates_has_an_empty_table(predictions, events):
    assert gate_auroc(predictions[["clip", "time_s", "valence"]], events).empty


def test_an_event_that_ends_before_it_starts_is_refused(predictions, events):
    with pytest.raises(InputError, match="before"):
        event_mask(predictions, events.assign(end_s=events["start_s"] - 1))
