"""The photo puppet: geometry, expressions, poses and identities."""

import json
from dataclasses import replace

import numpy as np
import pytest

from iaca.corpora.demo import face as g
from iaca.corpora.demo.face import PORTRAIT_LANDMARKS, Expression, FaceFrame, Pose, cut_out, portrait_frame
from iaca.corpora.demo.plan import Identity, draw_identities
from iaca.corpora.demo.render import Puppet, draw_backdrop
from shared import SHARED, needs_shared

SIZE = (320, 240)
FRAME = FaceFrame(160.0, 92.0, 40.0)
GREY = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
PUPPET = Puppet(Identity(), FRAME, SIZE)


def still(puppet=PUPPET, pose=None, **expression):
    return puppet.draw(GREY, Expression(**expression), pose or Pose()).astype(float)


def window(picture, points, half):
    x, y = FRAME.pixels([points])[0].round().astype(int)
    return picture[y - half : y + half, x - half : x + half]


def test_the_eyes_of_the_portrait_span_one_unit_about_the_origin():
    np.testing.assert_allclose(portrait_frame().face(PORTRAIT_LANDMARKS[:2]), [(-0.5, 0), (0.5, 0)], atol=1e-9)


@pytest.mark.parametrize("mirror", [1, -1])
def test_face_coordinates_and_pixels_invert_each_other(mirror):
    frame = FaceFrame(100.0, 50.0, 37.0, 0.1, mirror)
    points = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_allclose(frame.face(frame.pixels(points)), points, atol=1e-12)


def test_proportions_of_the_mouth_agree_with_the_detected_landmarks():
    detected = portrait_frame().face(PORTRAIT_LANDMARKS[3:])
    assert np.abs(detected - np.array(g.MOUTH_CORNERS)).max() * portrait_frame().unit < 3


@needs_shared("reference/astronaut_landmarks.json")
@pytest.mark.parametrize(
    ("name", "point", "tolerance_px"),
    [
        ("left_eye_top", g.UPPER_LIDS[0], 3),
        ("right_eye_top", g.UPPER_LIDS[1], 3),
        ("left_eye_bottom", g.LOWER_LIDS[0], 3),
        ("right_eye_bottom", g.LOWER_LIDS[1], 3),
        ("left_brow", g.BROWS[0], 5),
        ("right_brow", g.BROWS[1], 5),
        ("nose_tip", g.NOSE, 4),
        ("mouth_left", g.MOUTH_CORNERS[0], 5),
        ("mouth_right", g.MOUTH_CORNERS[1], 5),
        ("lip_lower_outer", g.LOWER_LIP_BOTTOM, 4),
        ("chin", g.CHIN, 5),
        ("face_left", g.FACE_SIDES[0], 7),
        ("face_right", g.FACE_SIDES[1], 7),
    ],
)
def test_facial_proportions_agree_with_reference_landmarks(name, point, tolerance_px):
    reference = json.loads((SHARED / "reference" / "astronaut_landmarks.json").read_text())
    there = np.mean(reference[name], axis=0)
    assert np.hypot(*(portrait_frame().pixels([point])[0] - there)) < tolerance_px


def test_the_matte_holds_the_face_and_lets_the_backdrop_go():
    _, matte = cut_out()
    inside = portrait_frame().pixels([(0, 0), (0, 1.0), (0, -1.5), (-2.0, 5.0)]).round().astype(int)
    assert all(matte[y, x] > 0.99 for x, y in inside)
    assert matte[20, 60] == matte[150, 400] == 0


def test_drawing_twice_gives_the_same_pixels_whatever_was_drawn_between():
    first = still(smile=0.4, mouth_open=0.3)
    still(smile=-1.0, pose=Pose(yaw=0.2))
    np.testing.assert_array_equal(first, still(smile=0.4, mouth_open=0.3))
    np.testing.assert_array_equal(first, still(Puppet(Identity(), FRAME, SIZE), smile=0.4, mouth_open=0.3))


def test_the_default_identity_in_the_portraits_expression_is_the_portrait():
    from iaca.corpora.demo.face import PORTRAIT_SMILE, place_portrait

    portrait = place_portrait(FRAME, SIZE).texture
    drawn = still(smile=PORTRAIT_SMILE)
    for place in ((0.0, 0.3), g.EYES[0], g.BROWS[1], (0.0, -1.4)):
        assert np.abs(window(drawn, place, 5) - window(portrait, place, 5)).mean() < 6


def test_an_open_mouth_is_dark_inside_and_a_closed_one_is_not():
    below_lip = (0.0, 1.18)
    closed, opened = (window(still(mouth_open=m), below_lip, 2).mean() for m in (0.0, 1.0))
    assert opened < 0.55 * closed


def test_the_dark_of_the_mouth_grows_with_its_opening():
    mouth = np.s_[115:155, 135:185]
    areas = [(still(mouth_open=m)[mouth].max(axis=-1) < 75).sum() for m in (0.0, 0.3, 0.6, 1.0)]
    assert areas == sorted(areas)
    assert areas[-1] > areas[0] + 80


def test_a_smile_lifts_the_corners_of_the_mouth():
    def corner_row(smile):
        red = still(smile=smile)[115:150, 140:144].mean(axis=(1, 2))
        return int(np.argmin(red))

    assert corner_row(0.9) < corner_row(0.0) < corner_row(-0.9)


def test_lids_cover_the_eyes():
    open_eye, closed_eye = (window(still(lids=c), g.EYES[0], 4) for c in (0.0, 1.0))
    assert open_eye.min() < 60
    assert closed_eye.mean() > open_eye.mean() + 15


@pytest.mark.parametrize("expression", [{"smile": -1.0}, {"mouth_open": 1.0}, {"brow_raise": 1.0}, {"lids": 1.0}])
def test_expressions_leave_hair_and_clothes_alone(expression):
    before, after = still(), still(**expression)
    np.testing.assert_array_equal(before[:30], after[:30])
    np.testing.assert_array_equal(before[200:], after[200:])


def test_no_expression_or_pose_tears_the_cheek():
    rng = np.random.default_rng(3)
    for _ in range(25):
        picture = still(smile=rng.uniform(-1, 1), mouth_open=rng.uniform(0, 1), brow_knit=rng.uniform(0, 1),
                        pose=Pose(yaw=rng.uniform(-0.25, 0.25), roll=rng.uniform(-0.08, 0.08)))  # fmt: skip
        cheek = window(picture, (-0.62, 0.42), 6).mean(axis=-1)
        assert np.abs(np.diff(cheek, axis=0)).max() < 40


def test_poses_move_the_face_where_place_says():
    pose = Pose(x=0.4, y=-0.2)
    x, y = PUPPET.place((0.0, 0.0), pose)
    assert (x, y) == pytest.approx((160 + 16, 92 - 8))
    np.testing.assert_allclose(still(pose=pose)[60:120, 140:200], still()[68:128, 124:184], atol=2)


def test_a_person_who_left_leaves_the_backdrop():
    np.testing.assert_array_equal(PUPPET.draw(GREY, Expression(), Pose(x=11.0)), GREY)


@pytest.mark.slow
def test_identities_look_different_and_are_drawn_from_the_seed():
    people = draw_identities(8, seed=0)
    assert people == draw_identities(8, seed=0)
    faces = [still(Puppet(p, replace(FRAME, mirror=p.mirror), SIZE))[40:165, 110:210] for p in people]
    distances = [np.abs(a - b).mean() for i, a in enumerate(faces) for b in faces[:i]]
    assert min(distances) > 5


def test_backdrops_differ_by_seed_and_repeat():
    a, b = draw_backdrop(1, SIZE), draw_backdrop(2, SIZE)
    np.testing.assert_array_equal(a, draw_backdrop(1, SIZE))
    assert np.abs(a.astype(float) - b).mean() > 5
