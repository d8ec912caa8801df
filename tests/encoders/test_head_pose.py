"""Pose of the head: exact for the head it supposes, and with the signs that it says."""

import cv2
import numpy as np
import pytest

from iaca.encoders.cues import HEAD, head_pose

POINTS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])


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
