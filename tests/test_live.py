"""`python -m iaca.live`: a file in real time, cameras that are not there, and an end by Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skimage.data

from iaca import live
from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.live import Event, capture, main, play, run
from iaca.media import read_audio, write_movie
from project import ROOT, environment

FPS, SECONDS = 10, 1.5


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, face = tmp_path_factory.mktemp("live") / "person.mp4", skimage.data.astronaut()[:240, 80:400]
    tone = 0.2 * np.sin(2 * np.pi * 200 * np.arange(round(SECONDS * 16_000)) / 16_000).astype(np.float32)
    write_movie(path, ((k / FPS, face) for k in range(round(SECONDS * FPS))), FPS, tone)
    return path


def test_a_file_is_played_in_order_and_its_sound_is_complete_before_each_frame(video: Path) -> None:
    heard_s, sound = 0.0, []
    for event in play(video, speed=0):
        if event.samples is not None:
            assert event.time_s == pytest.approx(heard_s, abs=1e-4)
            heard_s += len(event.samples) / 16_000
            sound.append(event.samples)
        else:
            assert event.image is not None
            assert heard_s > event.time_s or heard_s >= SECONDS - 0.05
    whole = read_audio(video).samples[:]
    together = np.concatenate(sound)
    np.testing.assert_array_equal(together, whole[: len(together)])


def test_a_file_is_played_in_real_time(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    frames = [(event.time_s, event.captured_s, now[0]) for event in play(video, speed=2.0) if event.image is not None]
    for time_s, captured_s, at in frames:
        assert captured_s == pytest.approx(100 + time_s / 2)
        assert at >= captured_s - 1e-6


def rows_of(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_a_file_is_played_and_its_rows_are_those_of_the_recording(
    video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--file", str(video), "--speed", "0"]) == 0
    printed = capsys.readouterr()
    table, offline = rows_of(printed.out), Predictor.load("zero_shot").predict(video)
    assert list(table.columns) == [*offline.columns, "latency_ms"]
    np.testing.assert_allclose(table["time_s"], offline["time_s"], atol=1e-6)
    assert table["face_found"].equals(offline["face_found"])
    assert table["valence"].notna().all()
    assert "zero-shot heuristic" in printed.err
    assert f"{len(offline)} rows in " in printed.err
    assert "ms behind the camera" in printed.err


def test_on_a_terminal_one_line_is_drawn_again(video: Path) -> None:
    output = io.StringIO()
    run(Predictor.load("zero_shot"), play(video, speed=0), output, drawn=True, drops=False)
    lines = output.getvalue().split("\r")
    assert len(lines) > 1
    assert "valence" in lines[-1]
    assert " ms  " in lines[-1]
    assert lines[-1].endswith("\n")


def test_late_frames_are_left_out_and_counted(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def late() -> Iterator[Event]:
        for k, event in enumerate(play(video, speed=0)):
            late_s = 2 * live.LATE_S if event.image is not None and k % 2 else 0.0
            yield event._replace(captured_s=event.captured_s - late_s)

    output, count = io.StringIO(), sum(event.image is not None for event in play(video, speed=0))
    run(Predictor.load("zero_shot"), late(), output, drawn=False, drops=True)
    kept = len(rows_of(output.getvalue()))
    assert 0 < kept < count
    assert f"{count - kept} frames left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--camera", "0", "--microphone", "none"], "there is no camera 0"),
        (["--camera", "/dev/none", "--microphone", "none"], "there is no camera /dev/none"),
        (["--file", "none.mp4"], "none.mp4"),
        (["--file", "none.mp4", "--speed", "nan"], "above 0"),
        (["--file", "none.mp4", "--speed", "-1"], "above 0"),
        (["--file", "VIDEO", "--model", "none.safetensors"], "there is no model"),
        (["--file", "VIDEO", "--every", "0"], "every"),
    ],
)
def test_what_can_not_start_says_why(
    words: list[str], named: str, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[1] == "0" and Path("/dev/video0").exists():
        pytest.skip("this machine has a camera")
    assert main([str(video) if word == "VIDEO" else word for word in words]) == 1
    assert named in capsys.readouterr().err


class Camera:
    """A camera that shows a frame whenever it is asked, and is unplugged after some."""

    def __init__(self, frames: int):
        self.left, self.released, self.pause = frames, False, threading.Event()

    def isOpened(self) -> bool:  # noqa: N802  OpenCV's name
        return True

    def set(self, *_: Any) -> None: ...

    def read(self) -> tuple[bool, np.ndarray]:
        self.left -= 1
        self.pause.wait(0.02)
        return self.left >= 0, np.full((4, 6, 3), [255, 0, 0], np.uint8)

    def release(self) -> None:
        self.released = True


def test_a_camera_gives_rgb_frames_in_order_until_it_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, seen = Camera(5), list[Event]()
    monkeypatch.setattr("cv2.VideoCapture", lambda _: camera)
    with pytest.raises(InputError, match="gives no more pictures"):
        seen.extend(capture("0", None, 15))
    seen = []
    camera = Camera(5)
    events = capture("0", None, 15)
    for event in events:
        seen.append(event)
        if len(seen) == 3:
            break
    events.close()  # type: ignore[attr-defined]
    assert camera.released
    assert [event.image is not None for event in seen] == [True] * 3
    assert seen[0].image is not None
    assert seen[0].image[0, 0].tolist() == [0, 0, 255]  # OpenCV's order is BGR
    assert seen[0].time_s < seen[1].time_s < seen[2].time_s


def test_a_microphone_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.VideoCapture", lambda _: Camera(1))
    with pytest.raises(InputError, match="there is no microphone nothing-of-this-name"):
        capture("0", "nothing-of-this-name", 15)


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(video: Path) -> None:
    words = [sys.executable, "-m", "iaca.live", "--file", str(video), "--speed", "0.05"]
    process = subprocess.Popen(
        words, env=environment(ROOT), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("clip,frame")  # it has begun
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "ms behind the camera" in said
    assert "Traceback" not in said
