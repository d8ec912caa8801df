"""Faces of a stream: frame by frame, from that frame and those before it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from face_movies import Counting, background, face_at, save, with_face

from iaca.errors import InputError
from iaca.faces import FaceConfig, extract_faces, iou, keep_faces, make_detector
from iaca.faces.detect import PeopleRule
from iaca.faces.track import CLEARLY, CausalChoice, CausalTracker
from iaca.media import VideoFrame

CAUSAL = FaceConfig(causal=True)


@pytest.fixture(scope="module")
def mtcnn():
    return make_detector(FaceConfig())


def moving(count):
    phases = np.arange(count)
    x, y = 150 + 50 * np.sin(phases / 9), 115 + 8 * np.cos(phases / 7)
    scale, roll = 0.8 + 0.2 * np.sin(phases / 15), 8 * np.sin(phases / 11)
    return [with_face(*pose) for pose in zip(x, y, scale, roll, strict=True)]


def tracked(images, detector):
    tracker = CausalTracker(detector, FaceConfig())
    return [tracker.step(VideoFrame(k, k / 25, image)) for k, image in enumerate(images)]


@pytest.mark.slow
def test_boxes_agree_with_those_of_every_frame_at_a_fraction_of_the_detections(mtcnn):
    images, counting = moving(100), Counting(mtcnn.detect)
    rows = tracked(images, counting)
    every = mtcnn.detect(images)
    overlaps = [iou(faces[0].box, found[0].box) for faces, found in zip(rows, every, strict=True)]
    assert np.mean(np.array(overlaps) >= 0.8) >= 0.97
    assert counting.images < 25
    assert {tuple(faces) for faces in rows} == {(0,)}


def test_a_face_that_goes_and_comes_back_keeps_its_track_and_is_never_guessed(mtcnn):
    images = [background() if 23 <= k < 42 else with_face(150 + k / 3) for k in range(60)]
    rows = tracked(images, mtcnn)
    gone = [k for k, faces in enumerate(rows) if not faces]
    assert gone[:19] == list(range(23, 42))
    assert len(gone) - 19 < FaceConfig().every  # it is found with the next detection
    assert {track for faces in rows for track in faces} == {0}


@pytest.mark.slow
def test_later_frames_change_nothing(tmp_path, mtcnn):
    images = moving(40)
    whole = extract_faces(save(tmp_path / "whole.mp4", images), CAUSAL, detector=mtcnn)
    other = extract_faces(save(tmp_path / "other.mp4", [*images[:25], *[background(5)] * 15]), CAUSAL, detector=mtcnn)
    assert whole["face_found"].all()
    assert not other["face_found"][30:].any()
    columns = ["face_found", "x0", "y1", "lm2x", "track"]
    pd.testing.assert_frame_equal(whole.loc[:20, columns], other.loc[:20, columns], atol=1.5)  # the codec looks ahead


@pytest.mark.slow
def test_the_switch_is_what_makes_the_difference(tmp_path, mtcnn):
    video = save(tmp_path / "moving.mp4", moving(30))
    causal, spread = (extract_faces(video, FaceConfig(causal=flag), detector=mtcnn) for flag in (True, False))
    assert len(causal) == len(spread) == 30
    assert (causal["x0"] - spread["x0"]).abs().max() > 0.1
    assert "causal" not in FaceConfig().model_dump()


def choose(frames, **changes):
    side, alive = changes.pop("side", None), changes.pop("alive", {0, 1})
    choice = CausalChoice(FaceConfig(**changes), side)
    return [choice.step(faces, k / 10, (240, 320), alive) for k, faces in enumerate(frames)]


def test_the_person_stays_until_another_face_is_clearly_larger():
    near, far, huge = face_at(80, side=60), face_at(240, side=70), face_at(240, side=60 * CLEARLY)
    assert choose([{0: near}, *[{0: near, 1: far}] * 100]) == [0] * 101
    chosen = choose([{0: near}, *[{0: near, 1: huge}] * 100])
    assert chosen[:5] == [0] * 5
    assert chosen[-1] == 1
    assert chosen == sorted(chosen)


def test_when_the_person_has_left_the_next_face_takes_over_unless_nobody_may_join():
    near, far = face_at(80, side=60), face_at(240, side=50)
    frames = [*[{0: near, 1: far}] * 30, *[{1: far}] * 60]
    chosen = choose(frames)
    assert chosen[:30] == [0] * 30
    assert chosen[30] == -1
    assert chosen[-1] == 1
    assert choose(frames, join=False)[30:] == [-1] * 60
    assert choose(frames, alive={1})[29:31] == [0, 1]  # at once after a cut, which ends a track


def test_with_a_side_the_person_is_the_one_there():
    left, right = face_at(80, side=40), face_at(240, side=60)
    frames = [{0: right, 1: left}] * 5
    assert choose(frames, side="left") == [1] * 5
    assert choose(frames, side="right") == [0] * 5


@pytest.mark.parametrize(("left_y", "right_y"), [(60, 200), (200, 60)])
@pytest.mark.parametrize(("left_side", "right_side"), [(40, 60), (60, 40)])
def test_left_and_right_do_not_depend_on_who_sits_higher_or_is_larger(left_y, right_y, left_side, right_side):
    left, right = face_at(130, left_y, left_side), face_at(190, right_y, right_side)
    assert choose([{0: right, 1: left}] * 3, side="left") == [1] * 3
    assert choose([{0: right, 1: left}] * 3, side="right") == [0] * 3


def test_everyone_in_view_is_refused(tmp_path, mtcnn):
    video = save(tmp_path / "one.mp4", moving(3))
    with pytest.raises(InputError, match="a causal model follows one person"):
        keep_faces(video, tmp_path, CAUSAL, PeopleRule(), detector=mtcnn)
