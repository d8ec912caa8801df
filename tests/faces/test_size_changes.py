"""Frames of one video may change in size, as in calls on a slow network: the person stays the person."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_movies import FPS, background, whole, with_face
from numpy.typing import NDArray
from PIL import Image

from iaca.faces import FaceConfig, PeopleRule, extract_faces, iou, keep_faces, make_detector
from iaca.faces.detect import Detection, within
from iaca.faces.track import _Seen
from media.matroska import matroska, pictures

BOX = ["x0", "y0", "x1", "y1"]


def resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def film(path: Path, images: list[NDArray[np.uint8]]) -> Path:
    """A movie whose frames have the sizes of the images."""
    blocks = []
    for k, image in enumerate(images):
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=95)
        blocks.append((0, round(1000 * k / FPS), file.getvalue()))
    return matroska(path, [pictures(*images[0].shape[1::-1])], blocks)


def boxes_in_detected_size(path: Path, images: list[NDArray[np.uint8]]) -> list[float]:
    """Overlap (0..1) of each row's box with what the detector finds in that very frame."""
    detector = make_detector(FaceConfig())
    table = extract_faces(path, FaceConfig(), detector=detector)
    assert table["face_found"].all()
    found = [detector.detect([image])[0] for image in images]
    rows = table[BOX].to_numpy(np.float64)
    return [max(iou(row, face.box) for face in faces) for row, faces in zip(rows, found, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("every", [4, 12])
@pytest.mark.parametrize("scale", [0.5, 0.4, 2.0])
def test_the_same_face_in_a_smaller_or_larger_picture_keeps_its_track(tmp_path: Path, scale: float, every: int) -> None:
    images = [resized(with_face(140 + k / 3), scale if k // every % 2 else 1.0) for k in range(36)]
    path = film(tmp_path / "call.mkv", images)
    table = extract_faces(path, FaceConfig())
    assert table["track"].tolist() == [0] * 36
    assert min(boxes_in_detected_size(path, images)) > 0.75
    (everyone,) = keep_faces(path, tmp_path, FaceConfig(), PeopleRule())
    assert whole(everyone).equals(table)


@pytest.mark.slow
def test_a_picture_of_another_shape_is_the_same_person(tmp_path: Path) -> None:
    """A phone is turned: from here on the picture is a part of the former one, and the face touches its edge."""
    wide = [with_face(140 + k / 6, scale=1.1) for k in range(36)]
    images = [image[:, 90:230] if 12 <= k < 24 else image for k, image in enumerate(wide)]
    path = film(tmp_path / "turned.mkv", images)
    assert min(boxes_in_detected_size(path, images)) > 0.75
    (everyone,) = keep_faces(path, tmp_path, FaceConfig(), PeopleRule())
    assert whole(everyone)["face_found"].all()


@pytest.mark.slow
def test_of_two_people_each_keeps_the_own_rows(tmp_path: Path) -> None:
    both = [with_face(235, 120, 0.9, image=with_face(75, scale=0.65)) for _ in range(24)]
    path = film(tmp_path / "two.mkv", [resized(image, 0.5 if 8 <= k < 16 else 1.0) for k, image in enumerate(both)])
    one, two = (whole(person) for person in keep_faces(path, tmp_path, FaceConfig(), PeopleRule()))
    middle = np.where((np.arange(24) >= 8) & (np.arange(24) < 16), 80, 160)
    assert (one["x0"].to_numpy() > middle).all()
    assert (two["x1"].to_numpy() < middle).all()


def test_a_change_of_scene_and_size_at_once_ends_the_tracks(tmp_path: Path) -> None:
    dim, bright = (background() * 0.3).astype(np.uint8), 255 - (background(5) * 0.5).astype(np.uint8)
    images = [with_face(150, scale=0.5, image=dim)] * 12 + [resized(with_face(150, scale=0.5, image=bright), 2)] * 12
    table = extract_faces(film(tmp_path / "cut.mkv", images), FaceConfig())
    assert table["track"].tolist() == [0] * 12 + [1] * 12


def test_parts_of_an_aligned_face_beyond_the_picture_are_known() -> None:
    landmarks = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
    assert within((200, 200, 3), landmarks + 40, 8).all()
    left = within((200, 200, 3), landmarks + np.array([-28, 40]), 8)
    assert not left[:, :2].any()
    assert left[:, 3:].all()


def test_a_remembered_face_is_where_the_new_size_has_it() -> None:
    """A width three times and a height twice as large: x times three, y times two."""
    landmarks = np.array([[12, 22], [28, 22], [20, 30], [14, 36], [26, 36]], np.float32)
    seen = _Seen(Detection(np.array([10, 20, 30, 40], np.float32), landmarks, 0.95), 1.5).resized(
        (100, 160), (200, 480)
    )
    np.testing.assert_allclose(seen.face.box, [30, 40, 90, 80])
    np.testing.assert_allclose(seen.face.landmarks, landmarks * [3, 2])
    assert (seen.face.score, seen.time_s) == (0.95, 1.5)
