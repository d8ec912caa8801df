"""Corruptions cover the requested share, change nothing outside their truth mask, and are reproducible."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from benchmark_clips import RATE_HZ, SCALE, clip, clips, same
from hypothesis import given, settings
from hypothesis import strategies as st

from iaca.encoders.cues import NAMES, OF, synchrony
from iaca.evaluation.config import CLEAN, SIGNAL, Condition, RobustnessConfig
from iaca.evaluation.corruption import PROTOCOLS, Partition, block_count, corrupted, segments
from iaca.parameters import MODALITIES

CONFIG = RobustnessConfig(block_s=2.0)
ON_FEATURES = [name for name in PROTOCOLS if name not in SIGNAL]
SHARES = [name for name in ON_FEATURES if name != "time_shift"]
LENGTHS = st.lists(st.integers(20, 300), min_size=2, max_size=4)
FEW = settings(max_examples=30)
LEVELS = st.floats(0.01, 1.0)


def run(protocol, level, given_clips, config=CONFIG):
    partition = Partition.of(given_clips, SCALE)
    condition = Condition(protocol, level)
    return {name: corrupted(condition, name, given_clips[name], partition, config) for name in partition.steps}


def truth(results):
    return np.concatenate([result.truth for result in results.values()])


@pytest.mark.slow
@FEW
@given(LENGTHS, st.sampled_from(ON_FEATURES))
def test_level_0_returns_the_clip_itself(lengths, protocol):
    clean = clips(lengths)
    for name, result in run(protocol, 0.0, clean).items():
        assert result.clip is clean[name]
        assert not result.truth.any()


@pytest.mark.slow
@FEW
@given(LENGTHS, st.sampled_from(ON_FEATURES), LEVELS)
def test_a_corruption_changes_a_copy_and_never_the_times(lengths, protocol, level):
    clean = clips(lengths)
    before = copy.deepcopy(clean)
    for name, result in run(protocol, level, clean).items():
        assert same(clean[name], before[name])
        np.testing.assert_array_equal(result.clip.time_s, before[name].time_s)
        assert result.truth.shape == (len(before[name]), 2)


@pytest.mark.slow
@FEW
@given(LENGTHS, st.sampled_from(ON_FEATURES), LEVELS)
def test_a_corruption_is_reproducible_whatever_runs_in_between(lengths, protocol, level):
    first = run(protocol, level, clips(lengths))
    run("conflict", 0.9, clips(lengths))
    second = run(protocol, level, clips(lengths))
    for name, result in first.items():
        assert same(result.clip, second[name].clip)
        np.testing.assert_array_equal(result.truth, second[name].truth)


@pytest.mark.slow
@FEW
@given(LENGTHS, LEVELS)
@pytest.mark.parametrize("protocol", ["missing_audio", "missing_video", "conflict", "feature_noise"])
def test_the_corrupted_share_is_the_requested_one(protocol, lengths, level):
    clean = clips(lengths)
    held = truth(run(protocol, level, clean)).any(axis=1)
    blocks = sum(block_count(one.time_s, CONFIG.block_s) for one in clean.values())
    assert abs(held.sum() - level * held.size) <= 0.5 * (blocks + 1)


def test_the_share_of_dropped_steps_is_the_probability():
    held = truth(run("frame_drop", 0.3, clips([4000, 4000])))
    np.testing.assert_allclose(held.mean(axis=0), 0.3, atol=0.02)
    np.testing.assert_allclose(held.all(axis=1).mean(), 0.3 * 0.3, atol=0.02)  # the two modalities independently


@pytest.mark.slow
@FEW
@given(LENGTHS, st.sampled_from(SHARES), LEVELS, LEVELS)
def test_a_higher_level_extends_a_lower_one(lengths, protocol, one, other):
    low, high = (truth(run(protocol, level, clips(lengths))) for level in sorted([one, other]))
    assert not (low & ~high).any()


@pytest.mark.slow
@FEW
@given(LENGTHS, LEVELS)
@pytest.mark.parametrize("protocol", ["missing_audio", "missing_video", "frame_drop"])
def test_missing_steps_are_masked_and_zero_and_all_others_unchanged(protocol, lengths, level):
    clean = clips(lengths)
    for name, result in run(protocol, level, clean).items():
        for modality, gone in zip(MODALITIES, result.truth.T, strict=True):
            was, now = getattr(clean[name], modality), getattr(result.clip, modality)
            np.testing.assert_array_equal(result.clip.present[modality], clean[name].present[modality] & ~gone)
            np.testing.assert_array_equal(now[~gone], was[~gone])
            assert not now[gone].any()


@pytest.mark.parametrize(("protocol", "column"), [("missing_audio", 0), ("missing_video", 1)])
def test_half_of_the_videos_are_missing_entirely_and_the_others_in_segments(protocol, column):
    results = run(protocol, 0.5, clips([300] * 8))
    assert not truth(results)[:, 1 - column].any()
    shares = sorted(float(result.truth[:, column].mean()) for result in results.values())
    np.testing.assert_allclose(shares, [0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1], atol=0.01)


def test_segments_are_contiguous_and_as_long_as_block_and_share_require():
    for seed in range(20):
        parts = segments(1000, 10, 0.5, np.random.default_rng(seed))
        for steps in parts:
            assert set(np.diff(steps)) <= {1, 1 - 1000}  # contiguous, possibly wrapping at the clip's end
            assert 25 <= len(steps) <= 75
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))


@pytest.mark.slow
@FEW
@given(LENGTHS, LEVELS)
@pytest.mark.parametrize("protocol", ["conflict", "feature_noise"])
def test_at_most_one_modality_is_corrupted_at_a_time_and_presence_is_unchanged(protocol, lengths, level):
    clean = clips(lengths)
    for name, result in run(protocol, level, clean).items():
        assert result.truth.sum(axis=1).max() <= 1
        for modality, wrong in zip(MODALITIES, result.truth.T, strict=True):
            present = clean[name].present[modality]
            changed = (getattr(result.clip, modality) != getattr(clean[name], modality)).any(axis=1)
            np.testing.assert_array_equal(changed, wrong & present)
            np.testing.assert_array_equal(result.clip.present[modality], present)


def test_both_modalities_are_corrupted_about_equally():
    for protocol in ("conflict", "feature_noise"):
        shares = truth(run(protocol, 0.8, clips([400] * 4))).mean(axis=0)
        np.testing.assert_allclose(shares, 0.4, atol=0.1)


@pytest.mark.slow
@FEW
@given(LENGTHS, LEVELS)
def test_a_conflict_inserts_observed_rows_of_another_clip_with_their_cues(lengths, level):
    clean = clips(lengths)
    origin = {
        (modality, one.__getattribute__(modality)[i].tobytes()): (name, i)
        for name, one in clean.items() for modality in MODALITIES for i in range(len(one))
    }  # fmt: skip
    for name, result in run("conflict", level, clean).items():
        for column, modality in enumerate(MODALITIES):
            own = [i for i, cue in enumerate(NAMES) if OF[cue] == modality]
            for step in np.flatnonzero(result.truth[:, column] & clean[name].present[modality]):
                donor, row = origin[modality, getattr(result.clip, modality)[step].tobytes()]
                assert donor != name
                assert clean[donor].present[modality][row]
                np.testing.assert_array_equal(result.clip.quality[step, own], clean[donor].quality[row, own])


def test_a_segment_of_a_conflict_is_contiguous_in_one_other_clip():
    clean = clips([200, 200, 200], observed=1.0)
    result = run("conflict", 0.6, clean)["clip0"]
    for column, modality in enumerate(MODALITIES):
        rows = {getattr(clean[other], modality)[i].tobytes(): (other, i) for other in clean for i in range(200)}
        wrong = np.flatnonzero(result.truth[:, column])
        origins = [rows[getattr(result.clip, modality)[step].tobytes()] for step in wrong]
        breaks = sum(a[0] != b[0] or (b[1] - a[1]) % 200 != 1 for a, b in pairwise(origins))
        assert breaks <= block_count(clean["clip0"].time_s, CONFIG.block_s)  # between segments, never within one


@pytest.mark.parametrize("protocol", ["conflict", "time_shift"])
def test_synchrony_is_recomputed_from_the_changed_mouth_and_sound(protocol):
    clean = clips([300, 250])
    for name, result in run(protocol, 0.7, clean).items():
        now = result.clip
        opening, level = (now.quality[:, NAMES.index(n)] for n in ("mouth_opening", "sound_level"))
        for cue, expected in synchrony(opening, level, now.time_s, now.face_found & now.audio_present).items():
            np.testing.assert_allclose(now.quality[:, NAMES.index(cue)], expected, atol=1e-6)
        column = NAMES.index("synchrony")
        assert np.abs(now.quality[:, column] - clean[name].quality[:, column]).max() > 0.05


def test_a_synchrony_computed_in_another_way_is_unchanged():
    clean = clips([300, 250])
    for one in clean.values():
        one.quality[:, NAMES.index("synchrony")] = 0.5
    for result in run("conflict", 0.7, clean).values():
        assert (result.clip.quality[:, NAMES.index("synchrony")] == 0.5).all()


def test_clips_without_cues_are_corrupted():
    bare = {
        name: type(one)(**{**vars(one), "quality": np.empty((len(one), 0), np.float32), "quality_names": ()})
        for name, one in clips([100, 100]).items()
    }
    for protocol in ON_FEATURES:
        assert truth(run(protocol, 0.5, bare)).any()


@FEW
@given(st.integers(2, 200), st.integers(-250, 250))
def test_a_late_sound_is_that_of_earlier_steps_and_repeats_at_the_edges(steps, shift):
    clean = {"clip0": clip(0, steps)}
    result = run("time_shift", shift / RATE_HZ, clean)["clip0"]
    rows = np.clip(np.arange(steps) - shift, 0, steps - 1)
    np.testing.assert_array_equal(result.clip.audio, clean["clip0"].audio[rows])
    np.testing.assert_array_equal(result.clip.audio_present, clean["clip0"].audio_present[rows])
    np.testing.assert_array_equal(result.clip.visual, clean["clip0"].visual)
    np.testing.assert_array_equal(result.clip.face_found, clean["clip0"].face_found)
    assert result.truth[:, 0].all() == (shift != 0)
    assert not result.truth[:, 1].any()


def test_the_cues_of_late_sound_are_late_and_those_of_the_face_are_not():
    clean = clip(0, 60)
    shifted, rows = run("time_shift", 7 / RATE_HZ, {"clip0": clean})["clip0"].clip, np.clip(np.arange(60) - 7, 0, 59)
    moved = {name for name in clean.quality_names if OF.get(name) == "audio"}
    assert moved
    assert moved < {*clean.quality_names}
    for column, name in enumerate(clean.quality_names):
        if name not in ("synchrony", "synchrony_lag"):  # of both, computed again
            expected = clean.quality[rows if name in moved else np.arange(60), column]
            np.testing.assert_array_equal(shifted.quality[:, column], expected, err_msg=name)
            assert name not in moved or (np.diff(clean.quality[:, column]) != 0).any(), name


def test_a_shift_is_in_seconds_at_a_variable_frame_rate():
    clean = clip(0, 4)
    uneven = type(clean)(**{**vars(clean), "time_s": np.array([0.0, 0.1, 0.5, 0.6])})
    result = run("time_shift", 0.1, {"clip0": uneven})["clip0"]
    np.testing.assert_array_equal(result.clip.audio, uneven.audio[[0, 0, 2, 2]])  # at -0.1, 0.0, 0.4 and 0.5 s


def test_noise_has_the_requested_deviation_in_units_of_each_feature():
    clean = clips([4000, 4000], observed=1.0)
    uncorrelated = CONFIG.model_copy(update={"noise_reach": 0.3})  # steps are nearly independent, so moments converge
    for name, result in run("feature_noise", 0.8, clean, uncorrelated).items():
        for modality, wrong in zip(MODALITIES, result.truth.T, strict=True):
            added = (getattr(result.clip, modality) - getattr(clean[name], modality))[wrong]
            np.testing.assert_allclose(added.std(axis=0), CONFIG.noise_sd * SCALE[modality], rtol=0.1)
            np.testing.assert_allclose(added.mean(axis=0) / SCALE[modality], 0, atol=0.15)
        np.testing.assert_array_equal(result.clip.quality, clean[name].quality)


def test_another_seed_corrupts_other_steps():
    clean = clips([400, 400])
    other = CONFIG.model_copy(update={"seed": 1})
    for protocol in SHARES:
        assert (truth(run(protocol, 0.5, clean)) != truth(run(protocol, 0.5, clean, other))).any()


@pytest.mark.parametrize("others", [0, 1])
def test_without_another_clip_that_has_the_modality_a_conflict_takes_another_time_of_the_same(others):
    clean = clips([400] * (1 + others), observed=1.0)
    for silent in list(clean.values())[1:]:
        silent.audio_present[:] = False
    result = run("conflict", 0.9, clean)["clip0"]
    rows = {clean["clip0"].audio[i].tobytes(): i for i in range(400)}
    wrong = np.flatnonzero(result.truth[:, 0])
    assert len(wrong) > 100
    origins = np.array([rows[result.clip.audio[step].tobytes()] for step in wrong])
    assert ((origins - wrong) % 400 >= 100).all()
    assert ((origins - wrong) % 400 <= 300).all()


def test_a_corpus_of_features_keeps_exactly_the_protocols_that_change_features():
    kept = CONFIG.of_features()
    assert set(kept.levels) == {name for name in CONFIG.levels if name not in SIGNAL} == set(ON_FEATURES)
    assert all(kept.levels[name] == CONFIG.levels[name] for name in kept.levels)
    assert not kept.signal_conditions()
    assert CONFIG.signal_conditions()


def test_an_empty_clip_stays_empty():
    clean = {**clips([50, 50]), "empty": clip(9, 0)}
    for protocol in ON_FEATURES:
        assert len(run(protocol, 0.5, clean)["empty"].clip) == 0


def test_conditions_start_with_the_clean_partition_and_every_curve_contains_0():
    config = RobustnessConfig(levels={"conflict": [0.5, 0.1], "time_shift": [-1, 2], "frame_drop": []})
    assert config.conditions() == [
        CLEAN, ("conflict", 0), ("conflict", 0.1), ("conflict", 0.5),
        ("time_shift", -1), ("time_shift", 0), ("time_shift", 2),
    ]  # fmt: skip


def test_the_default_runs_every_protocol_at_the_levels_of_the_literature():
    levels = RobustnessConfig().levels
    assert set(levels) == set(PROTOCOLS)
    assert {0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0} <= set(levels["missing_audio"]) == set(levels["missing_video"])
    assert {sign * shift for sign in (-1, 1) for shift in (0.25, 0.5, 1, 2, 4, 8)} | {0} == set(levels["time_shift"])


@pytest.mark.parametrize(
    ("levels", "message"),
    [({"conflict": [1.5]}, "shares"), ({"missing_audio": [-0.1]}, "shares"), ({"noise": [0.1]}, "feature_noise"),
     ({"time_shift": [float("nan")]}, "finite")],
)  # fmt: skip
def test_levels_out_of_range_are_refused(levels, message):
    with pytest.raises(ValueError, match=message):
        RobustnessConfig(levels=levels)
