"""The zero-shot model: where expressions lie, what a voice adds, and what absence and silence do."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfiltfilt
from sklearn.metrics import roc_auc_score
from zero_shot_clips import CUES, MODEL, RATE, clip, evidence, speech, spoken, with_face

from iaca.encoders.visual import EXPRESSIONS
from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.inference.config import NAMED
from iaca.inference.zero_shot import CLASSES, ZeroShot, durations, joined, two_sided
from iaca.training.predict import prediction_table
from shared import SHARED, needs_shared

ACTED = SHARED / "reference/ravdess_dev"
HIGH, LOW = {"03", "05", "06", "08"}, {"01", "02", "04"}
"""Codes of emotions with high and with low arousal, as the README there has them."""
STEPS = np.arange(100)
QUADRANTS = {"happy": (1, 1), "angry": (-1, 1), "fear": (-1, 1), "disgust": (-1, 1), "sad": (-1, -1)}


def middle(made, column: int) -> float:
    return float(MODEL.predict(made).prediction[50, column])


def test_the_classes_are_those_of_the_encoder() -> None:
    assert CLASSES == EXPRESSIONS


@pytest.mark.parametrize("expression", QUADRANTS)
def test_an_expression_lands_in_its_quadrant(expression: str) -> None:
    said = MODEL.predict(clip(expression, sound=False)).prediction
    assert (np.sign(said) == QUADRANTS[expression]).all()


def test_expressions_keep_their_order() -> None:
    valence, arousal = ({name: middle(clip(name, sound=False), i) for name in CLASSES} for i in range(2))
    assert sorted(valence, key=valence.__getitem__) == [
        "disgust", "sad", "angry", "fear", "surprise", "neutral", "happy",
    ]  # fmt: skip
    assert min(arousal["fear"], arousal["surprise"]) > 0.6
    assert arousal["sad"] < -0.25 < 0.25 > abs(arousal["neutral"])
    assert max(abs(valence["neutral"]), abs(arousal["neutral"])) < 0.01


def test_an_undecided_face_lies_between_its_expressions() -> None:
    ends = [middle(clip(name, sound=False), 0) for name in ("happy", "sad")]
    between = middle(clip({"happy": 0.5, "sad": 0.5}, sound=False), 0)
    assert between == pytest.approx(sum(ends) / 2, abs=0.02)


@pytest.mark.parametrize(("name", "low", "high"), [
    ("alpha_ratio", -14.0, -8.0), ("hammarberg_index", 26.0, 19.0), ("pitch_median", 0.4, 1.4),
])  # fmt: skip
def test_more_vocal_effort_raises_arousal_and_leaves_valence(name: str, low: float, high: float) -> None:
    moved = clip(voice={name: np.where(STEPS < 50, low, high)})
    said = MODEL.predict(moved).prediction
    assert said[75:90, 1].min() > said[10:25, 1].max() + 0.1
    np.testing.assert_allclose(said[:, 0], MODEL.predict(clip()).prediction[:, 0], atol=1e-6)
    heard, seen, _ = MODEL.readings(moved)
    assert not heard[:, 0].any()  # a voice has nothing to say about valence
    np.testing.assert_array_equal(said[:, 0], seen[:, 0].astype(np.float32))


def test_effort_counts_from_beginning_to_end_and_its_level_in_a_recording_does_not() -> None:
    effort = {"alpha_ratio": -3.0, "hammarberg_index": 14.0, "pitch_median": 1.5}
    shouted = MODEL.predict(clip(face=False, voice=effort)).prediction[:, 1]
    assert shouted[5:95].min() > 0.75
    louder = MODEL.predict(clip(face=False, voice=effort | {"level_db_mean": 30.0})).prediction[:, 1]
    np.testing.assert_array_equal(shouted, louder)


def test_a_long_clip_is_centred_in_part_and_a_short_one_hardly() -> None:
    short, long = (
        middle(clip(face=False, voice={"pitch_median": 2.0}, steps=steps, rate=5.0), 1) for steps in (60, 3000)
    )
    assert short > long + 0.1 > 0.35


@pytest.mark.parametrize("poor", [{"treble": -45.0}, {"snr_estimate": 5.0}])
def test_spectral_tilt_counts_as_far_as_the_channel_carries_it_and_pitch_does_throughout(poor: dict) -> None:
    cues = {"snr_estimate": 8.0} | {name: value for name, value in poor.items() if name in CUES}
    voice = {name: value for name, value in poor.items() if name not in CUES}
    tilt, pitch = {"alpha_ratio": 0.0}, {"pitch_median": 1.6}
    good = middle(clip(face=False, voice=tilt), 1)
    assert good > 0.6
    assert abs(middle(clip(face=False, voice=tilt | voice, cues=cues), 1)) < 0.05 * good
    assert middle(clip(face=False, voice=pitch | voice, cues=cues), 1) > 0.1
    assert evidence(clip(face=False, voice=voice, cues=cues))[50] < evidence(clip(face=False))[50]


def test_readings_that_agree_strengthen_each_other_and_a_middling_one_changes_nothing() -> None:
    aroused = {"pitch_median": 1.8}
    alone = middle(clip(face=False, voice=aroused), 1)
    assert middle(clip("fear", aroused), 1) > max(alone, middle(clip("fear"), 1))
    assert middle(clip("sad", aroused), 1) < alone
    assert middle(clip("fear"), 1) == pytest.approx(middle(clip("fear", sound=False), 1), abs=0.01)
    ends = np.array([1.0, -1.0, 1.0, 0.3])
    np.testing.assert_allclose(joined(ends, np.array([-1.0, -1.0, 1.0, 0.0])), [0, -1, 1, 0.3])


def test_silence_is_no_calm_voice() -> None:
    talking = np.where((STEPS // 10) % 3 < 2, 1.0, 0.0)
    low = {"alpha_ratio": np.where(talking > 0, -11.0, -40.0), "voiced_share": 0.6 * talking}
    paused = MODEL.predict(clip("fear", low, {"voice_activity": talking, "snr_estimate": 25.0 * talking}))
    np.testing.assert_allclose(paused.prediction[20:80, 1], middle(clip("fear"), 1), atol=0.02)
    silent = clip(face=False, cues={"voice_activity": 0.0})
    assert (MODEL.predict(silent).prediction == 0).all()
    assert (evidence(silent) == 0).all()
    assert np.isnan(MODEL.predict(silent).inconsistency).all()


def test_without_a_face_the_voice_speaks_alone_and_with_less_evidence() -> None:
    voice = {"pitch_median": np.linspace(0.0, 1.8, 100)}
    clips = [clip("happy", voice, face=face) for face in (True, False)]
    both, alone = (MODEL.predict(one) for one in clips)
    assert (alone.prediction[:, 0] == 0).all()
    assert alone.prediction[85, 1] > 0.1 > -0.1 > alone.prediction[15, 1]
    assert (evidence(clips[1]) < evidence(clips[0])).all()
    np.testing.assert_allclose(alone.gates["modalities"][50], (1, 0), atol=1e-6)
    assert 0.05 < both.gates["modalities"][50, 0] < 0.5


def test_poor_cues_cost_trust_and_unknown_ones_do_not() -> None:
    good, poor = clip("happy"), clip("happy", cues={"face_sharpness": 1.5, "face_size": 20.0})
    assert evidence(poor)[50] < evidence(good)[50]
    assert MODEL.predict(poor).gates["modalities"][50, 0] > MODEL.predict(good).gates["modalities"][50, 0]
    unknown = clip("happy", cues=dict.fromkeys(["face_sharpness", "face_size", "face_contrast"], np.nan))
    np.testing.assert_array_equal(MODEL.predict(unknown).prediction, MODEL.predict(good).prediction)


def test_a_face_that_never_moves_is_taken_for_rest_in_a_long_video_more_than_in_a_short_one() -> None:
    short, long = (middle(clip("sad", steps=steps, rate=5.0, sound=False), 0) for steps in (60, 3000))
    assert short < long < -0.3


def test_the_answer_hangs_on_seconds_and_not_on_frames() -> None:
    slow, fast = (
        MODEL.predict(clip({"happy": moment, "sad": 1 - moment}, steps=len(moment), rate=rate, sound=False)).prediction
        for rate, moment in ((10.0, (np.arange(40) < 20) * 1.0), (50.0, (np.arange(200) < 100) * 1.0))
    )
    np.testing.assert_allclose(slow[5:35:10], fast[25:175:50], atol=0.06)


def test_nothing_is_carried_over_a_gap() -> None:
    there = (STEPS < 20) | (STEPS > 95)
    gone = MODEL.predict(clip("happy", face=there, sound=True, cues={"voice_activity": 0.0})).prediction[:, 0]
    assert gone[10] > 0.6
    assert np.abs(gone[56:59]).max() < 0.05
    long_after = MODEL.predict(clip("happy", face=STEPS < 20, cues={"voice_activity": 0.0})).gates["modalities"]
    assert long_after[90, 0] > 0.95
    jump = replace(clip("happy", face=STEPS < 50, sound=False), time_s=STEPS / 25 + 60.0 * (STEPS >= 50))
    assert np.abs(MODEL.predict(jump).prediction[50:]).max() < 1e-6


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_values_are_bounded_finite_and_the_same_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(0, 60))
    wild = clip(steps=steps, face=rng.random(steps) < 0.5, sound=rng.random(steps) < 0.5)
    wild.visual[:] = rng.normal(0, 30, wild.visual.shape)
    wild.audio[:] = rng.normal(0, 30, wild.audio.shape)
    wild.quality[:] = np.where(rng.random(wild.quality.shape) < 0.2, np.nan, rng.normal(0, 20, wild.quality.shape))
    table, again = (prediction_table("a", wild, MODEL.predict(wild), MODEL.gate_labels) for _ in range(2))
    assert table.equals(again)
    observed = (table["face_found"] | table["audio_present"]).to_numpy(bool)
    said = table.loc[observed, ["valence", "arousal"]].to_numpy()
    assert np.isfinite(said).all()
    assert (np.abs(said) <= 1).all()
    assert table.loc[~observed, ["valence", "arousal"]].isna().all(axis=None)
    gates = table.loc[observed, ["gate_modalities_audio", "gate_modalities_visual"]]
    np.testing.assert_allclose(gates.sum(axis=1), 1, atol=1e-5)
    found = evidence(wild)
    assert ((found >= 0) & (found < 1)).all()
    known = table["inconsistency"].dropna()
    assert known.between(0, 1).all()


def test_inconsistency_is_the_share_of_pairs_that_agree_better() -> None:
    agreement = MODEL.config.agreement
    rng = np.random.default_rng(0)
    a, b = rng.multivariate_normal([0, 0], [[1, agreement.correlation], [agreement.correlation, 1]], 40_000).T
    pairs = agreement.surprise(
        *(x * deviation + agreement.boundary for x, deviation in ((a, agreement.voice), (b, agreement.face)))
    )
    for share in (0.05, 0.5, 0.95):
        assert (agreement.share(pairs) < share).mean() == pytest.approx(share, abs=0.01)


def test_readings_contradict_as_far_as_they_lie_on_opposite_sides_of_one_boundary() -> None:
    agreement = MODEL.config.agreement
    sides = agreement.boundary + np.array([-0.9, -0.3, 0.0, 0.3, 0.7])
    surprise = np.array([[float(agreement.surprise(np.array([v]), np.array([f]))[0]) for f in sides] for v in sides])
    away = np.sign(sides - agreement.boundary)
    np.testing.assert_array_equal(np.sign(surprise.round(9)), -np.outer(away, away))
    assert (np.diff(surprise[0]) > 0).all()  # of a calm voice: the more aroused the face
    assert (np.diff(surprise[-1]) < 0).all()
    shares = agreement.share(np.array([-1.0, -0.3, 0.0, 0.3, 1.0, np.nan]))
    assert (np.diff(shares[:5]) > 0).all()
    np.testing.assert_allclose(shares[[0, 4]], [0, 1], atol=1e-9)
    assert np.isnan(shares[5])


def test_a_channel_that_carries_pitch_alone_lowers_the_boundary_of_the_voice_with_its_reading() -> None:
    """A voice at the boundary by all three descriptors is at the boundary over a telephone, which leaves one."""
    effort = np.arctanh(MODEL.config.agreement.boundary) / 3
    scales = MODEL.config.voice.effort
    at_boundary = {name: scale.usual + effort * scale.unit for name, scale in scales.items()}
    good, narrow = (
        np.nanmedian(MODEL.predict(clip("fear", at_boundary | {"treble": treble})).inconsistency)
        for treble in (-18.0, -45.0)
    )
    assert narrow == pytest.approx(good, abs=0.03)


def test_the_kernel_is_the_sum_it_claims_to_be() -> None:
    rng = np.random.default_rng(0)
    times, values = np.cumsum(rng.random(30)), rng.normal(size=(30, 3))
    weights = np.exp(-np.abs(times[:, None] - times) / 0.4)
    np.testing.assert_allclose(two_sided(values, times, 0.4), weights @ values)
    np.testing.assert_allclose(durations(np.array([0.0, 0.1, 0.2, 9.0]), 0.2), [0.1, 0.1, 0.15, 0.2])


def test_it_is_loaded_by_name_says_what_it_is_and_takes_numbers_of_ones_own(tmp_path: Path) -> None:
    origin = Predictor.load("zero_shot").origin()
    assert origin["kind"] == "zero-shot heuristic"
    assert "HEURISTIC" in origin["caveat"]
    rules = json.loads(NAMED["zero_shot"].read_text())
    rules["face"]["coordinates"]["happy"] = [-1, 0]
    own = tmp_path / "own.json"
    own.write_text(json.dumps(rules))
    assert Predictor.load(own).origin()["preset"] == "own"
    assert ZeroShot.read(own).predict(clip("happy")).prediction[50, 0] < -0.9


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "not a JSON file"), ("{}", "not the rules"), (None, "there is no model")]
)
def test_a_faulty_file_of_rules_is_named(tmp_path: Path, text: str | None, problem: str) -> None:
    own = tmp_path / "own.json"
    if text is not None:
        own.write_text(text)
    with pytest.raises(InputError, match=rf"own\.json: .*{problem}"):
        Predictor.load(own)


def mean_arousal(samples: np.ndarray) -> float:
    return float(MODEL.predict(spoken(samples)).prediction[:, 1].mean())


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.floats(-0.9, 0.9), st.floats(90, 260), st.integers(0, 1000), st.sampled_from([-20.0, -6.0, 6.0]))
def test_no_gain_changes_anything(arousal: float, pitch_hz: float, seed: int, gain_db: float) -> None:
    voice = speech(arousal, pitch_hz, 2.5, seed)
    given_, changed = (spoken(voice * gain) for gain in (1.0, 10 ** (gain_db / 20)))
    np.testing.assert_allclose(MODEL.predict(changed).prediction, MODEL.predict(given_).prediction, atol=1e-3)
    np.testing.assert_allclose(evidence(changed), evidence(given_), atol=1e-3)


@pytest.mark.parametrize("pitch_hz", [110.0, 170.0, 210.0])
def test_a_clip_that_is_shouted_from_beginning_to_end_is_high(pitch_hz: float) -> None:
    shouted, murmured = (spoken(speech(*how, seconds=6.0)) for how in ((0.9, 1.5 * pitch_hz), (-0.9, pitch_hz)))
    heard = evidence(shouted) > 0.3
    assert heard.mean() > 0.4
    assert MODEL.predict(shouted).prediction[heard, 1].mean() > 0.4
    assert MODEL.predict(murmured).prediction[evidence(murmured) > 0.3, 1].mean() < 0


@pytest.mark.parametrize("level", [0.0, 1e-3, 0.1])
def test_a_sound_without_a_voice_is_no_evidence(level: float) -> None:
    sound = spoken(np.random.default_rng(0).normal(0, level, 3 * RATE))
    assert evidence(sound).max() < 0.02
    assert np.abs(MODEL.predict(sound).prediction).max() < 0.05


def test_voice_and_face_disagree_where_one_is_aroused_and_the_other_is_not() -> None:
    aroused, calm = {"pitch_median": 1.8}, {"pitch_median": 0.0}
    mean = {
        (face, pitch): float(np.nanmean(MODEL.predict(clip(face, voice)).inconsistency[20:80]))
        for face in ("fear", "sad")
        for pitch, voice in (("high", aroused), ("low", calm))
    }
    assert min(mean["fear", "low"], mean["sad", "high"]) > 0.9
    assert max(mean["fear", "high"], mean["sad", "low"]) < 0.4
    for alone in (clip("fear", sound=False), clip(face=False, voice=aroused)):
        assert np.isnan(MODEL.predict(alone).inconsistency).all()


def telephone(samples: np.ndarray) -> np.ndarray:
    return sosfiltfilt(butter(4, [300, 3400], "bandpass", fs=RATE, output="sos"), samples)


def noisy(samples: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1, len(samples))
    return samples + noise * np.sqrt(np.mean(samples**2) / 10)


CHANNELS = [(np.array, 0.85), (telephone, 0.75), (noisy, 0.75)]
IDS = ["as recorded", "telephone", "noise at 10 dB"]


@pytest.mark.slow
@needs_shared("reference/ravdess_dev")
@pytest.mark.parametrize(("channel", "least"), CHANNELS, ids=IDS)
def test_acted_speech_is_ordered_by_arousal(channel, least: float) -> None:
    files = [path for path in sorted(ACTED.glob("*.flac")) if path.stem[6:8] in HIGH | LOW]
    arousal = [mean_arousal(channel(soundfile.read(path)[0])) for path in files]
    assert roc_auc_score([path.stem[6:8] in HIGH for path in files], arousal) >= least


@needs_shared("reference/ravdess_dev")
def test_the_level_of_acted_speech_changes_nothing() -> None:
    samples = soundfile.read(ACTED / "03-01-02-02-01-01-05.flac")[0]  # the quietest
    assert mean_arousal(0.1 * samples) == pytest.approx(mean_arousal(samples), abs=1e-3)


@pytest.mark.slow
@needs_shared("reference/ravdess_dev")
@pytest.mark.parametrize(("channel", "least"), [(np.array, 0.84), (telephone, 0.79), (noisy, 0.79)], ids=IDS)
def test_faces_that_contradict_acted_speech_are_found(channel, least: float) -> None:
    found, apart = [], []
    for path in sorted(ACTED.glob("*.flac")):
        if path.stem[6:8] not in HIGH | LOW:
            continue
        voice = spoken(channel(soundfile.read(path)[0]))
        for expression, aroused in {"happy": True, "angry": True, "sad": False, "neutral": False}.items():
            found.append(float(np.nanmean(MODEL.predict(with_face(voice, expression)).inconsistency)))
            apart.append(aroused != (path.stem[6:8] in HIGH))
    assert roc_auc_score(apart, found) >= least
