"""Quality cues: each goes the way it says when its cause is applied, and what cannot be known is marked."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data

from iaca.encoders.cues.picture import BOX, LANDMARKS, FaceCues
from iaca.encoders.cues.pose import HEAD, head_pose
from iaca.encoders.cues.sound import k_weighting, sound_cues
from iaca.encoders.cues.table import NAMES, OF, TABLE, stacked
from iaca.faces import align

POINTS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])
RATE = 16_000


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return align(skimage.data.astronaut(), POINTS)


def seen(*faces: np.ndarray, points: np.ndarray = POINTS, score: float = 0.9) -> dict[str, np.ndarray]:
    """Visual cues of faces that follow each other, all found at the same place."""
    numbers = zip([*BOX, *LANDMARKS], [180, 70, 270, 180, *points.ravel()], strict=True)
    row = {"score": score, **dict(numbers)}
    cues = FaceCues(pd.DataFrame([row] * len(faces)))
    for index, face in enumerate(faces):
        cues.add(index, face)
    return cues.columns()


def heard(samples: np.ndarray, times: list[float], rate: int = RATE) -> dict[str, np.ndarray]:
    return sound_cues(samples.astype(np.float32), rate, np.array(times))


def tone(seconds: float, level: float, hertz: float = 997.0, rate: int = RATE) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_the_table_and_what_is_measured_have_the_same_names(face: np.ndarray) -> None:
    measured = {**seen(face), **heard(tone(1, 0.1), [0.5])}
    assert set(NAMES) - set(measured) == {"synchrony", "synchrony_lag"} == {n for n in NAMES if OF[n] == "both"}
    assert {n for n in measured if OF[n] == "visual"} == set(seen(face))
    rows = stacked({name: measured.get(name, np.zeros(1, np.float32)) for name in NAMES})
    assert rows.shape == (1, len(NAMES))
    for name, value in zip(NAMES, rows[0], strict=True):
        assert np.isnan(value) or TABLE[name].low <= value <= TABLE[name].high, name


@pytest.mark.parametrize(
    ("cue", "cause", "sign"),
    [
        ("face_sharpness", lambda face: cv2.GaussianBlur(face, (0, 0), 2), -1),
        ("face_sharpness", lambda face: cv2.resize(face[::4, ::4], (112, 112)), -1),
        ("face_brightness", lambda face: face // 2, -1),
        ("face_brightness", lambda face: 255 - (255 - face) // 2, 1),
        ("face_contrast", lambda face: (face // 2 + 64).astype(np.uint8), -1),
        ("mouth_opening", lambda face: cv2.ellipse(face.copy(), (56, 95), (10, 8), 0, 0, 360, (20, 5, 5), -1), 1),
        ("mouth_opening", lambda face: cv2.ellipse(face.copy(), (56, 95), (10, 8), 0, 0, 360, (250, 240, 240), -1), -1),
    ],
)
def test_a_cue_of_the_picture_goes_the_way_of_its_cause(face: np.ndarray, cue: str, cause, sign: int) -> None:
    before, after = seen(face)[cue][0], seen(cause(face))[cue][0]
    assert sign * (after - before) > 2 * TABLE[cue].grain


def test_the_opening_of_the_mouth_does_not_depend_on_the_light(face: np.ndarray) -> None:
    assert seen(face // 2)["mouth_opening"] == pytest.approx(seen(face)["mouth_opening"], abs=0.01)


def test_the_mouth_moves_between_steps_that_follow_each_other(face: np.ndarray) -> None:
    motion = seen(face, face, face[::-1].copy())["mouth_motion"]
    assert np.isnan(motion[0])
    assert motion[1] == 0.0
    assert motion[2] > 1.0
    cues = FaceCues(pd.DataFrame({"score": [0.9, np.nan, 0.9]}))
    for index in (0, 2):
        cues.add(index, face)
    assert np.isnan(cues.columns()["mouth_motion"]).all()  # of a face that was away nothing is known


def test_without_a_face_or_without_landmarks_nothing_is_known_but_the_score(face: np.ndarray) -> None:
    cues = FaceCues(pd.DataFrame({"score": [0.9, np.nan]}))
    cues.add(0, face)
    columns = cues.columns()
    assert columns["face_score"].tolist() == pytest.approx([0.9, 0.0])
    assert np.isnan(columns["face_size"]).all()
    assert np.isnan(columns["head_yaw"]).all()
    assert np.isfinite(columns["face_brightness"]).tolist() == [True, False]


def test_size_is_that_of_the_box(face: np.ndarray) -> None:
    assert seen(face)["face_size"][0] == pytest.approx(np.sqrt(90 * 110))


def projected(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Landmarks (5, 2) of the generic head, turned and seen from afar."""
    a, b, c = np.radians([-pitch, yaw, roll])
    # seen from the camera, z points away: with the nose at z < 0, turning it to the right is a turn by -yaw
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(-b), 0, np.sin(-b)], [0, 1, 0], [-np.sin(-b), 0, np.cos(-b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return 1.7 * (HEAD @ (z @ y @ x).T)[:, :2] + [320, 180]


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, -40), (-25, 15, 10), (50, -30, 170)])
def test_the_pose_of_the_generic_head_is_found_exactly(angles: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(head_pose(projected(*angles)[None])[0], angles, atol=1e-3)


def test_a_nose_to_the_right_is_a_turn_to_the_right_and_a_raised_one_a_look_upwards() -> None:
    still = projected(0, 0, 0)
    for shift, angle in (([8, 0], 0), ([0, -8], 1)):
        moved = still.copy()
        moved[2] += shift
        assert head_pose(moved[None])[0, angle] > 3


def test_roll_is_that_of_the_picture_and_a_mirror_turns_yaw_around() -> None:
    turn = cv2.getRotationMatrix2D((256, 256), -20, 1.0)  # 20 degrees clockwise as seen
    mirrored = ([511, 0] + POINTS * [-1, 1])[[1, 0, 2, 4, 3]]
    straight, turned, other = head_pose(np.stack([POINTS, POINTS @ turn[:, :2].T + turn[:, 2], mirrored]))
    assert turned[2] - straight[2] == pytest.approx(20, abs=0.1)
    assert turned[:2] == pytest.approx(straight[:2], abs=0.1)
    assert other == pytest.approx(straight * [-1, 1, -1], abs=0.1)


@pytest.mark.parametrize("broken", [np.nan, 5.0])
def test_landmarks_that_are_none_have_no_pose(broken: float) -> None:
    assert np.isnan(head_pose(np.full((2, 5, 2), broken))).all()
    assert head_pose(np.empty((0, 5, 2))).shape == (0, 3)


def test_the_weighting_is_that_of_the_standard() -> None:
    first, second = k_weighting(48_000)
    expected = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585]
    np.testing.assert_allclose(first, expected, atol=1e-7)
    np.testing.assert_allclose(second, [1, -2, 1, 1, -1.99004745483398, 0.99007225036621], atol=1e-7)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_full_tone_has_the_loudness_of_the_standard_and_a_tenth_of_it_20_db_less(rate: int) -> None:
    for level, expected in ((1.0, -3.01), (0.1, -23.01)):
        assert heard(tone(2, level, rate=rate), [1.0], rate)["loudness"][0] == pytest.approx(expected, abs=0.1)
    level = heard(tone(2, 1.0), [1.0])["sound_level"][0]
    assert level == pytest.approx(-3.01, abs=0.05)


def test_a_deep_hum_is_less_loud_than_its_level_says() -> None:
    cues = heard(tone(2, 0.5, hertz=30), [1.0])
    assert cues["loudness"][0] < cues["sound_level"][0] - 5


def test_level_is_centred_on_its_time() -> None:
    click = np.zeros(RATE)
    click[8000:8016] = 1.0
    level = heard(click, [0.46, 0.49, 0.51, 0.54])["sound_level"]
    assert level[1] == pytest.approx(level[2], abs=0.2)
    assert level[[0, 3]].tolist() == [-100.0, -100.0]


def test_clipping_is_the_share_of_samples_at_full_scale() -> None:
    clean, hard = tone(1, 0.9), np.clip(tone(1, 2.0), -1, 1)
    assert heard(clean, [0.5])["clipping"][0] == 0.0
    assert heard(hard, [0.5])["clipping"][0] == pytest.approx(2 / 3, abs=0.02)


def test_speech_over_a_quiet_floor_is_active_and_noise_alone_is_not() -> None:
    noise = 0.001 * np.random.default_rng(0).standard_normal(RATE * 6)
    speech = noise.copy()
    speech[48_000:56_000] += tone(0.5, 0.1, 130)
    cues = heard(speech, [1.0, 3.2])
    assert cues["voice_activity"][0] < 0.2 < 0.9 < cues["voice_activity"][1]
    assert cues["snr_estimate"][1] > cues["snr_estimate"][0] + 20


def test_noise_of_a_few_seconds_lowers_the_estimate_of_the_signal_to_noise_ratio() -> None:
    clock = np.arange(8 * RATE) / RATE
    voice = tone(8, 0.1, 150) * (np.sin(2 * np.pi * 3 * clock) > 0)
    noise = np.random.default_rng(1).standard_normal(len(voice)) * ((clock > 4) & (clock < 7))
    before, after = heard(voice + 0.05 * noise, [2.0, 5.5])["snr_estimate"]
    assert before > after + 20


@pytest.mark.parametrize("samples", [0, 30, 79, 81, 900])
def test_sounds_of_any_length_have_cues_and_beyond_them_is_silence(samples: int) -> None:
    cues = heard(np.full(samples, 0.1), [0.0, 5.0])
    assert all(np.isfinite(cue).all() and cue.shape == (2,) for cue in cues.values())
    assert cues["sound_level"][1] == cues["loudness"][1] == -100.0


def test_a_long_sound_is_taken_in_pieces_without_a_seam() -> None:
    quiet = 0.1 * np.random.default_rng(2).standard_normal(RATE // 10 * 625)
    cues = sound_cues(np.concatenate([quiet, quiet]).astype(np.float32), RATE, np.array([59.9, 60.0, 60.1]))
    assert np.ptp(cues["loudness"]) < 1.0


def test_the_page_about_cues_lists_them_as_the_code_has_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cues.md").read_text(encoding="utf-8")
    for name, cue in TABLE.items():
        ends = [f"{end:g}" if np.isfinite(end) else "" for end in (cue.low, cue.high)]
        row = f"| `{name}` | {cue.modality} | {cue.unit} | {ends[0]}..{ends[1]} | {cue.says} |"
        assert row in page, f"docs/cues.md lacks: {row}"
