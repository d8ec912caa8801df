"""Detectors find the faces of pictures; unknown detectors and missing weights are refused with a remedy."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import cv2
import numpy as np
import pytest
from face_movies import background, face_at, with_face
from pydantic import ValidationError

from iaca.errors import InputError
from iaca.faces import FaceConfig, iou, make_detector
from iaca.faces.detect import DETECTORS, DetectorName, read_row
from shared import SHARED, needs_shared


@pytest.fixture(scope="module")
def mtcnn():
    return make_detector(FaceConfig())


def read(name):
    return cv2.cvtColor(cv2.imread(str(SHARED / "reference/face_detection" / name)), cv2.COLOR_BGR2RGB)


@needs_shared("reference")
def test_mtcnn_finds_the_reference_face_and_no_other(mtcnn):
    (face,) = mtcnn.detect([read("ivan.jpg")])[0]
    assert iou(face.box, np.array([277.0, 90.0, 325.0, 153.0])) >= 0.6
    marks = np.array([[291, 117], [314, 114], [303, 131], [296, 143], [313, 141]])
    assert np.linalg.norm(face.landmarks - marks, axis=1).max() < 3
    assert mtcnn.detect([read("no-faces.jpg")]) == [[]]


@pytest.mark.parametrize("scale", [0.35, 0.6, 1.0, 1.3])
def test_mtcnn_landmarks_are_in_image_order(mtcnn, scale):
    (face,) = mtcnn.detect([with_face(150, 120, scale)])[0]
    left, right, nose, mouth_left, mouth_right = face.landmarks
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < nose[0] < mouth_right[0]
    assert left[1] < nose[1] < mouth_left[1]
    assert 0.9 <= face.score <= 1.0


def test_a_batch_of_mixed_sizes_gives_what_each_image_gives_alone(mtcnn):
    images = [with_face(100), background(), with_face(220)[:200, 100:], with_face(180)]
    together = mtcnn.detect(images)
    assert [len(faces) for faces in together] == [1, 0, 1, 1]
    for image, faces in zip(images, together, strict=True):
        (alone,) = mtcnn.detect([image])
        assert [f.box for f in faces] == [pytest.approx(f.box, abs=1e-2) for f in alone]


def test_pictures_smaller_than_any_face_hold_none(mtcnn):
    assert mtcnn.detect([np.zeros((8, 300, 3), np.uint8), np.zeros((13, 13, 3), np.uint8)]) == [[], []]


def test_an_unknown_detector_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match="'mtcnn' or 'yunet'"):
        FaceConfig(detector="haar")


def test_every_detector_of_the_config_has_a_class():
    assert tuple(DETECTORS) == get_args(DetectorName)


def test_yunet_without_its_file_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match="weights"):
        make_detector(FaceConfig(detector="yunet"))
    with pytest.raises(InputError, match=r"no\.onnx.*Remedy"):
        make_detector(FaceConfig(detector="yunet", weights=str(tmp_path / "no.onnx")))
    (tmp_path / "bad.onnx").write_text("not a network")
    with pytest.raises(InputError, match=r"bad\.onnx"):
        make_detector(FaceConfig(detector="yunet", weights=str(tmp_path / "bad.onnx")))


def test_a_row_of_yunet_is_read_as_box_points_and_score():
    face = read_row(np.array([10.0, 20, 30, 40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0.97]))
    assert face.box.tolist() == [10, 20, 40, 60]
    assert face.landmarks.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert face.score == 0.97


def test_iou_of_boxes():
    box = face_at(100).box
    assert iou(box, box) == 1.0
    assert iou(box, box + 60) == 0.0
    assert iou(box, box + np.array([30, 0, 30, 0])) == pytest.approx(1 / 3)


def test_intervals_out_of_order_are_refused():
    with pytest.raises(ValueError, match="max_every"):
        FaceConfig(every=30)


@pytest.mark.slow
def test_importing_faces_loads_no_torch():
    code = "import sys, iaca.faces; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
