"""The live view: what a browser may send, who may send it, and a browser with a camera and a microphone of files."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image

pytest.importorskip("starlette")
from starlette.applications import Starlette
from starlette.testclient import TestClient

from browser import needs_chromium, tab
from iaca.errors import InputError
from iaca.inference.config import NAMED
from iaca.web import live as module
from iaca.web.live import ADDRESS, Live, image_of, parts_of, routes
from project import ROOT, environment
from servers import free_port
from tattle import tattling

KEY, OTHER = "ab" * 16, "cd" * 16
PATIENCE_S = 300


def jpeg(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


def face(k: int = 0) -> np.ndarray:
    """A portrait that moves slowly."""
    return np.ascontiguousarray(skimage.data.astronaut()[k % 7 : 240 + k % 7, 80:400])


def request(time_s: float, image: bytes, samples: np.ndarray, sound_s: float = 0.0, rate: int = 16_000) -> bytes:
    head = json.dumps({"time_s": time_s, "sound_s": sound_s, "rate": rate, "picture": len(image)}).encode()
    return len(head).to_bytes(4, "little") + head + image + (samples * 32767).astype("<i2").tobytes()


def test_a_request_is_taken_apart_as_it_was_put_together() -> None:
    samples = np.linspace(-0.9, 0.9, 77).astype(np.float32)
    head, picture, heard = parts_of(request(1.25, b"picture", samples, 0.5, 48_000))
    assert head == {"time_s": 1.25, "sound_s": 0.5, "rate": 48_000, "picture": 7}
    assert picture == b"picture"
    np.testing.assert_allclose(heard, samples, atol=1e-4)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x05\x00\x00\x00{}",
        (2**31).to_bytes(4, "little") + b"{" * 2000,
        b"\x02\x00\x00\x00[]",
        b"\x04\x00\x00\x00null",
        request(0.0, b"", np.zeros(0)),
        request(0.0, b"abc", np.zeros(0))[:-1],
        request(0.0, b"abc", np.zeros(3))[:-1],
        request(float("nan"), b"abc", np.zeros(0)),
        request(0.0, b"abc", np.zeros(0)).replace(b'"picture": 3', b'"picture": 9'),
        request(0.0, b"abc", np.zeros(0)).replace(b'"rate": 16000', b'"rate": "x"  '),
    ],
)
def test_what_is_no_such_request_is_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="not a frame of the live view"):
        parts_of(body)


def test_a_picture_is_read_as_rgb_and_anything_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 200
    read = image_of(jpeg(red))
    assert read.shape == (40, 60, 3)
    assert abs(read.astype(int) - red).max() < 8
    with io.BytesIO() as buffer:
        Image.fromarray(red).save(buffer, "PNG")
        for other in (b"no picture", buffer.getvalue(), b""):
            with pytest.raises(InputError, match="not a JPEG"):
                image_of(other)
    with pytest.raises(InputError, match="damaged or has more than"):
        image_of(jpeg(np.zeros((2048, 2048, 3), np.uint8)))


@pytest.fixture
def live() -> Iterator[Live]:
    made = Live([NAMED["zero_shot"]])
    yield made
    made.close()


def client_of(live: Live, key: str = KEY) -> TestClient:
    return TestClient(Starlette(routes=routes(live)), headers={"x-iaca-key": key})


@pytest.mark.parametrize("key", ["", "short", "AB" * 16, "zz" * 16])
def test_a_request_without_the_key_of_a_browser_is_refused(live: Live, key: str) -> None:
    for path in ("/start", "/step", "/stop"):
        answer = client_of(live, key).post(ADDRESS + path)
        assert (answer.status_code, answer.json()["problem"]) == (403, "the key of the browser is missing")


def test_a_step_without_a_start_and_a_large_one_are_refused(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client_of(live).post(f"{ADDRESS}/step", content=request(0.0, b"abc", np.zeros(0)))
    assert (answer.status_code, answer.json()["problem"]) == (400, "the live view was stopped")
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    answer = client_of(live).post(f"{ADDRESS}/step", content=bytes(11))
    assert "were sent" in answer.json()["problem"]


@pytest.mark.slow
def test_frames_and_sound_become_rows_for_one_browser_at_a_time(live: Live) -> None:
    client, tone = client_of(live), 0.2 * np.sin(np.arange(1600) / 20)
    assert client.post(f"{ADDRESS}/start").json() == {"stamp": "zero-shot heuristic"}
    rows = []
    for k in range(6):
        body = request(k / 10, jpeg(face(k)), tone, k / 10 + 0.001)
        answer = client.post(f"{ADDRESS}/step", content=body).json()
        rows += answer["rows"]
        assert answer["computed_ms"] > 0
    assert [row["frame"] for row in rows] == list(range(6))
    assert rows[3]["face_found"] is True
    assert rows[3]["audio_present"] is True
    assert -1 <= rows[3]["valence"] <= 1
    assert rows[3]["valence_low"] is None  # NaN is no JSON
    assert len(answer["box"]) == 4
    other = client_of(live, OTHER)
    assert other.post(f"{ADDRESS}/start").json()["problem"] == "another browser is live"
    assert other.post(f"{ADDRESS}/step", content=body).json()["problem"] == "the live view was stopped"
    assert other.post(f"{ADDRESS}/stop").json() == {}
    again = client.post(f"{ADDRESS}/step", content=body).json()
    assert "time 0.5 s is not above" in again["problem"]  # an error of a frame, and the stream goes on
    assert client.post(f"{ADDRESS}/step", content=request(0.7, jpeg(face()), tone, 0.7)).status_code == 200
    client.post(f"{ADDRESS}/stop")
    assert client.post(f"{ADDRESS}/step", content=body).json()["problem"] == "the live view was stopped"
    assert other.post(f"{ADDRESS}/start").status_code == 200


@pytest.mark.slow
def test_a_process_that_nobody_asks_any_more_ends(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(live)
    assert client.post(f"{ADDRESS}/start").status_code == 200
    process = live._process
    assert process is not None
    monkeypatch.setattr(module, "IDLE_S", 0.5)
    process.join(timeout=PATIENCE_S)
    assert not process.is_alive()
    assert client.post(f"{ADDRESS}/step", content=b"").json()["problem"] == "the live view was stopped"


# in a browser


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments of Chromium: a camera that shows a portrait, a microphone that plays a tone, and consent."""
    folder = tmp_path_factory.mktemp("devices")
    with (folder / "camera.y4m").open("wb") as camera:
        camera.write(b"YUV4MPEG2 W320 H240 F15:1 Ip A1:1 C420jpeg\n")
        for k in range(60):
            camera.write(b"FRAME\n" + cv2.cvtColor(face(k // 5), cv2.COLOR_RGB2YUV_I420).tobytes())
    with wave.open(str(folder / "microphone.wav"), "wb") as microphone:
        microphone.setnchannels(1)
        microphone.setsampwidth(2)
        microphone.setframerate(48_000)
        microphone.writeframes((6000 * np.sin(np.arange(96_000) / 40)).astype("<i2").tobytes())
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}",
        f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}",
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path, Path]]:
    """The page: its port, its temporary folder, and the note of connections to elsewhere."""
    folder = tmp_path_factory.mktemp("live")
    log, port, (variables, tattle) = folder / "log", free_port(), tattling(folder, ROOT / "src")
    (folder / "temporary").mkdir()
    own = {**environment(ROOT), "TMPDIR": str(folder / "temporary"), **variables}
    with log.open("w") as output:
        words = [sys.executable, "-m", "iaca.web", "--port", str(port)]
        process = subprocess.Popen(words, env=own, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "iaca is at" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield port, folder / "temporary", tattle
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def files(folder: Path) -> set[Path]:
    return {Path(place, name) for place, _, names in os.walk(folder) for name in names}


@pytest.mark.slow
@needs_chromium
def test_a_browser_shows_its_camera_live_after_a_click_and_keeps_no_picture(
    server: tuple[int, Path, Path], devices: list[str], tmp_path: Path
) -> None:
    port, temporary, tattle = server
    rows = "Number(document.querySelector('.iaca-live .camera').dataset.rows || 0)"
    tracks = "document.querySelector('.iaca-live video').srcObject"
    with tab("fail", *devices) as page:
        refused: list[Any] = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        page.on("pageerror", lambda error: refused.append(error))
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("tab", name="Live").click()
        before = files(temporary)
        assert page.evaluate(f"{tracks} === null")  # nothing before a click
        page.keyboard.press("Tab")
        page.locator(".iaca-live .start").focus()
        page.keyboard.press("Enter")
        page.wait_for_function(f"{rows} > 30")
        said = page.inner_text(".iaca-live .live-now")
        assert "valence" in said
        assert "ms behind the camera" in said
        assert "no face" not in said
        assert "no sound" not in said
        assert page.inner_text(".iaca-live .stamp") == "zero-shot heuristic"
        assert files(temporary) == before
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("tab", name="Annotate").click()  # another tab ends it, and the camera with it
        page.wait_for_function(f"{tracks} === null")
        page.get_by_role("tab", name="Live").click()
        assert page.locator(".iaca-live .start").is_enabled()
        with page.expect_download() as download:
            page.click(".iaca-live .save")
        download.value.save_as(tmp_path / "live.csv")
        assert refused == []
    table = pd.read_csv(tmp_path / "live.csv")
    assert len(table) > 30
    assert {"time_s", "valence", "arousal", "gate_modalities_audio", "latency_ms"} <= set(table)
    assert (table["frame"].diff().iloc[1:] == 1).all()
    assert table["time_s"].is_monotonic_increasing
    assert table["face_found"].iloc[5:].mean() > 0.9
    assert table["audio_present"].iloc[5:].mean() > 0.9
    assert files(temporary) == before
    assert not tattle.exists()


@pytest.mark.slow
@needs_chromium
def test_without_consent_the_page_says_what_helps(server: tuple[int, Path, Path]) -> None:
    with tab("fail", "--use-fake-device-for-media-stream", "--deny-permission-prompts") as page:
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(f"http://127.0.0.1:{server[0]}/")
        page.get_by_role("tab", name="Live").click()
        page.click(".iaca-live .start")
        page.wait_for_selector(".iaca-live .live-message:not([hidden])")
        assert "were not allowed" in page.inner_text(".iaca-live .live-message")
        assert page.locator(".iaca-live .start").is_enabled()
