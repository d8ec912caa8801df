"""Frames are displayed as players show them: turned and mirrored by the display matrix."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from make_media import WAYS, grey, make, set_display_matrix, steady

from iaca.media import probe, read_frames, rewrite_movie


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """A picture that differs in all eight orientations: three bright areas of other levels and sizes."""
    picture = grey(40, height, width)
    picture[: height // 3, : width // 4] = 220
    picture[: height // 3, width // 2 :] = 130
    picture[height // 2 :, : width // 4] = 180
    return picture


def shown(path: Path) -> np.ndarray:
    """The first image that reading gives."""
    return next(iter(read_frames(path))).image


def distance(image: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in levels."""
    assert image.shape == other.shape
    return float(np.abs(image.astype(float) - other).mean())


@pytest.mark.parametrize("way", WAYS)
def test_all_eight_ways_are_displayed_upright(tmp_path: Path, way: str) -> None:
    matrix, display = WAYS[way]
    path = set_display_matrix(make(tmp_path / "way.mp4", steady(3), [scene()] * 3), matrix)
    image, info = shown(path), probe(path)
    assert distance(image, display(scene())) < 4
    assert (info.width, info.height) == image.shape[1::-1]
    assert info.mirrored == (way in ("mirrored", "upside down", "transposed", "transverse"))
    others = [other(scene()) for name, (_, other) in WAYS.items() if name != way]
    assert all(distance(image, other) > 10 for other in others if other.shape == image.shape)


@pytest.mark.parametrize("way", WAYS)
def test_a_redrawn_movie_is_stored_as_it_is_displayed(tmp_path: Path, way: str) -> None:
    matrix, display = WAYS[way]
    path = set_display_matrix(make(tmp_path / "way.mp4", steady(3), [scene()] * 3), matrix)
    rewrite_movie(path, tmp_path / "out.mp4", lambda frame: frame.image)
    info = probe(tmp_path / "out.mp4")
    assert (info.rotation, info.mirrored) == (0, False)
    assert distance(shown(tmp_path / "out.mp4"), display(scene())) < 5


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize("way", WAYS)
def test_the_displayed_picture_is_the_one_of_ffmpegs_autorotation(tmp_path: Path, way: str) -> None:
    path = set_display_matrix(make(tmp_path / "way.mp4", steady(3), [scene()] * 3), WAYS[way][0])
    command = ["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    image = shown(path)
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    assert distance(image, np.frombuffer(raw, np.uint8).reshape(image.shape)) < 2


def test_a_matrix_that_also_scales_or_holds_nothing_is_no_other_orientation(tmp_path: Path) -> None:
    made = make(tmp_path / "scaled.mp4", steady(3), [scene()] * 3)
    assert distance(shown(set_display_matrix(made, WAYS["mirrored"][0], 2.0)), scene()[:, ::-1]) < 4
    assert distance(shown(set_display_matrix(made, (0, 0, 0, 0))), scene()) < 4
