"""Frames are displayed as players show them: square pixels, turned and mirrored by the display matrix."""

from __future__ import annotations

import logging
import shutil
import struct
import subprocess
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from make_media import WAYS, grey, make, set_display_matrix, steady
from matroska import matroska, pictures
from PIL import Image, ImageOps

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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_the_exif_of_motion_jpeg_is_applied(tmp_path: Path, orientation: int) -> None:
    exif, file, picture = Image.Exif(), BytesIO(), Image.fromarray(scene())
    exif[0x0112] = orientation
    picture.save(file, "JPEG", exif=exif, quality=95)
    path = matroska(tmp_path / "camera.mkv", [pictures(64, 48)], [(0, 40 * k, file.getvalue()) for k in range(3)])
    picture.getexif()[0x0112] = orientation
    assert distance(shown(path), np.asarray(ImageOps.exif_transpose(picture))) < 2


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


def test_the_form_of_pixels_in_the_container_comes_before_that_in_the_stream(tmp_path: Path) -> None:
    path = squeezed(tmp_path / "in.mp4", Fraction(4, 3), (48, 48))
    data = bytearray(path.read_bytes())
    place = data.index(b"pasp") + 4
    assert struct.unpack_from(">2I", data, place) == (4, 3)
    struct.pack_into(">2I", data, place, 2, 1)
    path.write_bytes(data)
    assert shown(path).shape[:2] == (48, 96)


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
    monkeypatch.setattr("iaca.media.video.VideoReformatter", Refusing)
    for reading in (probe, shown, lambda path: rewrite_movie(path, tmp_path / "out.mp4", lambda frame: frame.image)):
        with pytest.raises(InputError, match=r"odd\.mp4.*Operation not supported.*Remedy"):
            reading(path)


def pq_signal(light: np.ndarray) -> np.ndarray:
    """Light in cd/m2 as a PQ signal in 0..1 (SMPTE ST 2084)."""
    power = (light / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg_signal(light: np.ndarray) -> np.ndarray:
    """Light in cd/m2 of a screen of 1000 cd/m2 as an HLG signal in 0..1 (ITU-R BT.2100)."""
    scene = (light / 1000) ** (1 / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


HDR = {"smpte2084": pq_signal, "arib-std-b67": hlg_signal}
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def hdr(path: Path, light: np.ndarray, transfer: str) -> Path:
    """Three pictures of this light (h, w, 3; BT.709, 1 is 203 cd/m2) as a phone writes them: BT.2020, 10 bit."""
    signal = np.round(65535 * HDR[transfer](np.clip(203 * light @ TO_BT2020.T, 0, 10000))).clip(0, 65535)
    tags = f"log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"crf": "4", "x265-params": tags})
        stream.height, stream.width, stream.pix_fmt = *light.shape[:2], "yuv420p10le"
        for k in range(3):
            frame = av.VideoFrame.from_ndarray(signal.astype(np.uint16), format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace="BT2020")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def smooth(height: int = 96, width: int = 128) -> np.ndarray:
    """An SDR picture of soft colours, skin among them."""
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]  # fmt: skip
    return np.dstack([40 + 180 * x, 60 + 120 * y, 50 + 100 * (1 - x)]).round().astype(np.uint8)


@pytest.mark.parametrize("transfer", HDR)
def test_hdr_looks_as_the_same_picture_in_sdr(tmp_path: Path, transfer: str) -> None:
    path = hdr(tmp_path / "hdr.mp4", (smooth() / 255) ** 2.4, transfer)
    image = shown(path)
    assert distance(image, smooth()) < 2
    assert np.percentile(np.abs(image.astype(float) - smooth()), 99) < 6
    assert probe(path).picture_warning == ""


@pytest.mark.parametrize("transfer", HDR)
def test_light_above_the_reference_white_is_white(tmp_path: Path, transfer: str) -> None:
    light = np.ones((48, 64, 3)) * np.linspace(0, 4, 64)[:, None]
    row = shown(hdr(tmp_path / "hdr.mp4", light, transfer)).mean(axis=(0, 2))
    assert (row[24:] > 250).all()
    assert row[4] == pytest.approx(255 * light[0, 4, 0] ** (1 / 2.4), abs=6)
