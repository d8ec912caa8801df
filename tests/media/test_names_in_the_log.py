"""What a name would do to a terminal is spelt out in the log."""

import logging
from pathlib import Path

import numpy as np
import pytest
from matroska import jpeg, matroska, pictures, sound

from iaca.media import read_frames
from iaca.media.write import rewrite_movie

STEERING = "\x1b]0;title\x07\x1b[2J\u009b1m two\nlines"
SPELT = "\\x1b]0;title\\x07\\x1b[2J\\x9b1m two\\nlines"


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """A video with a picture that is none, which breaks off, under a name that steers terminals."""
    blocks = [(0, 40 * k, jpeg() if k != 2 else b"no picture") for k in range(6)]
    samples = np.zeros(3200, np.int16).tobytes()
    path = matroska(tmp_path / f"{STEERING}.mkv", [pictures(), sound()], [*blocks[:3], (1, 0, samples), *blocks[3:]])
    path.write_bytes(path.read_bytes()[:-200])
    return path


def test_a_videos_name_does_not_steer_the_terminal(
    torn: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert len(list(read_frames(torn))) >= 4
        rewrite_movie(torn, tmp_path / "out.mp4", lambda frame: frame.image)
    said = [record.getMessage() for record in caplog.records]
    assert said
    assert all(f"{SPELT}.mkv" in line for line in said)
    assert all(line.isprintable() for line in said)
