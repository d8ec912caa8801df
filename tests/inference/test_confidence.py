"""Confidence falls with what is missing, bad, far away or disputed, and stays in [0, 1]."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.predictor import confidence, decayed_maximum

CUES = ("face_score", "face_sharpness", "snr_estimate")
BOTH = ("audio", "visual")
GOOD = (1.0, 6.0, 30.0)


def clip(steps: int = 40, cues=GOOD, face=True, sound=True) -> ClipEmbedding:
    quality = np.broadcast_to(np.asarray(cues, np.float32), (steps, 3)).copy()
    masks = (np.broadcast_to(np.asarray(mask, bool), steps).copy() for mask in (sound, face))
    rows = np.zeros((steps, 1), np.float32)
    return ClipEmbedding(rows, rows, *masks, np.arange(steps) / 10, quality, CUES)


def test_everything_there_and_good_is_one_and_nothing_there_is_zero():
    assert confidence(clip(), BOTH, None, None) == pytest.approx(1)
    assert (confidence(clip(face=False, sound=False), BOTH, None, None) == 0).all()


def test_without_a_face_it_falls_with_the_distance_to_the_nearest_one():
    face = np.arange(40) < 20
    value = confidence(clip(face=face), BOTH, None, None)
    assert value[:20] == pytest.approx(1)
    assert (np.diff(value[19:]) < 0).all()
    assert value[29] == pytest.approx(0.75)  # 1 s after the last face: half its worth, and half of the evidence
    assert value[-1] > 0.5


@pytest.mark.parametrize(("cue", "worse"), [(0, 0.6), (1, 3.0), (2, 8.0)])
def test_a_blurred_face_an_unsure_detector_and_noise_lower_it(cue, worse):
    bad = list(GOOD)
    bad[cue] = worse
    assert (confidence(clip(cues=bad), BOTH, None, None) < 0.99).all()


def test_it_is_low_where_the_model_relies_on_the_worse_of_two():
    noisy = clip(cues=(1.0, 6.0, 5.0))
    on_voice, on_face = (np.tile([share, 1 - share], (40, 1)) for share in (0.9, 0.1))
    assert (confidence(noisy, BOTH, on_voice, None) < confidence(noisy, BOTH, on_face, None)).all()


def test_models_that_disagree_lower_it():
    values = [confidence(clip(), BOTH, None, np.full(40, spread))[0] for spread in (0.0, 0.05, 0.2, 0.8)]
    assert values[0] == pytest.approx(1)
    assert values[2] == pytest.approx(0.5)
    assert (np.diff(values) < 0).all()


def test_a_model_of_one_modality_is_judged_by_that_one():
    assert confidence(clip(face=False), ("audio",), None, None) == pytest.approx(1)
    assert confidence(clip(cues=(1.0, 6.0, -5.0)), ("visual",), None, None) == pytest.approx(1)


def test_unknown_and_missing_cues_count_as_good():
    bare = replace(clip(), quality=np.zeros((40, 0), np.float32), quality_names=())
    assert confidence(bare, BOTH, None, None) == pytest.approx(1)
    assert confidence(clip(cues=(np.nan,) * 3), BOTH, None, None) == pytest.approx(1)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.integers(0, 11), st.floats(0.01, 1))
def test_less_of_an_observation_is_never_worth_more_anywhere(worth, step, factor):
    before = np.array(worth)
    after = before.copy()
    after[step % len(after)] *= 1 - factor
    times = np.cumsum(np.linspace(0.02, 0.7, len(before)))
    assert (decayed_maximum(after, times) <= decayed_maximum(before, times) + 1e-12).all()
    pairs = before[None] * 0.5 ** np.abs(times[:, None] - times[None])
    np.testing.assert_allclose(decayed_maximum(before, times), pairs.max(axis=1), atol=1e-12)


def test_a_clip_of_no_steps_has_none():
    assert confidence(clip(0), BOTH, None, None).shape == (0,)
