"""One rule for what is taken as media: by the ending where it is known, else by content."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from make_media import make, steady, tone
from PIL import Image

from iaca.errors import InputError
from iaca.media import kind_of, left_out, probe

SOUND = [(0.0, tone(0.5, 16000))]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transport stream, as camcorders record."""
    return make(tmp_path_factory.mktemp("stream") / "a.ts", steady(12), sounds=SOUND, audio_codec="mp2")


@pytest.mark.parametrize(
    "name", ["00001.MTS", "00002.m2ts", "VTS_01_1.VOB", "tape", "clip.xyz", "avseq01.DAT", "live.ts"]
)
def test_what_opens_as_a_video_is_one_whatever_its_ending(tmp_path: Path, stream: Path, name: str) -> None:
    path = Path(shutil.copy(stream, tmp_path / name))
    assert kind_of(path) == "video"
    assert probe(path).has_video


@pytest.mark.parametrize("name", ["a.ogv", "a.dv", "a.mxf", "a.mp4", "a.Mov", "a.rmvb"])
def test_a_known_ending_is_enough_so_that_a_damaged_video_is_not_passed_over(tmp_path: Path, name: str) -> None:
    assert kind_of(written(tmp_path / name, b"")) == "video"
    assert kind_of(written(tmp_path / name, b"no video at all")) == "video"
    assert kind_of(tmp_path / f"missing-{name}") == "video"


def test_sound_is_told_by_ending_or_by_content(tmp_path: Path) -> None:
    assert kind_of(written(tmp_path / "a.wav", b"")) == "sound"
    for ending in ("wav", "ogg"):
        codec = {"wav": "pcm_s16le", "ogg": "libopus"}[ending]
        path = make(tmp_path / f"v.{ending}", sounds=[(0.0, tone(0.5, 48000))], rate=48000, audio_codec=codec)
        assert kind_of(Path(shutil.copy(path, tmp_path / f"voice-{ending}"))) == "sound"
    assert kind_of(tmp_path / "v.ogg") == "sound"


def test_text_pictures_and_archives_are_recognised_without_an_ending(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "p.png")
    np.save(tmp_path / "array.npy", np.zeros(9))
    contents = {
        "README": b"Read me.\n", "latin": "K\xf6ln".encode("latin-1"), "utf-16": "K\xf6ln".encode("utf-16"),
        "empty": b"", "picture": (tmp_path / "p.png").read_bytes(), "archive": gzip.compress(b"text"),
        "array": (tmp_path / "array.npy").read_bytes(), "page.ts": b"export const answer: number = 42;\n",
        "module.mts": b"import { a } from './a';\n", "long": "\xe4".encode() * 5000,
    }  # fmt: skip
    assert {name: kind_of(written(tmp_path / name, content)) for name, content in contents.items()} == dict.fromkeys(
        contents, "other"
    )
    assert {kind_of(tmp_path / name) for name in ("a.csv", "b.PNG", "c.safetensors", "d.srt", "e.part")} == {"other"}


def test_pipes_and_links_to_nowhere_without_an_ending_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to("loop")
    assert [kind_of(tmp_path / name) for name in ("pipe", "gone", "loop")] == ["other"] * 3


def test_what_is_nothing_known_is_an_error_with_the_reason(tmp_path: Path) -> None:
    noise = bytes([0, 1, 2, 3]) + np.random.default_rng(0).bytes(3000)
    with pytest.raises(InputError, match=r"unknown\.xyz: can't be opened as a media file"):
        kind_of(written(tmp_path / "unknown.xyz", noise))


def test_files_left_out_are_counted_by_ending() -> None:
    assert left_out(map(Path, ["a.csv", "b.CSV", "c.png", "README"])) == "2 .csv, 1 .png, 1 without ending"


def test_empty_files_and_archives_are_told_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "videos.ZIP").write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(InputError, match=r"a\.mp4: the file is empty Remedy: copy it again"):
        probe(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"videos\.ZIP: an archive is not a media file Remedy: unpack it"):
        probe(tmp_path / "videos.ZIP")
