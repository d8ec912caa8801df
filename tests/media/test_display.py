"""Frames are displayed as players show them: square pixels, turned and mirrored by the display matrix."""

from __future__ import annotations

import logging
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from make_media import WAYS, grey, make, set_display_matrix, steady

from iaca.errors import InputError
from iaca.media import LimitError, MediaLimits, probe, read_frames, rewrite_movie


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


SQUEEZED = {
    "HDV": (Fraction(4, 3), (48, 48)), "PAL, wide": (Fraction(64, 45), (48, 45)), "NTSC": (Fraction(8, 9), (48, 72)),
    "one field": (Fraction(1, 2), (24, 64)), "nearly square": (Fraction(200, 201), (48, 64)),
}  # fmt: skip
"""Form -> width of a pixel relative to its height, and the stored height and width (px)."""


def squeezed(path: Path, pixel: Fraction, size: tuple[int, int], matrix: str = "identity") -> Path:
    stored = cv2.resize(scene(), size[::-1], interpolation=cv2.INTER_AREA)
    made = make(path, steady(12), [stored] * 12, pix_fmt="yuv444p", pixel=pixel)
    return set_display_matrix(made, WAYS[matrix][0]) if path.suffix == ".mp4" else made


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
@pytest.mark.parametrize("form", SQUEEZED)
def test_non_square_pixels_are_resampled_to_square_ones(tmp_path: Path, form: str, suffix: str) -> None:
    pixel, size = SQUEEZED[form]
    path = squeezed(tmp_path / f"in{suffix}", pixel, size)
    image, info = shown(path), probe(path)
    assert (info.width, info.height) == image.shape[1::-1]
    height, width = image.shape[:2]
    assert height >= size[0]
    assert width >= size[1]
    assert width / height == pytest.approx(4 / 3, rel=0.02)
    assert distance(image, cv2.resize(scene(), (width, height))) < 8


@pytest.mark.parametrize("way", WAYS)
def test_non_square_pixels_are_those_of_the_stored_picture(tmp_path: Path, way: str) -> None:
    path = squeezed(tmp_path / "in.mp4", Fraction(4, 3), (48, 48), way)
    assert distance(shown(path), WAYS[way][1](scene())) < 8


def test_an_overlay_of_non_square_pixels_is_not_squeezed(tmp_path: Path) -> None:
    path = squeezed(tmp_path / "in.mp4", Fraction(4, 3), (48, 48))
    rewrite_movie(path, tmp_path / "out.mp4", lambda frame: frame.image)
    assert distance(shown(tmp_path / "out.mp4"), scene()) < 9


def test_a_pixel_of_an_impossible_form_is_square_and_the_limit_is_for_what_is_displayed(tmp_path: Path) -> None:
    assert shown(squeezed(tmp_path / "wide.mp4", Fraction(200), (48, 64))).shape == (48, 64, 3)
    path = squeezed(tmp_path / "in.mp4", Fraction(2), (48, 64))
    assert next(read_frames(path, MediaLimits(max_pixels=128 * 48))).image.shape == (48, 128, 3)
    with pytest.raises(LimitError, match="128 x 48 px"):
        next(read_frames(path, MediaLimits(max_pixels=128 * 48 - 1)))


def test_a_broadcast_whose_pixels_change_form_is_displayed_in_both(tmp_path: Path) -> None:
    parts = [
        make(tmp_path / f"{k}.ts", steady(20, start=0.8 * k), [scene(48, 60)] * 20, "mpeg2video", pixel=pixel)
        for k, pixel in enumerate((Fraction(16, 15), Fraction(64, 45)))
    ]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    shapes = [frame.image.shape for frame in read_frames(tmp_path / "both.ts")]
    assert shapes[0] == (48, 64, 3)
    assert shapes[-1] == (48, 85, 3)


@pytest.mark.parametrize("name", ["YCgCo", "bt2020c", "smpte2085", "chroma-derived-nc", "chroma-derived-c", "ICtCp"])
def test_a_colour_matrix_that_ffmpeg_lacks_is_replaced_with_a_warning(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    colours = np.dstack([scene()[..., 0], scene()[::-1, :, 0], scene()[:, ::-1, 0]])
    plain = make(tmp_path / "plain.mp4", steady(3), [colours] * 3)
    tagged = make(tmp_path / "tagged.mp4", steady(3), [colours] * 3, options={"x264-params": f"colormatrix={name}"})
    with caplog.at_level(logging.WARNING):
        assert distance(shown(plain), shown(tagged)) == 0
        assert caplog.text == ""
        assert len(list(read_frames(tagged))) == 3
    assert caplog.text.count("tagged.mp4: colour matrix") == 1
    assert "colour matrix" in probe(tagged).picture_warning
    assert probe(plain).picture_warning == ""
    rewrite_movie(tagged, tmp_path / "out.mp4", lambda frame: frame.image)
    assert distance(shown(tmp_path / "out.mp4"), shown(plain)) < 5


class Refusing:
    """A converter of colours that always fails, as FFmpeg's does."""

    def reformat(self, *given: object, **settings: object) -> object:
        raise av.error.OSError(95, "Operation not supported")


def test_any_error_of_the_colour_conversion_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "odd.mp4", steady(3))
    monkeypatch.setattr("iaca.media.display.VideoReformatter", Refusing)
    for reading in (probe, shown, lambda path: rewrite_movie(path, tmp_path / "out.mp4", lambda frame: frame.image)):
        with pytest.raises(InputError, match=r"odd\.mp4.*Operation not supported.*Remedy"):
            reading(path)
