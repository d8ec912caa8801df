"""The page as a person uses it: in a browser, with a real clip, on a machine that lets nothing out."""

import functools
import signal
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skimage.data
from started_page import PATIENCE_S, Server, files, opened, started, wait_for
from tiny_model import MARKUP, ORIGIN, save_tiny_model

from browser import needs_chromium, tab
from iaca.media import frame_times, probe, write_movie
from shared import SHARED

pytestmark = [pytest.mark.slow, needs_chromium]
REAL = SHARED / "media/single_face.mp4"
VIDEO = "document.querySelector('video.overlay')"
CURSOR = "Number(document.querySelector('.cursor').dataset.time)"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real clip where there is one, else a portrait that stands still over a tone."""
    if REAL.exists():
        return REAL
    target, face = tmp_path_factory.mktemp("clip") / "single_face.mp4", skimage.data.astronaut()[:240, 80:400]
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(32_000) / 16_000).astype(np.float32)
    write_movie(target, ((i / 20, face) for i in range(40)), 20, tone, 16_000)
    return target


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("web")
    model = save_tiny_model(folder / "tiny.safetensors")
    with started(folder, "--model", str(model), "--max-mb", "1", "--max-seconds", "3") as server:
        yield server


@pytest.fixture
def page(server: Server) -> Iterator[Any]:
    with opened(server) as page:
        yield page


def drop(page: Any, file: Path) -> None:
    page.set_input_files("#drop input[type=file]", file)


def test_a_dropped_video_gets_an_overlay_traces_tied_to_it_and_a_table(
    server: Server, page: Any, clip: Path, tmp_path: Path
) -> None:
    said = page.inner_text(".iaca-model")
    assert "iaca, trained on no corpus" in said
    assert ORIGIN["caveat"][1:] in said
    assert "at work and in education is prohibited" in page.inner_text(".iaca-head")
    drop(page, clip)
    page.wait_for_selector(".iaca-result:not([hidden])")
    page.wait_for_function(f"{VIDEO}.readyState >= 2")
    overlay = next(path for path in files(server.temporary) if path.suffix == ".mp4")
    assert probe(overlay).has_audio
    assert page.inner_text(".iaca-result .stamp") == "trained on no corpus: the summary has its caveat"
    assert page.evaluate(CURSOR) == 0
    page.click("button.play")
    page.wait_for_function(f"{CURSOR} > 0.4")
    page.click("button.play")
    page.wait_for_function(f"{VIDEO}.paused && Math.abs({CURSOR} - {VIDEO}.currentTime) < 0.05")
    width, times = page.locator(".traces").bounding_box()["width"], frame_times(clip)
    page.locator(".traces").click(position={"x": 62 + 0.75 * (width - 74), "y": 60})
    page.wait_for_function(f"!{VIDEO}.seeking && Math.abs({CURSOR} - {VIDEO}.currentTime) < 0.01")
    assert page.evaluate(f"{VIDEO}.currentTime") == pytest.approx(0.75 * times[-1], abs=0.05)
    with page.expect_download() as download:
        page.click("text=CSV")
    download.value.save_as(tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert download.value.suggested_filename == "single_face.csv"
    assert len(table) == len(times)
    assert {"valence", "arousal", "gate_modalities_audio", "gate_modalities_visual"} <= set(table)
    row = table[table["time_s"] <= 0.75 * times[-1] + 1e-3].iloc[-1]
    assert f"valence {row['valence']:+.2f}".replace("-", "−") in page.inner_text(".now").replace("\n", " ")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
    wait_for(lambda: files(server.temporary / next(server.temporary.iterdir()) / "results") == [])


def test_what_cannot_be_analysed_is_refused_with_what_helps(page: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear model, how do I feel?")
    drop(page, tmp_path / "letter.mp4")
    page.wait_for_selector(".iaca-error >> text=letter.mp4: this is not a readable video")
    page.wait_for_timeout(1000)
    assert "What helps: drop a video file that plays on this machine" in page.inner_text(".iaca-error")
    write_movie(tmp_path / "long.mp4", ((i / 2, np.zeros((48, 64, 3), np.uint8)) for i in range(8)), 2)
    drop(page, tmp_path / "long.mp4")
    page.wait_for_selector(".iaca-error >> text=the video is 4 s long, and this page accepts at most 3 s")
    (tmp_path / "large.mp4").write_bytes(bytes(2**20 + 1))
    drop(page, tmp_path / "large.mp4")
    page.wait_for_selector("text=/exceed the maximum allowed size/")
    assert page.is_hidden(".iaca-result")


def test_names_that_are_markup_are_shown_as_text_and_run_nothing(page: Any, tmp_path: Path) -> None:
    """Of an upload that is refused, of one that is analysed, and in what a model file says of itself.

    Gradio takes some signs out of the names of uploads before the page sees them; a model's words come as they are.
    """
    ran: list[str] = []
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    page.reload()
    assert MARKUP in page.inner_text(".iaca-model")  # from the tiny model's caveat
    (tmp_path / f"{MARKUP} &ltb.mp4").write_text("Dear model, how do I feel?")
    drop(page, tmp_path / f"{MARKUP} &ltb.mp4")
    page.wait_for_selector(".iaca-error >> text=& 'c'")
    assert page.inner_text(".iaca-error b").startswith(
        "img src=x onerror=alert(1) & 'c' [x](javascriptalert(1)) &ltb.mp4:"
    )
    face = skimage.data.astronaut()[:240, 80:400]
    write_movie(tmp_path / f"{MARKUP} &lt.mp4", ((i / 20, face) for i in range(10)), 20)
    drop(page, tmp_path / f"{MARKUP} &lt.mp4")
    page.wait_for_selector(".iaca-result:not([hidden])")
    assert page.inner_text(".name").strip() == "img src=x onerror=alert(1) & 'c' [x](javascriptalert(1)) &lt"
    assert page.locator("[onerror], img[src=x], a[href^=javascript]").count() == 0
    assert ran == []


ELSEWHERE = """<img src="http://127.0.0.1:{port}/gradio_api/app_id"><iframe src="http://127.0.0.1:{port}/"></iframe>
<script src="http://127.0.0.1:{port}/theme.css"></script><a href="http://127.0.0.1:{port}/">the page</a>"""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_elsewhere_can_link_to_it_and_neither_frame_nor_embed_it(
    server: Server, tmp_path: Path, host: str
) -> None:
    """To a browser `localhost` is another site than 127.0.0.1, and another port the same site."""
    (tmp_path / "index.html").write_text(ELSEWHERE.format(port=server.port))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    answers: dict[str, int] = {}
    failed: set[str] = set()
    address = f"http://127.0.0.1:{server.port}"
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as other, tab() as opened:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        opened.on("response", lambda answer: answers.update({answer.url: answer.status}))
        opened.on("requestfailed", lambda request: failed.add(request.url))
        opened.goto(f"http://{host}:{other.server_port}/")
        assert answers[f"{address}/"] == 403
        assert failed == {f"{address}{path}" for path in ("/", "/gradio_api/app_id", "/theme.css")}
        opened.click("text=the page")
        opened.wait_for_selector("#drop input[type=file]", state="attached")
        assert answers[f"{address}/"] == 200
        opened.reload()
        opened.wait_for_selector("#drop input[type=file]", state="attached")
        other.shutdown()


def test_it_listens_on_this_machine_alone_and_asks_nobody_else(server: Server) -> None:
    ours = f":{server.port:04X}"
    lines = [line for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    sockets = [(address, state) for _, address, _, state, *_ in map(str.split, lines) if address.endswith(ours)]
    listening = {address for address, state in sockets if state == "0A"}
    assert listening == {f"0100007F:{server.port:04X}"}
    assert not server.tattle.exists(), server.tattle.read_text()


def test_stopped_in_the_midst_of_a_video_it_leaves_no_file(server: Server, page: Any, clip: Path) -> None:
    drop(page, clip)
    page.wait_for_selector("text=/Step [12] of 2/")  # on a busy machine the browser may never draw the first
    assert files(server.temporary)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=PATIENCE_S) == 0
    assert list(server.temporary.iterdir()) == []
