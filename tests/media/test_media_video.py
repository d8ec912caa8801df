"""Frames come upright, all that decode, each at its own time on the container's clock."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from make_media import TICK, grey, make, steady, tone

from iaca.errors import InputError
from iaca.media import MediaLimits, frame_times, probe, read_frames
from iaca.media.video import TICK_S, FrameClock
from shared import SHARED, needs_shared


def test_times_are_presentation_times_at_a_variable_frame_rate(tmp_path):
    times = np.cumsum([0.0, 0.04, 0.02, 0.3, 0.01, 0.04, 1.1, 0.05])
    path = make(tmp_path / "vfr.mp4", times)
    assert frame_times(path) == pytest.approx(times, abs=1e-4)
    frames = list(read_frames(path))
    assert [f.index for f in frames] == list(range(len(times)))
    assert [f.time_s for f in frames] == list(frame_times(path))


def test_late_pictures_keep_their_distance_from_the_sound(tmp_path):
    path = make(tmp_path / "late.mp4", steady(5, start=0.5), sounds=[(0.0, tone(1.0, 16000))])
    assert frame_times(path) == pytest.approx(steady(5, start=0.5), abs=1e-3)
    assert probe(path).video_start_s == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("start", [0.0, 3.0])
def test_the_first_stream_to_start_is_zero_wherever_the_file_starts(tmp_path, start):
    path = make(tmp_path / "start.ts", steady(5, start=start))
    assert frame_times(path) == pytest.approx(steady(5), abs=1e-4)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_recordings_come_upright(tmp_path, rotation):
    upright = grey(40, 48, 64)
    upright[:16, :16] = 220  # a bright corner, top left
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    path = make(tmp_path / "turned.mp4", steady(3), [stored] * 3, rotation=rotation)
    image = next(iter(read_frames(path))).image
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 8
    info = probe(path)
    assert (info.width, info.height, info.rotation) == (64, 48, rotation)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [("libx264", "yuv444p", ".mp4"), ("libx264", "yuv420p10le", ".mkv"), ("libx265", "yuv420p10le", ".mp4"),
     ("mpeg4", "yuv420p", ".avi"), ("libvpx-vp9", "yuv420p", ".webm")],
)  # fmt: skip
def test_codecs_depths_and_odd_sizes_decode_to_8_bit_rgb(tmp_path, codec, pix_fmt, suffix):
    height, width = (48, 64) if suffix != ".mp4" or codec == "libx265" else (47, 61)
    path = make(tmp_path / f"clip{suffix}", steady(4), [grey(k * 60, height, width) for k in range(4)], codec, pix_fmt)
    frames = list(read_frames(path))
    assert [f.image.shape for f in frames] == [(height, width, 3)] * 4
    assert [f.image.mean() for f in frames] == pytest.approx([0, 60, 120, 180], abs=6)


def test_a_broken_off_file_gives_the_frames_that_decode(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (50, 48, 64, 3), dtype=np.uint8)
    whole = make(tmp_path / "whole.mkv", steady(50), list(noise))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    times = frame_times(cut)
    assert 10 < len(times) < 40
    assert times == pytest.approx(steady(len(times)), abs=1e-3)


def test_damaged_packets_are_skipped_and_counted(tmp_path, caplog):
    path = make(tmp_path / "clip.mov", steady(20), codec="png", pix_fmt="rgb24")
    parts = path.read_bytes().split(b"\x89PNG")
    path.write_bytes(
        b"".join(p if k == 0 else (b"\0PNG" if k in (6, 7, 12) else b"\x89PNG") + p for k, p in enumerate(parts))
    )
    with caplog.at_level(logging.WARNING):
        times = frame_times(path)
    assert times == pytest.approx([t for k, t in enumerate(steady(20)) if k + 1 not in (6, 7, 12)], abs=1e-3)
    assert "clip.mov: skipped 3 packets" in caplog.text


def test_unreadable_files_are_named_with_a_remedy(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("this is no movie\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.txt").write_text("a text file\n" * 100)
    for name in ("text.mp4", "empty.mp4", "notes.txt", "missing.mp4"):
        with pytest.raises(InputError, match="Remedy") as raised:
            next(iter(read_frames(tmp_path / name)))
        assert name in str(raised.value)
        with pytest.raises(InputError):
            probe(tmp_path / name)


def test_a_sound_file_has_no_frames(tmp_path):
    path = make(tmp_path / "voice.wav", sounds=[(0.0, tone(0.2, 16000))], audio_codec="pcm_s16le")
    assert not probe(path).has_video
    with pytest.raises(InputError, match="no video"):
        next(iter(read_frames(path)))


def test_a_colon_in_the_name_is_no_protocol(tmp_path):
    made = make(tmp_path / "plain.mp4", steady(2))
    path = made.rename(tmp_path / "take 1: angry.mp4")
    assert len(frame_times(path)) == 2


def clock_of(start_time: int = 0) -> FrameClock:
    video = SimpleNamespace(average_rate=25, guessed_rate=25, start_time=start_time, time_base=TICK)
    return FrameClock(
        SimpleNamespace(
            video=video, origin=0, start_s=lambda stream: start_time * float(TICK), limits=MediaLimits(), path="v.mp4"
        )
    )


def times_of(clock: FrameClock, seconds: list[float | None]) -> list[float]:
    frames = [SimpleNamespace(pts=None if s is None else round(s / TICK), time_base=TICK) for s in seconds]
    return [clock(frame) for frame in frames]


def test_frames_without_a_timestamp_follow_at_the_nominal_interval():
    assert times_of(clock_of(), [None, None, 0.08, None]) == pytest.approx([0.0, 0.04, 0.08, 0.12])


def test_repeated_and_falling_timestamps_are_stepped_over():
    times = times_of(clock_of(), [0.0, 0.04, 0.04, 0.03, 0.12])
    assert times == pytest.approx([0.0, 0.04, 0.04 + TICK_S, 0.04 + 2 * TICK_S, 0.12])


def test_a_clock_that_restarts_goes_on():
    assert times_of(clock_of(), [9.96, 10.0, 0.0, 0.04]) == pytest.approx([9.96, 10.0, 10.04, 10.08])


@pytest.mark.slow
@needs_shared("media")
@pytest.mark.parametrize(("name", "count"), [("no_face.mp4", 95), ("single_face.mp4", 72), ("face_noface.mov", 169)])
def test_rows_are_the_frames_that_decode_not_those_declared(name, count):
    times = frame_times(SHARED / "media" / name)
    assert len(times) == count
    assert (np.diff(times) > 0).all()


@needs_shared("media")
def test_probe_tells_what_a_phone_recording_holds():
    info = probe(SHARED / "media" / "face_noface.mov")
    assert (info.video_codec, info.audio_codec, info.width, info.height) == ("hevc", "aac", 960, 540)
    assert info.audio_start_s == pytest.approx(2.43, abs=0.001)
    assert probe(SHARED / "media" / "no_face.mp4").declared_frames == 98
