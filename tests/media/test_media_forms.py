"""Files in all the forms that people have: a row for each decoded frame, in order, at its time; sound on that clock."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from make_media import grey, make, steady, tone

from iaca.corpora.timeline import build_timeline
from iaca.errors import InputError
from iaca.faces import FaceConfig, extract_faces_file, read_faces
from iaca.media import extract_audio, frame_times, probe, read_audio, read_audio_file, read_frames
from shared import SHARED, needs_shared

COUNT = 25
QUIET = {"x265-params": "log-level=none"}
SHARP = {"qscale": "2", "global_quality": "236", "flags": "+qscale"}  # nothing saved: grey levels stay apart
FORMS = {
    "mpeg-1, B-frames": ("a.mpg", "mpeg1video", 2, SHARP),
    "mpeg-1 in a transport stream": ("a.ts", "mpeg1video", 0, SHARP),
    "mpeg-2, interlaced": ("b.mpg", "mpeg2video", 0, {**SHARP, "flags": "+ilme+ildct+qscale"}),
    "mpeg-4 part 2 in avi": ("c.avi", "mpeg4", 0, SHARP),
    "mpeg-4 part 2 in avi, B-frames": ("d.avi", "mpeg4", 2, SHARP),
    "mpeg-4 part 2 in mp4, B-frames": ("e.mp4", "mpeg4", 2, SHARP),
    "h264 in avi, B-frames": ("f.avi", "libx264", 2, {"preset": "fast"}),
    "h264 in mp4, B-frames": ("g.mp4", "libx264", 3, {"preset": "fast"}),
    "h264 in mkv, interlaced": ("h.mkv", "libx264", 0, {"x264-params": "interlaced=1"}),
    "hevc, B-frames": ("i.mp4", "libx265", 3, QUIET),
    "hevc in mkv": ("j.mkv", "libx265", 0, QUIET),
    "motion jpeg in avi": ("k.avi", "mjpeg", 0, {}),
    "flash video": ("l.flv", "flv", 0, {}),
    "windows media": ("m.wmv", "wmv2", 0, {}),
    "bare h264, no times at all": ("n.h264", "libx264", 2, {"preset": "fast"}),
}


def levels(count: int = COUNT) -> list[np.ndarray]:
    """Pictures that grow brighter from one to the next: their order can be seen."""
    return [grey(10 * k) for k in range(count)]


@pytest.mark.parametrize("form", FORMS)
def test_every_frame_comes_once_in_order_and_at_its_time(tmp_path: Path, form: str) -> None:
    name, codec, b_frames, options = FORMS[form]
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make(tmp_path / name, steady(COUNT), levels(), codec, pix_fmt, b_frames=b_frames, options=options)
    frames = list(read_frames(path))
    assert [f.time_s for f in frames] == pytest.approx(steady(COUNT), abs=2e-3)
    assert [f.image.mean() for f in frames] == pytest.approx([10 * k for k in range(COUNT)], abs=9)
    assert frame_times(path).tolist() == [f.time_s for f in frames]
    info = probe(path)
    assert (info.width, info.height, info.has_audio) == (64, 48, False)
    if path.suffix != ".ts":  # there it is a guess (50 here), and a guess is not what times come from
        assert info.nominal_fps == pytest.approx(25, abs=0.1)


def declare(path: Path, frames: int) -> None:
    """Write another number of frames into the headers of an AVI file."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        struct.pack_into("<I", data, data.index(mark) + offset, frames)
    path.write_bytes(data)


@pytest.mark.parametrize("declared", [7, 99])
def test_rows_are_those_decoded_though_the_header_says_another_number(tmp_path: Path, declared: int) -> None:
    path = make(tmp_path / "wrong.avi", steady(COUNT), levels(), "mpeg4")
    declare(path, declared)
    assert probe(path).declared_frames == declared
    assert len(list(read_frames(path))) == COUNT
    build_timeline(path, target=tmp_path / "t.parquet")
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == COUNT


def test_rows_are_those_decoded_though_the_header_says_none(tmp_path: Path) -> None:
    path = make(tmp_path / "none.mkv", steady(COUNT))
    assert probe(path).declared_frames is None
    assert len(frame_times(path)) == COUNT


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov"])
@pytest.mark.parametrize(("pictures", "sound"), [(0.0, 0.4), (0.4, 0.0), (0.32, 0.72), (-0.2, 0.0), (0.0, -0.2)])
def test_flash_and_click_stay_together_whichever_stream_starts_first(
    tmp_path: Path, suffix: str, pictures: float, sound: float
) -> None:
    rate, moment = 16000, 1.2
    click = np.zeros(2 * rate, np.float32)
    click[round((moment - sound) * rate) :][: rate // 50] = tone(0.02, rate, 1000.0, 0.9)
    shown = [grey(255 if abs(t - moment) < 1e-6 else 0) for t in steady(50, start=pictures)]
    audio = {"audio_codec": "aac" if suffix == ".ts" else "pcm_s16le" if suffix in (".mkv", ".mov") else "aac"}
    path = make(tmp_path / f"m{suffix}", steady(50, start=pictures), shown, sounds=[(sound, click)], rate=rate, **audio)
    frames = list(read_frames(path))
    seen = max(frames, key=lambda f: f.image.mean()).time_s
    heard = np.argmax(np.abs(read_audio(path).samples) > 0.3) / rate
    assert heard == pytest.approx(seen, abs=0.004)
    cut = suffix in (".mp4", ".mov") and pictures < 0  # these formats say of what lies before zero: do not show it
    assert len(frames) == (45 if cut else 50)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [("a.wav", "pcm_s16le", 8000, "mono"), ("b.mp3", "libmp3lame", 22050, "mono"), ("c.flac", "flac", 44100, "mono"),
     ("d.m4a", "aac", 48000, "stereo"), ("e.mp3", "libmp3lame", 44100, "stereo"), ("f.wav", "pcm_s16le", 48000, "5.1"),
     ("g.m4a", "aac", 48000, "5.1"), ("h.ogg", "libopus", 48000, "stereo")],
)  # fmt: skip
def test_sound_files_are_heard_whole_at_their_level_and_have_no_frames(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str
) -> None:
    voice = tone(1.0, rate)
    path = make(tmp_path / name, sounds=[(0.0, voice)], rate=rate, layout=layout, audio_codec=codec)
    extract_audio(path, tmp_path / "out.flac")
    track = read_audio_file(tmp_path / "out.flac")
    assert (track.rate, len(track.present)) == (16000, 1)
    assert len(track.samples) == pytest.approx(16000, abs=1300)  # a codec may pad its last block
    middle = track.samples[4000:12000]
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.08)
    assert np.abs(np.fft.rfft(middle)).argmax() / 8000 * 16000 == pytest.approx(440, abs=2)
    with pytest.raises(InputError, match="there is no video stream"):
        build_timeline(path, target=tmp_path / "t.parquet")


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_sound_shorter_or_longer_than_the_video_is_present_where_it_is(tmp_path: Path, seconds: float) -> None:
    path = make(tmp_path / "m.mkv", steady(COUNT), sounds=[(0.0, tone(seconds, 16000))], audio_codec="pcm_s16le")
    track = read_audio(path)
    assert np.array(track.present) == pytest.approx(np.array([[0.0, seconds]]), abs=0.002)
    assert len(frame_times(path)) == COUNT


def test_silence_is_sound_that_is_there(tmp_path: Path) -> None:
    path = make(tmp_path / "m.mp4", steady(COUNT), sounds=[(0.0, np.zeros(16000, np.float32))])
    track = read_audio(path)
    assert track.present[0] == pytest.approx((0.0, 1.0), abs=0.07)
    assert not track.samples.any()


class Nobody:
    """A detector that sees no face."""

    def detect(self, images):
        return [[] for _ in images]


@pytest.mark.parametrize(("name", "rotation", "size"), [("a.mov", 90, (47, 61)), ("b.mkv", 0, (49, 63))])
def test_timeline_faces_and_frames_agree_in_number_and_time(
    tmp_path: Path, name: str, rotation: int, size: tuple[int, int]
) -> None:
    times = np.cumsum([0.0, 0.04, 0.02, 0.3, 0.04, 0.01, 0.2]) + 0.24  # a variable rate, and a late start
    pictures = [grey(80, *size)] * len(times)
    sound = [(0.0, tone(1.0, 16000))]
    path = make(tmp_path / name, times, pictures, "libx264", "yuv444p", rotation, sound)
    build_timeline(path, target=tmp_path / "t.parquet")
    extract_faces_file(path, tmp_path / "f.parquet", FaceConfig(), detector=Nobody())
    timeline, faces = pd.read_parquet(tmp_path / "t.parquet"), read_faces(tmp_path / "f.parquet")
    assert timeline["time_s"].to_numpy() == pytest.approx(times, abs=2e-3)
    assert timeline["time_s"].tolist() == faces["time_s"].tolist()
    assert timeline["frame"].tolist() == list(range(len(times)))


@pytest.mark.slow
@needs_shared("media")
@pytest.mark.parametrize(
    ("name", "start", "end"),
    [("face_noface.mov", 2.43, 6.396), ("no_face.mp4", 0.0, 3.945), ("noface_face.mov", 0.0, 3.966),
     ("single_face.mp4", 0.0, 2.395)],
)  # fmt: skip
def test_recordings_of_phones_and_cameras_keep_one_clock(
    name: str, start: float, end: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        build_timeline(SHARED / "media" / name, target=tmp_path / "t.parquet")
        extract_audio(SHARED / "media" / name, tmp_path / "a.flac")
    assert caplog.text == ""
    times = pd.read_parquet(tmp_path / "t.parquet")["time_s"].to_numpy()
    track = read_audio_file(tmp_path / "a.flac")
    assert times[0] == 0.0
    assert (np.diff(times) > 0).all()
    assert len(track.present) == 1
    assert len(track.samples) / track.rate == pytest.approx(track.present[0][1], abs=1e-3)
    assert track.present[0] == pytest.approx((start, end), abs=0.03)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
@pytest.mark.parametrize("start", [0.25, 0.5, 7200.0])
def test_the_claimed_duration_does_not_count_what_is_before_the_first_frame(
    tmp_path: Path, name: str, start: float
) -> None:
    sound = [(start, tone(2.0, 16_000))]
    path = make(tmp_path / name, steady(50, start=start), sounds=sound, audio_codec="mp2" if name != "a.mp4" else "aac")
    assert probe(path, decoding=False).duration_s == pytest.approx(2.0, abs=0.12)
