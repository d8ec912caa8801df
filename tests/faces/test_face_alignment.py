"""Aligned faces lie on the template, whatever the turn and size of the face in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iaca.faces import align
from iaca.faces.detect import TEMPLATE, apply, similarity

SHIFTS = st.floats(-500, 500)


@given(st.floats(-np.pi, np.pi), st.floats(0.1, 8.0), SHIFTS, SHIFTS)
@settings(max_examples=50)
def test_landmarks_land_on_the_template_under_rotation_and_scale(angle, scale, x, y):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    landmarks = apply(np.array([[cos, -sin, x], [sin, cos, y]]), TEMPLATE)
    assert apply(similarity(landmarks, TEMPLATE), landmarks) == pytest.approx(TEMPLATE, abs=1e-3)


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_the_transform_is_the_best_of_all_similarities(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 30, (2, 5, 2))
    best = similarity(source, target)

    def error(matrix):
        return float(((apply(matrix, source) - target) ** 2).sum())

    for change in rng.normal(0, 0.01, (10, 4)):
        a, b = change[:2]
        other = best + np.array([[a, -b, change[2]], [b, a, change[3]]])
        assert error(best) <= error(other) + 1e-9


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0, 9.0])
@pytest.mark.parametrize("size", [112, 64])
def test_dots_at_the_landmarks_come_out_at_the_template(scale, size):
    landmarks = (TEMPLATE + np.array([20, 10])) * scale
    image = np.zeros((round(150 * scale), round(160 * scale), 3), np.uint8)
    for dot in landmarks:
        cv2.circle(
            image, tuple(int(v) for v in np.round(dot * 16)), round(3 * scale * 16), (255, 255, 255), -1, cv2.LINE_AA, 4
        )
    aligned = align(image, landmarks, size)
    assert aligned.shape == (size, size, 3)
    expected = (TEMPLATE + 0.5) * size / 112 - 0.5
    for x, y in expected:
        left, top = int(x) - 6, int(y) - 6
        patch = aligned[top : top + 13, left : left + 13, 0].astype(float)
        rows, columns = np.mgrid[:13, :13]
        centre = np.array([(columns * patch).sum(), (rows * patch).sum()]) / patch.sum() + [left, top]
        assert centre == pytest.approx([x, y], abs=0.35)


def test_large_faces_are_averaged_not_sampled():
    checks = np.indices((1200, 1200)).sum(0) % 2 * 255  # finer than the result can show: must come out grey
    image = np.repeat(checks.astype(np.uint8)[..., None], 3, axis=2)
    assert np.abs(align(image, TEMPLATE * 8 + 100).astype(int) - 128).max() < 40


def test_a_face_at_the_edge_is_black_beyond_it():
    aligned = align(np.full((100, 100, 3), 200, np.uint8), TEMPLATE - np.array([80, 0]))
    assert not aligned[:90, :79].any()  # the image starts 80 px to the right of the face
    assert (aligned[:90, 81:] == 200).all()
