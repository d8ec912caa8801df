"""Faces are followed between detections, checked by them, and never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from face_movies import Counting, background, face_at, with_face

from iaca.faces import FaceConfig, iou, make_detector
from iaca.faces.track import FaceTracker, FlowImage, _moved, follow, is_cut
from iaca.media import VideoFrame


@pytest.fixture(scope="module")
def mtcnn():
    return make_detector(FaceConfig())


def track(images, detector, **changes):
    frames = [VideoFrame(k, k / 25, image) for k, image in enumerate(images)]
    rows = list(FaceTracker(detector, FaceConfig(**changes)).run(frames))
    assert [frame.index for frame, _ in rows] == list(range(len(images)))
    return [faces for _, faces in rows]


def moving(count):
    phases = np.arange(count)
    x, y = 150 + 50 * np.sin(phases / 9), 115 + 8 * np.cos(phases / 7)
    scale, roll = 0.8 + 0.2 * np.sin(phases / 15), 8 * np.sin(phases / 11)
    return [with_face(*pose) for pose in zip(x, y, scale, roll, strict=True)]


def test_flow_moves_box_and_landmarks_with_the_face(mtcnn):
    before, after = with_face(150, 110, 0.8), with_face(155, 107, 0.83, 3.0)
    (start,), (end,) = mtcnn.detect([before, after])
    moved = follow(start, FlowImage.of(before), FlowImage.of(after))
    assert iou(moved.box, end.box) > 0.85
    assert np.linalg.norm(moved.landmarks - end.landmarks, axis=1).max() < 2.5


def test_flow_loses_a_face_that_is_covered_or_gone(mtcnn):
    image = with_face(150)
    (face,) = mtcnn.detect([image])[0]
    assert follow(face, FlowImage.of(image), FlowImage.of(background(3))) is None


@pytest.mark.slow
def test_tracked_boxes_agree_with_those_of_every_frame_at_a_fraction_of_the_detections(mtcnn):
    images, counting = moving(100), Counting(mtcnn.detect)
    rows = track(images, counting)
    every = mtcnn.detect(images)
    overlaps = [iou(faces[0].box, found[0].box) for faces, found in zip(rows, every, strict=True)]
    assert np.mean(np.array(overlaps) >= 0.8) >= 0.99
    assert counting.images < 25
    assert {tuple(faces) for faces in rows} == {(0,)}


@pytest.mark.slow
def test_gaps_are_exact_to_the_frame_and_the_track_is_taken_up_again(mtcnn):
    images = [background() if 23 <= k < 42 else with_face(150 + k / 3) for k in range(60)]
    rows = track(images, mtcnn)
    assert [k for k, faces in enumerate(rows) if not faces] == list(range(23, 42))
    assert {number for faces in rows for number in faces} == {0}


@pytest.mark.slow
def test_a_newcomer_is_found_in_the_frame_it_enters(mtcnn):
    images = [
        with_face(240, image=with_face(80, scale=0.7), scale=0.7) if k >= 23 else with_face(80, scale=0.7)
        for k in range(40)
    ]
    rows = track(images, mtcnn)
    assert [len(faces) for faces in rows] == [1] * 23 + [2] * 17
    assert all(faces[0].box[0] < 160 < faces[1].box[0] for faces in rows[23:])


def test_a_change_of_scene_ends_the_tracks(mtcnn):
    dim, bright = (background() * 0.3).astype(np.uint8), 255 - (background(5) * 0.5).astype(np.uint8)
    images = [with_face(150, scale=0.5, image=dim)] * 12 + [with_face(150, scale=0.5, image=bright)] * 12
    rows = track(images, mtcnn)
    assert [tuple(faces) for faces in rows] == [(0,)] * 12 + [(1,)] * 12


def test_a_flash_is_no_change_of_scene_but_another_picture_is():
    image = with_face(150)
    flash = np.clip(image.astype(int) + 60, 0, 255).astype(np.uint8)
    assert not is_cut(FlowImage.of(image), FlowImage.of(flash))
    assert not is_cut(FlowImage.of(image), FlowImage.of(with_face(160)))
    assert is_cut(FlowImage.of(image), FlowImage.of(255 - background(5)))
    assert is_cut(FlowImage.of(image), FlowImage.of(image[:200]))


def test_a_detector_that_disagrees_is_believed():
    """The flow stands still; the detector says the face jumped at frame 7: every frame of that chunk is asked."""
    image = with_face(150)
    asked = []

    def detect(images):
        return [[face_at(100 if picture[0, 0, 0] < 7 else 160)] for picture in images]

    images = []
    for k in range(10):
        images.append(image.copy())
        images[-1][0, 0, 0] = k  # tells the detector which frame it sees
    rows = track(images, Counting(lambda pictures: asked.extend(p[0, 0, 0] for p in pictures) or detect(pictures)))
    centres = [np.mean([next(iter(faces.values())).box[[0, 2]]]) for faces in rows]
    assert centres == pytest.approx([100] * 7 + [160] * 3, abs=1)
    assert set(asked) >= {6, 7, 8}


@pytest.mark.slow
def test_the_interval_grows_while_all_agrees_and_every_1_detects_each_frame(mtcnn):
    still = [with_face(150)] * 60
    counting = Counting(mtcnn.detect)
    track(still, counting, every=1, max_every=1)
    assert counting.images == 60
    counting = Counting(mtcnn.detect)
    track(still, counting, every=3, max_every=20)
    assert counting.images <= 10


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize(
    ("centre", "kept"),
    [((1, 50), True), ((-1, 50), False), ((197, 50), True), ((201, 50), False),
     ((50, 1), True), ((50, -1), False), ((50, 97), True), ((50, 101), False)],
)  # fmt: skip
def test_a_face_is_lost_as_soon_as_its_centre_leaves_the_picture_on_any_side(
    centre: tuple[int, int], kept: bool, scale: float
) -> None:
    picture = FlowImage(np.zeros((round(100 * scale), round(200 * scale)), np.uint8), scale)  # of 200 x 100 px
    face = face_at(90, 60, 30)
    there = face.landmarks + np.array(centre) - [90, 60]
    moved = _moved(face, face.landmarks, there, picture)
    assert (moved is not None) == kept
    if moved is not None:
        np.testing.assert_allclose((moved.box[:2] + moved.box[2:]) / 2, centre, atol=1e-6)
