"""A summary is plain JSON and warns of what its reader should know."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.inference.config import InferenceConfig
from iaca.inference.predictor import media_facts
from iaca.inference.summary import (
    WORD_COLUMNS,
    WORDS,
    as_drawn,
    caption,
    summarise,
    summarise_people,
    with_words,
    words,
)
from iaca.media import AudioTrack, MediaInfo


@pytest.fixture
def table():
    time_s = np.arange(200) / 25
    return pd.DataFrame(
        {
            "frame": np.arange(200),
            "time_s": time_s,
            "valence": np.where(time_s == 4.0, 0.9, 0.1),
            "arousal": -0.2,
            "face_found": True,
            "audio_present": True,
            "gate_modalities_audio": 0.25,
            "gate_modalities_visual": 0.75,
        }
    )


def warnings(table, **facts):
    return summarise(table, {"has_audio": True, **facts})["warnings"]


def test_means_peaks_coverage_and_gates(table):
    table.loc[:49, "face_found"] = False
    summary = json.loads(json.dumps(summarise(table, {"duration_s": np.float32(8), "codec": "h264"}), allow_nan=False))
    assert summary["frames"] == 200
    assert summary["duration_s"] == 8
    assert summary["valence"]["maximum"] == {"value": 0.9, "time_s": 4.0}
    assert summary["arousal"]["mean"] == pytest.approx(-0.2)
    seen = table.loc[table["face_found"], "valence"]
    assert summary["valence"]["std"] == pytest.approx(float(np.std(seen)), rel=1e-6)
    assert summary["valence"]["minimum"]["value"] == pytest.approx(float(seen.min()))
    assert summary["coverage"] == {"predicted": 1.0, "face": 0.75, "audio": 1.0}
    assert summary["mean_gates"] == {"modalities_audio": 0.25, "modalities_visual": 0.75}
    assert summary["media"]["codec"] == "h264"


def test_the_share_that_is_predicted_has_both_dimensions(table):
    table.loc[:19, "valence"] = np.nan
    table.loc[10:59, "arousal"] = np.nan
    table.loc[150:, "audio_present"] = False
    assert summarise(table, {})["coverage"] == {"predicted": 0.7, "face": 1.0, "audio": 0.75}


ZERO_SHOT = {"valence": ("visual",), "arousal": ("audio", "visual")}
SOUND = "the values come from the sound alone, be it a voice, music or noise"


def test_means_are_over_the_frames_with_a_face_and_their_share_is_told(table):
    table = table.assign(face_found=table["time_s"] < 2)  # 50 of 200 frames
    table["arousal"] = np.where(table["face_found"], 0.6, -0.2)
    table["valence"] = np.where(table["face_found"], 0.4, 0.0)
    for sources in (None, ZERO_SHOT):
        summary = summarise(table, {"has_audio": True}, sources=sources)
        assert summary["valence"]["mean"] == pytest.approx(0.4)
        assert summary["arousal"]["mean"] == pytest.approx(0.6)
        assert summary["valence"]["mean_all"] == pytest.approx(0.1)
        assert summary["arousal"]["mean_all"] == pytest.approx(0.0)
        assert summary["valence"]["observed"] == summary["arousal"]["observed"] == 0.25
        assert summary["valence"]["minimum"]["value"] == pytest.approx(0.4)
        (person,) = summarise_people([table], ["a.csv"], sources)
        assert person["valence"] == summary["valence"]
    assert "mean and peaks of valence are over 25 % of the frames: those with a face" in summary["warnings"]
    alone = summarise(table, {}, sources=dict.fromkeys(ZERO_SHOT, ("audio",)))  # reads no face
    assert alone["arousal"]["mean"] == pytest.approx(0.0)
    assert alone["arousal"]["observed"] == 1.0


def test_without_a_face_nothing_is_said_of_what_is_read_from_faces_alone(table):
    table = table.assign(face_found=False, valence=0.0, arousal=np.linspace(-0.2, 0.2, 200))
    summary = summarise(table, {"has_audio": True}, sources=ZERO_SHOT)
    assert summary["valence"] == {
        "mean": None, "std": None, "maximum": None, "minimum": None, "observed": 0.0, "mean_all": 0.0,
    }  # fmt: skip
    assert summary["arousal"]["observed"] == 1.0
    unread = "valence was not read: this model reads it from the face, and there was none"
    assert summary["warnings"] == ["no face in any frame", unread, SOUND]
    music = summarise(table.assign(arousal=0.0), {"has_audio": True}, sources=ZERO_SHOT)
    assert "arousal is exactly 0 throughout: the model found nothing to read it from" in music["warnings"]
    network = summarise(table, {"has_audio": True}, sources=dict.fromkeys(ZERO_SHOT, ("audio", "visual")))
    assert network["valence"]["mean"] == 0.0
    assert SOUND in network["warnings"]


def test_what_was_not_read_is_not_drawn(table):
    table = table.assign(face_found=table["time_s"] < 2, audio_present=table["time_s"] < 6)
    drawn = as_drawn(table, ZERO_SHOT)
    assert drawn["valence"].notna().tolist() == (table["time_s"] < 2).tolist()
    assert drawn["arousal"].notna().tolist() == (table["time_s"] < 6).tolist()
    pd.testing.assert_frame_equal(as_drawn(table, {}), table)


def test_a_sound_video_has_no_warning(table):
    assert warnings(table, audio_end_s=8.0, loudness_dbfs=-20.0) == []


@pytest.mark.parametrize(
    ("share", "warning"),
    [(0.0, "no face in any frame"), (0.3, "face in under half the frames (30 %)")],
)
def test_missing_faces_are_told(table, share, warning):
    assert warnings(table.assign(face_found=np.arange(200) < 200 * share)) == [warning]


def loudness(samples):
    info = MediaInfo(Path("a.mp4"), 2.0, True, True, 64, 48, 0, 25.0, 50, "h264", "aac", 16_000, 1, 0.0, 0.0)
    track = AudioTrack(samples.astype(np.float32), 16_000, ((0.0, len(samples) / 16_000),))
    return media_facts(info, track)["loudness_dbfs"]


def test_an_offset_of_the_recorders_input_is_not_heard(table):
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(90 * 16_000 + 4000) / 16_000)  # longer than what is read at a time
    level = 20 * np.log10(0.1 / np.sqrt(2))
    for offset in (0.0, 0.3, -0.5):
        assert loudness(tone + offset) == pytest.approx(level, abs=0.01)
        muted = loudness(np.full(40_000, offset))
        assert warnings(table, loudness_dbfs=muted) == ["the sound is silent: is the track muted?"]
    half = np.concatenate([np.full(16_000, 0.3), np.zeros(16_000)])
    assert warnings(table, loudness_dbfs=loudness(half)) == ["the sound is silent: is the track muted?"]
    assert loudness(np.zeros(0)) is None


def test_missing_sound_is_told_by_its_reason(table):
    silent = table.assign(audio_present=False)
    assert warnings(silent, has_audio=False) == ["no audio stream"]
    assert warnings(silent) == ["no sound in any frame"]


def test_sound_that_ends_early_is_told_in_seconds(table):
    assert warnings(table, audio_end_s=4.04) == ["audio ends 3.96 s before the video"]
    assert warnings(table.assign(audio_present=table["time_s"] < 6)) == ["audio ends 2.00 s before the video"]


def test_sound_that_starts_late_is_told_in_seconds(table):
    assert warnings(table.assign(audio_present=table["time_s"] >= 1.2)) == ["audio starts 1.20 s after the video"]


def test_quiet_sound_is_told(table):
    assert warnings(table, loudness_dbfs=-63.2) == ["sound is very quiet (-63 dBFS)"]


def test_a_warning_about_the_picture_is_passed_on(table):
    assert warnings(table, picture_warning="colour matrix 8 is not supported")[0] == "colour matrix 8 is not supported"
    assert warnings(table, picture_warning="") == warnings(table)


@pytest.mark.parametrize("loudness", [None, -96.3, float("-inf")])
def test_a_track_without_any_sound_is_called_silent(table, loudness):
    """Digital silence has no loudness in dB, and the noise of its encoding hardly any."""
    assert warnings(table, loudness_dbfs=loudness) == ["the sound is silent: is the track muted?"]


def test_frames_without_a_prediction_are_counted(table):
    table.loc[:9, ["valence", "arousal"]] = np.nan
    assert warnings(table) == ["10 of 200 frames have neither face nor sound and no prediction"]


def test_nothing_at_all_is_none_and_not_nan(table):
    nothing = table.assign(valence=np.nan, arousal=np.nan, gate_modalities_audio=np.nan, gate_modalities_visual=np.nan)
    summary = json.loads(json.dumps(summarise(nothing, {}), allow_nan=False))
    assert summary["valence"]["mean"] is None
    assert "neither face nor sound: nothing could be predicted" in summary["warnings"]


def test_rows_may_come_in_any_order(table):
    table = table.assign(face_found=table["time_s"].between(2, 5), audio_present=table["time_s"] >= 3)
    mixed = table.sample(frac=1, random_state=0)
    for facts in ({"has_audio": True}, {"has_audio": True, "duration_s": 8.0}):
        assert summarise(mixed, facts) == summarise(table, facts)
    assert summarise(mixed, {})["duration_s"] == pytest.approx(7.96)
    (person,) = summarise_people([mixed], ["a.csv"])
    assert (person["first_s"], person["last_s"]) == (2, 5)


def test_an_empty_table_is_refused(table):
    with pytest.raises(InputError, match="no predictions"):
        summarise(table.head(0), {})


def test_parameters_refuse_a_typo_and_a_missing_input():
    assert InferenceConfig(input="a.mp4", output="out").overlay
    with pytest.raises(ValueError, match="overlai"):
        InferenceConfig.model_validate({"input": "a.mp4", "output": "out", "overlai": False})
    with pytest.raises(ValueError, match="input"):
        InferenceConfig.model_validate({"input": "", "output": "out"})


def test_intervals_and_inconsistency_are_summed_up_and_people_have_an_entry_each(table):
    assert summarise(table, {})["mean_interval"] == {"valence": None, "arousal": None}
    assert summarise(table, {})["inconsistency"] == {"mean": None, "share_above_0.95": None}
    table["inconsistency"] = np.where(table["time_s"] < 2, 0.2, 1.0)
    table["valence_low"], table["valence_high"] = -0.5, 0.25
    assert summarise(table, {})["mean_interval"] == {"valence": 0.75, "arousal": None}
    assert summarise(table, {})["inconsistency"] == pytest.approx({"mean": 0.8, "share_above_0.95": 0.75})
    later = table.assign(face_found=table["time_s"] >= 6)
    nobody = table.assign(face_found=False)
    people = json.loads(json.dumps(summarise_people([table, later, nobody], ["a", "b", "c"]), allow_nan=False))
    assert [p["person"] for p in people] == [1, 2, 3]
    assert [p["share_in_view"] for p in people] == pytest.approx([1, 0.25, 0])
    assert [(p["first_s"], p["last_s"]) for p in people] == [(0, 7.96), (6, 7.96), (None, None)]
    assert people[1]["file"] == "b"
    assert people[1]["inconsistency"]["mean"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("valence", "arousal", "expected"),
    [
        (-0.5, 0.6, ("unpleasant, active", "angry", 0.0)),
        (0.72, -0.5, ("pleasant, passive", "relaxed", 0.02)),
        (0.75, 0.41, ("pleasant, active", "happy", 0.103)),
        (-0.66, -0.2, ("unpleasant, passive", "miserable", 0.108)),
        (0.1, -0.1, ("neutral", None, None)),
        (None, 0.4, (None, None, None)),
        (0.4, None, (None, None, None)),
    ],
)
def test_a_mean_has_a_quadrant_and_a_nearest_word(
    valence: float | None, arousal: float | None, expected: tuple[object, ...]
) -> None:
    assert tuple(words(valence, arousal).values()) == expected


def test_words_are_of_the_frames_in_which_the_person_was_observed() -> None:
    table = pd.DataFrame(
        {
            "frame": range(4), "time_s": np.arange(4) / 25, "valence": [-0.5, -0.5, 0.9, 0.9],
            "arousal": [0.6, 0.6, -0.9, -0.9], "face_found": [True, True, False, False],
        }
    )  # fmt: skip
    assert summarise(table, {})["words"] == {"quadrant": "unpleasant, active", "nearest": "angry", "distance": 0.0}


def test_every_word_is_nearest_to_its_own_place() -> None:
    for word, place in WORDS.items():
        assert words(*place)["nearest"] == word


def test_words_of_each_frame_are_columns_and_empty_where_nothing_was_read():
    table = pd.DataFrame({"frame": [0, 1, 2], "valence": [-0.5, 0.05, 0.8], "arousal": [0.6, 0.1, 0.5]})
    drawn = table.assign(valence=[-0.5, 0.05, np.nan])
    named = with_words(table, drawn)
    assert list(named.columns) == [*table.columns, *WORD_COLUMNS]
    assert named["quadrant"].tolist()[:2] == ["unpleasant, active", "neutral"]
    assert named["word"].tolist()[0] == "angry"
    assert named["word_distance"].tolist()[0] == 0.0
    assert named.loc[2, list(WORD_COLUMNS)].isna().all()
    assert named[table.columns.tolist()].equals(table)
    assert list(table.columns) == ["frame", "valence", "arousal"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((-0.5, 0.6), "unpleasant, active: near “angry”"), ((0.9, -0.9), "pleasant, passive"), ((0.1, 0.1), "neutral"),
        ((np.nan, 0.5), ""),
    ],
)  # fmt: skip
def test_a_caption_has_a_word_only_if_it_is_near(values: tuple[float, float], said: str):
    assert caption(*values) == said
