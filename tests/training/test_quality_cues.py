"""Quality cues on their way to the model: by name, normalised, unknown where nothing is there, and corrupted alike."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from synthetic_clips import CUES, annotated, annotated_clips, blind

from iaca.encoders.cues import NAMES, TABLE
from iaca.encoders.embedding import AnnotatedClip, embeddings_of
from iaca.training.config import CorruptionConfig
from iaca.training.data import DROP, FLOOR, CueSimulation, corrupt
from iaca.training.sample import (
    Normalisation,
    Sample,
    Window,
    WindowSpec,
    cut,
    cut_sample,
    modalities_of,
    read_cues,
    shared_cues,
)

ANNOTATED = annotated_clips(4, steps=70)
CLIPS = embeddings_of(ANNOTATED)
NORMALISATION = Normalisation.fit(CLIPS, CUES)
SPEC = WindowSpec(70, NORMALISATION, CUES)
SIMULATION = CueSimulation.of(CUES, NORMALISATION)


def sample_of(clip: AnnotatedClip) -> Sample:
    return cut_sample(clip, Window("", 0, 0), SPEC)


def both_present(sample: Sample) -> np.ndarray:
    return sample.present.all(axis=1)


WINDOW, OTHER = (sample_of(ANNOTATED[name]) for name in ("clip0", "clip1"))
FACE, VOICE, BOTH = range(3)  # columns


def corrupted(
    kind: str, seed: int, window: Sample = WINDOW, simulation: CueSimulation = SIMULATION, other: Sample = OTHER
) -> Sample:
    config = CorruptionConfig(share=1.0, kinds=(kind,))
    return corrupt(window, lambda: other, config, np.random.default_rng(seed), simulation)


def of(modality: str, kind: str, **changes: object) -> tuple[Sample, np.ndarray]:
    """A window of which a part of one modality is corrupted, and where that is (t,)."""
    for seed in range(200):
        sample = corrupted(kind, seed, **changes)
        hurt = sample.corrupted[:, ("audio", "visual").index(modality)]
        if 5 < hurt.sum() < 50:
            return sample, hurt
    raise AssertionError("no seed corrupts that modality")


def test_cues_are_taken_by_name_and_known_where_their_modality_is() -> None:
    one = CLIPS["clip0"]
    cues = read_cues(one, ("synchrony", "no_such_cue", "face_score"))
    assert cues.shape == (70, 3)
    assert np.array_equal(np.isfinite(cues[:, 0]), one.audio_present & one.face_found)
    assert np.isnan(cues[:, 1]).all()
    assert np.array_equal(np.isfinite(cues[:, 2]), one.face_found)
    np.testing.assert_array_equal(cues[one.face_found, 2], one.quality[one.face_found, FACE])


def test_a_cue_of_an_unknown_name_speaks_of_both_modalities() -> None:
    assert modalities_of(("face_score", "snr_estimate", "synchrony", "anything")) == ("visual", "audio", "both", "both")


def test_the_cues_of_a_corpus_are_those_that_every_clip_has() -> None:
    lacks = replace(
        CLIPS["clip1"], quality=CLIPS["clip1"].quality[:, [2, 0]], quality_names=("synchrony", "face_score")
    )
    assert shared_cues({"a": CLIPS["clip0"], "b": lacks}) == ("face_score", "synchrony")
    assert shared_cues({}) == ()


def test_cues_are_normalised_by_what_is_known_of_them() -> None:
    rows = np.concatenate([c.quality[c.face_found, FACE] for c in CLIPS.values()])
    assert NORMALISATION.quality_mean[FACE] == pytest.approx(rows.mean(), rel=1e-5)
    assert NORMALISATION.quality_std[FACE] == pytest.approx(rows.std(), rel=1e-5)
    assert NORMALISATION.quality_mean.shape == NORMALISATION.quality_std.shape == (3,)
    infinite = {}
    for name, c in CLIPS.items():
        quality = c.quality.copy()
        quality[~c.face_found, FACE] = np.inf
        infinite[name] = replace(c, quality=quality)
    np.testing.assert_array_equal(Normalisation.fit(infinite, CUES).quality_mean, NORMALISATION.quality_mean)


def test_a_window_carries_cues_in_the_order_of_the_model_and_zero_where_unknown() -> None:
    some = ("snr_estimate", "face_score")
    sample = cut(CLIPS["clip0"], 40, WindowSpec(60, Normalisation.fit(CLIPS, some), some))
    assert sample.quality.shape == (60, 2)
    assert sample.quality.dtype == np.float32
    assert not sample.quality[~sample.present[:, 0], 0].any()
    assert not sample.quality[~sample.present[:, 1], 1].any()
    assert sample.quality[sample.present[:, 0], 0].all()
    assert np.abs(sample.quality).max() < 6
    unknown = replace(CLIPS["clip0"], quality=np.full((70, 3), np.nan, np.float32))
    assert not cut(unknown, 0, SPEC).quality.any()


@pytest.mark.parametrize("kind", ["absent", "zeros", "noise", "other"])
def test_only_corrupted_steps_have_other_cues_and_the_input_is_left_alone(kind: str) -> None:
    before = {f.name: getattr(WINDOW, f.name).copy() for f in fields(Sample)}
    for modality, column, foreign in (("audio", VOICE, FACE), ("visual", FACE, VOICE)):
        sample, hurt = of(modality, kind)
        first, last = np.flatnonzero(hurt)[[0, -1]]
        outside = np.ones(70, bool)
        outside[first : last + 1] = False
        if kind != "other":  # whose segment may begin and end where the other clip shows nothing
            np.testing.assert_array_equal(sample.quality[outside], WINDOW.quality[outside])
        np.testing.assert_array_equal(sample.quality[:, foreign], WINDOW.quality[:, foreign])
        assert not np.array_equal(sample.quality[hurt, column], WINDOW.quality[hurt, column])
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(WINDOW, name), array)


def test_without_corruption_not_a_bit_changes() -> None:
    for seed in range(50):
        never = CorruptionConfig(share=0.0)
        assert corrupt(WINDOW, lambda: OTHER, never, np.random.default_rng(seed), SIMULATION) is WINDOW


def test_what_is_gone_has_no_cues() -> None:
    sample, gone = of("visual", "absent")
    assert not sample.quality[gone][:, [FACE, BOTH]].any()


def test_the_cues_of_a_muted_modality_fall_to_the_floor() -> None:
    sample, hurt = of("audio", "zeros")
    assert (sample.quality[hurt, VOICE] == FLOOR).all()


def test_noise_lowers_cues_by_its_scale() -> None:
    drops = []
    for seed in range(200):
        sample = corrupted("noise", seed)
        hurt = sample.corrupted[:, 0]
        drop = (WINDOW.quality - sample.quality)[hurt, VOICE]
        if hurt.any():
            np.testing.assert_allclose(drop, drop[0], rtol=1e-4)  # smooth: no roughness that gives it away
            drops.append(drop[0])
    assert 0.5 * DROP * 1.0 <= min(drops) < DROP
    assert 2 * DROP < max(drops) <= 1.5 * DROP * 3.0 * (1 + 1e-4)


PLACE = ("face_size", "face_brightness", "head_yaw", "head_pitch", "head_roll", "mouth_opening")
"""What is where, and in which light: neither blur nor a dead signal has a direction for these."""
CLEAR_FACE = ("face_score", "face_sharpness", "face_contrast", "mouth_motion")
CLEAR_VOICE = ("sound_level", "snr_estimate", "voice_activity")


@pytest.mark.parametrize(
    ("modality", "kind", "fall", "stay", "rise"),
    [
        ("visual", "noise", CLEAR_FACE, PLACE, ()),
        ("visual", "zeros", CLEAR_FACE, PLACE, ()),
        ("audio", "noise", CLEAR_VOICE, ("loudness",), ("clipping",)),
        ("audio", "zeros", (*CLEAR_VOICE, "loudness"), ("clipping",), ()),
    ],
)
def test_corruption_moves_what_measures_clarity_and_not_what_says_where_a_face_is(
    modality: str, kind: str, fall: tuple[str, ...], stay: tuple[str, ...], rise: tuple[str, ...]
) -> None:
    zeros, ones = np.zeros(len(NAMES), np.float32), np.ones(len(NAMES), np.float32)
    window, other = (replace(w, quality=np.full((70, len(NAMES)), 0.25, np.float32)) for w in (WINDOW, OTHER))
    every = CueSimulation.of(NAMES, replace(NORMALISATION, quality_mean=zeros, quality_std=ones))
    sample, hurt = of(modality, kind, window=window, simulation=every, other=other)
    found = dict(zip(NAMES, sample.quality[hurt].T, strict=True))
    start = 0.25 if kind == "noise" else 0.0  # a dead signal leaves the others at their mean
    for names, sign in ((fall, -1), (stay, 0), (rise, 1)):
        for name in names:
            assert set(np.sign(np.round(found[name] - start, 6))) == {sign}, name
    assert {*fall, *stay, *rise} == {name for name in NAMES if TABLE[name].modality == modality}


def test_another_clips_segment_comes_with_its_cues() -> None:
    sample, hurt = of("audio", "other")
    np.testing.assert_array_equal(sample.quality[hurt, VOICE], OTHER.quality[hurt, VOICE])


@pytest.mark.parametrize("kind", ["zeros", "noise", "other"])
def test_the_synchrony_of_corrupted_steps_is_that_of_unrelated_streams(kind: str) -> None:
    """No agreement on average, with the fluctuation of another clip: neither flat nor rougher than the real thing."""
    sample, hurt = of("audio", kind)
    known = hurt & both_present(sample)
    raw = sample.quality[:, BOTH] * NORMALISATION.quality_std[BOTH] + NORMALISATION.quality_mean[BOTH]
    there = both_present(OTHER)
    other = OTHER.quality[:, BOTH] * NORMALISATION.quality_std[BOTH]
    expected = np.where(there, other - other[there].mean(), 0.0)
    np.testing.assert_allclose(raw[known], expected[known], atol=1e-5)
    assert not sample.quality[~both_present(sample), BOTH].any()


def test_without_another_clip_to_look_at_there_is_no_agreement() -> None:
    seven = annotated(7, 70)
    blinded = sample_of(replace(seven, embedding=blind(seven.embedding, visual=True)))
    config = CorruptionConfig(share=1.0, whole=1.0, kinds=("zeros",))
    sample = corrupt(WINDOW, lambda: blinded, config, np.random.default_rng(0), SIMULATION)
    known = sample.corrupted.any(axis=1) & both_present(sample)
    assert (sample.quality[known, BOTH] == SIMULATION.no_agreement[BOTH]).all()


def test_a_cue_changes_in_its_direction_and_an_independent_one_stays() -> None:
    """Clipping rises with noise, yaw has nothing to do with it, and the lag of what does not agree is unknown."""
    names = ("clipping", "head_yaw", "face_contrast", "synchrony_lag")
    windows = [
        replace(w, quality=np.random.default_rng(i).standard_normal((70, 4)).astype(np.float32))
        for i, w in enumerate((WINDOW, OTHER))
    ]
    zero, one = np.zeros(4, np.float32), np.ones(4, np.float32)
    simulation = CueSimulation.of(names, replace(NORMALISATION, quality_mean=zero, quality_std=one))
    before = windows[0].quality

    def corrupt_quality(modality: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
        sample, hurt = of(modality, kind, window=windows[0], other=windows[1], simulation=simulation)
        seen = hurt & both_present(sample)
        return sample.quality[seen], before[seen]

    after, was = corrupt_quality("audio", "noise")
    assert (after[:, 0] > was[:, 0]).all()
    np.testing.assert_array_equal(after[:, 1:3], was[:, 1:3])
    after, was = corrupt_quality("visual", "noise")
    np.testing.assert_array_equal(after[:, 1], was[:, 1])
    assert (after[:, 2] < was[:, 2]).all()
    assert not after[:, 3].any()
    after, _ = corrupt_quality("visual", "zeros")
    assert not after[:, 1].any()
    assert (after[:, 2] == FLOOR).all()


def test_a_cue_that_hardly_moved_in_training_does_not_drown_the_others_where_it_does() -> None:
    rare = {}
    for name, c in CLIPS.items():
        quality = np.zeros((70, 1), np.float32)
        quality[:1] = 0.001
        rare[name] = replace(c, quality=quality, quality_names=("clipping",))
    fitted = Normalisation.fit(rare, ("clipping",))
    assert np.abs(fitted.apply_cues(np.array([[0.05]], np.float32))).max() < 6
