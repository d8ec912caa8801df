"""Quality cues by name, and of the picture: each goes the way of its cause, and what cannot be known is marked."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data

from iaca.encoders.cues import BOX, LANDMARKS, NAMES, OF, TABLE, FaceCues, sound_cues, stacked
from iaca.faces import align

POINTS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])


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


def test_the_table_and_what_is_measured_have_the_same_names(face: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    measured = {**seen(face), **sound_cues(noise, 16_000, np.array([0.5]))}
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
    assert sign * (after - before) > 2 * TABLE[cue].least_deviation


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


def test_the_mouth_moves_alike_where_a_clip_is_measured_in_pieces(face: np.ndarray) -> None:
    faces = [np.roll(face, shift, axis=0) for shift in (0, 2, 5, 1)]
    whole = seen(*faces)["mouth_motion"]
    assert np.isfinite(whole[1:]).all()
    numbers, mouth, pieces = pd.DataFrame({"score": [0.9]}), None, []
    for one in faces:
        piece = FaceCues(numbers, mouth)
        piece.add(0, one)
        pieces.append(piece.columns()["mouth_motion"][0])
        mouth = piece.last_mouth
    np.testing.assert_array_equal(pieces, whole)
    away = FaceCues(numbers, mouth)  # a row without a face
    assert away.last_mouth is None


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


def test_the_page_about_cues_lists_them_as_the_code_has_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cues.md").read_text(encoding="utf-8")
    for name, cue in TABLE.items():
        ends = [f"{end:g}" if np.isfinite(end) else "" for end in (cue.low, cue.high)]
        row = f"| `{name}` | {cue.modality} | {cue.unit} | {ends[0]}..{ends[1]} | {cue.says} |"
        assert row in page, f"docs/reference/cues.md lacks: {row}"
