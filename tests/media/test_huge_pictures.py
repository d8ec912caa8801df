"""Frames of 15360 x 8640 px: refused before they take memory, and lost by themselves in the midst of a video."""

import logging
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from matroska import VIDEO, Track, element, jpeg, matroska, number, pictures
from PIL import Image

from iaca.errors import InputError
from iaca.media import MediaLimits, frame_times, read_frames
from project import ROOT, environment

WIDTH, HEIGHT = 15360, 8640
DECODE = """
import sys
from iaca.errors import InputError
from iaca.media import read_frames

def peak():  # ru_maxrss would begin at the size of the process that started this one
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
try:
    print(len(list(read_frames(sys.argv[1]))))
except InputError as error:
    print(error)
print(peak() - before)
"""
"""Prints what became of a file, and by how much (KiB) the peak of memory grew."""


SMALL_H264 = bytes.fromhex("0142c00affe100156742c00adc47a1000003000100000300328f12278001000468ce0fc8")
"""What the header of a file says of a stream of 64 x 48 px."""
HUGE_H264 = [bytes.fromhex(unit) for unit in (
    "6742c03eda003c000439a1000003000100000300328f08042a", "68ce0fc8", "6588843a" + 36 * "27",
)]  # fmt: skip
"""Parameters of a stream of 15360 x 8640 px, and how its first picture begins."""


@pytest.fixture(scope="module")
def huge() -> bytes:
    """A whole picture, a few hundred KB of JPEG."""
    file = BytesIO()
    Image.new("L", (WIDTH, HEIGHT), 128).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("claimed", [(WIDTH, HEIGHT), (64, 48)])
def test_it_is_refused_by_the_parameters_name_without_its_memory(
    huge: bytes, tmp_path: Path, claimed: tuple[int, int]
) -> None:
    path = matroska(tmp_path / "16k.mkv", [pictures(*claimed)], [(0, 0, huge)])
    done = subprocess.run(
        [sys.executable, "-c", DECODE, path], env=environment(ROOT), capture_output=True, text=True, check=True
    )
    error, grown = done.stdout.splitlines()
    assert "16k.mkv" in error
    assert "max_pixels = 16777216" in error
    assert "media.max_pixels" in error.split("Remedy: ")[1]
    assert int(grown) < 60_000  # a grey frame alone has 133 MB


@pytest.mark.slow
def test_seventy_bytes_of_h264_that_claim_as_much_are_refused_alike(tmp_path: Path) -> None:
    """The header names 64 x 48 px; what the decoder is told comes with the picture."""
    header = element("63A2", SMALL_H264), element("E0", number("B0", 64), number("BA", 48))
    track = Track(VIDEO, b"V_MPEG4/ISO/AVC", b"".join(header))
    claim = b"".join(len(unit).to_bytes(4, "big") + unit for unit in HUGE_H264)
    path = matroska(tmp_path / "lies.mkv", [track], [(0, 0, claim), (0, 40, claim)])
    done = subprocess.run(
        [sys.executable, "-c", DECODE, path], env=environment(ROOT), capture_output=True, text=True, check=True
    )
    error, grown = done.stdout.splitlines()
    assert f"{WIDTH} x {HEIGHT} px" in error
    assert "media.max_pixels" in error.split("Remedy: ")[1]
    assert int(grown) < 100_000  # read with the limit raised it takes 1.4 GB


def test_it_is_whole_and_read_where_the_limit_is_raised(huge: bytes, tmp_path: Path) -> None:
    path = matroska(tmp_path / "16k.mkv", [pictures(WIDTH, HEIGHT)], [(0, 0, huge)])
    assert frame_times(path, MediaLimits(max_pixels=WIDTH * HEIGHT)).tolist() == [0.0]
    with pytest.raises(InputError, match="max_pixels"):
        frame_times(path, MediaLimits(max_pixels=WIDTH * HEIGHT - 1))


def test_in_the_midst_of_a_video_it_is_lost_and_counted_and_the_others_have_rows(
    huge: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = [(0, 40 * k, jpeg(100 + k)) for k in range(8)]
    blocks = [*small[:3], (0, 120, huge), (0, 160, huge), *small[5:]]
    path = matroska(tmp_path / "grows.mkv", [pictures()], blocks)
    with caplog.at_level(logging.WARNING):
        frames = list(read_frames(path))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.2, 0.24, 0.28])
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [frame.index for frame in frames] == list(range(6))
    (told,) = [record.getMessage() for record in caplog.records]
    assert "grows.mkv" in told
    assert "2 " in told
