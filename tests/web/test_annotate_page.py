"""Annotation as a person does it: in a browser, with mouse, keys and gamepad, from clips to an adapted model."""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from started_page import Server, files, opened, started, wait_for

from browser import needs_chromium
from iaca.formats.annotations import choose, read_traces
from iaca.media import frame_times, write_movie
from shared import SHARED, needs_shared

pytestmark = [pytest.mark.slow, needs_chromium]
VIDEO = "document.querySelector('video.clip')"
FRAMES = 100
EVERY = 2  # grey levels between two frames: the picture tells its number

# A script's own note of each event: when it came, the value it set, and which frame was on screen, read from its grey.
NOTES = """() => {
  const pad = document.querySelector('.pad'), video = document.querySelector('video.clip');
  const canvas = new OffscreenCanvas(1, 1), pen = canvas.getContext('2d', { willReadFrequently: true });
  window.notes = [];
  pad.addEventListener('pointermove', (event) => {
    if (video.paused) return;
    const time = video.currentTime - (performance.now() - event.timeStamp) / 1000;
    pen.drawImage(video, 0, 0, 1, 1);
    const grey = pen.getImageData(0, 0, 1, 1).data[1], box = pad.getBoundingClientRect();
    const value = 1 - 2 * (event.clientY - box.top) / box.height;
    window.notes.push([time, Math.min(1, Math.max(-1, value)), grey, video.currentTime]);
  });
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("web"), "--max-mb", "5", "--max-seconds", "30") as server:
        yield server


@pytest.fixture
def page(server: Server) -> Iterator[Any]:
    with opened(server) as page:
        page.click("#tab-annotate")
        yield page


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames at an uneven rate, each of another grey, in 4 s."""
    path, times = tmp_path_factory.mktemp("clip") / "grey.mp4", np.cumsum(np.resize([0.05, 0.03, 0.04], FRAMES)) - 0.05
    write_movie(path, ((t, np.full((48, 64, 3), 20 + EVERY * i, np.uint8)) for i, t in enumerate(times)), 25)
    return path


def add(page: Any, *paths: Path) -> None:
    page.set_input_files(".add", list(paths))
    for path in paths:
        page.wait_for_selector(f".choose >> text={path.stem}")
    page.wait_for_function(f"{VIDEO}.readyState >= 2 && {VIDEO}.videoWidth")


def practise(page: Any, rater: str) -> None:
    page.fill(".rater", rater)
    page.locator(".rater").press("Tab")
    page.click(".practice")
    page.wait_for_function(f"{VIDEO}.ended")


def trace(page: Any, clip: str, heights: np.ndarray) -> None:
    """Record the chosen dimension of a clip with the mouse at these heights (0 top, 1 bottom), one after the other."""
    page.click(f".choose >> text={clip}")
    page.wait_for_function(f"document.querySelector('.chosen .choose')?.textContent === '{clip}'")
    page.wait_for_function(f"{VIDEO}.readyState >= 2 && {VIDEO}.videoWidth && {VIDEO}.dataset.clip === '{clip}'")
    box = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + heights[0] * box["height"])
    page.click(".record")
    for height in heights:
        page.mouse.move(box["x"] + 200, box["y"] + height * box["height"])
        page.wait_for_timeout(60)
    page.wait_for_function(f"{VIDEO}.ended")
    page.wait_for_function("document.querySelector('.record').textContent === 'Record'")


def labels(page: Any) -> dict[str, pd.DataFrame]:
    """The tables of all traces and gold standards, as they are exported."""
    if not page.is_visible(".export"):
        page.click(".exchange summary")
    page.select_option(".form", "folder")
    with page.expect_download() as download:
        page.click(".export")
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    return {name: pd.read_csv(archive.open(name)) for name in archive.namelist() if name.endswith(".csv")}


def test_a_clip_annotated_by_a_mouse_is_exact_to_a_frame(page: Any, grey: Path, server: Server) -> None:
    times = frame_times(grey)
    add(page, grey)
    page.click(".record")
    page.wait_for_selector(".message >> text=the rater has no name")
    page.fill(".rater", "Ann")
    page.locator(".rater").press("Tab")
    page.click(".record")
    page.wait_for_selector(".message >> text=a practice run comes first")
    practise(page, "Ann")
    assert [path for path in files(server.temporary) if path.suffix == ".csv"] == []  # practice is not saved
    page.evaluate(NOTES)
    trace(page, "grey", np.random.default_rng(0).uniform(0.05, 0.95, 40))
    notes = np.array(page.evaluate("window.notes"))
    assert len(notes) > 10
    shown = np.round((notes[:, 2] - 20) / EVERY)  # the browser's picture
    clock = np.searchsorted(times, notes[:, 3] + 1e-4, "right") - 1
    apart = np.abs(shown - clock)  # the clock of the recording is that of the picture; a busy machine shows one late
    assert np.median(apart) <= 1
    assert apart.max() <= 4
    table = labels(page)["raters/Ann/grey.csv"]
    np.testing.assert_allclose(table["time_s"], times, atol=1e-6)
    assert table["valence"].notna().all()
    assert table["arousal"].isna().all()
    last = np.searchsorted(notes[:, 0], times + 1e-4, "right") - 1
    after = last >= 0
    np.testing.assert_allclose(table["valence"][after], notes[last[after], 1], atol=1e-4)
    assert len(set(table["valence"])) > 8


@pytest.mark.parametrize("sound", [True, False])
def test_a_clip_whose_picture_starts_late_has_its_trace_in_the_right_place(
    page: Any, tmp_path: Path, sound: bool
) -> None:
    """Without sound the file starts with the picture."""
    times = 0.8 + np.arange(FRAMES) / 25
    tone = 0.1 * np.sin(np.arange(16_000 * 5) / 9).astype(np.float32) if sound else None
    pictures = ((t, np.full((48, 64, 3), 20 + EVERY * i, np.uint8)) for i, t in enumerate(times))
    write_movie(tmp_path / "late.mp4", pictures, 25, tone)
    np.testing.assert_allclose(frame_times(tmp_path / "late.mp4"), times if sound else times - 0.8, atol=1e-3)
    add(page, tmp_path / "late.mp4")
    practise(page, "Ann")
    page.evaluate(NOTES)
    trace(page, "late", np.random.default_rng(1).uniform(0.05, 0.95, 40))
    notes = np.array(page.evaluate("window.notes"))
    table = labels(page)["raters/Ann/late.csv"]
    first = [np.flatnonzero(np.abs(table["valence"] - value) < 1e-3) for value in notes[:, 1]]
    seen = np.round((notes[:, 2] - 20) / EVERY)
    after = np.array([found[0] - frame for found, frame in zip(first, seen, strict=True) if len(found)])
    assert len(after) > 8
    assert -1 <= np.median(after) <= 3  # frames between the picture on screen and the first with the value


def test_a_stretch_that_is_played_again_is_recorded_again_and_a_reload_goes_on(page: Any, grey: Path) -> None:
    times = frame_times(grey)
    add(page, grey)
    practise(page, "Bob")
    trace(page, "grey", np.full(3, 0.25))
    box = page.locator(".pad").bounding_box()
    page.evaluate(f"{VIDEO}.currentTime = 2")
    page.wait_for_function(f"!{VIDEO}.seeking && {VIDEO}.currentTime === 2")
    page.mouse.move(box["x"] + 200, box["y"] + 0.75 * box["height"])
    page.click(".record")
    page.mouse.move(box["x"] + 200, box["y"] + 0.75 * box["height"])
    page.wait_for_function(f"{VIDEO}.currentTime > 2.6")
    page.keyboard.press(" ")
    page.wait_for_function(f"{VIDEO}.paused")
    stopped = page.evaluate(f"{VIDEO}.currentTime")
    page.wait_for_selector(".now >> text=saved")
    page.reload()
    page.wait_for_selector(".choose >> text=grey")  # the tab is open again
    assert page.input_value(".rater") == "Bob"
    assert "valence 100 %" in page.inner_text(".clips")
    valence = labels(page)["raters/Bob/grey.csv"]["valence"].to_numpy()
    again = (times > 2.3) & (times <= stopped - 0.05)
    np.testing.assert_allclose(valence[again], -0.5, atol=0.02)
    np.testing.assert_allclose(valence[(times < 1.95) & (times > 0.3)], 0.5, atol=0.02)
    np.testing.assert_allclose(valence[times > stopped + 0.05], 0.5, atol=0.02)


def test_keys_trace_and_tabs_are_moved_through_by_arrows(page: Any, grey: Path) -> None:
    add(page, grey)
    practise(page, "Cy")
    page.focus(".pad")
    page.keyboard.press("0")
    page.evaluate(f"{VIDEO}.currentTime = 0")
    page.keyboard.press(" ")  # records, since the practice is done
    page.wait_for_function(f"{VIDEO}.currentTime > 0.5")
    page.keyboard.down("ArrowUp")
    page.wait_for_function("Number(document.querySelector('.pad').getAttribute('aria-valuenow')) > 0.4")
    page.keyboard.up("ArrowUp")
    page.wait_for_function(f"{VIDEO}.currentTime > 2.5")
    page.keyboard.press("0")
    page.wait_for_function(f"{VIDEO}.ended")
    page.wait_for_selector(".clips >> text=Cy: valence 100 %")
    valence = labels(page)["raters/Cy/grey.csv"]["valence"].to_numpy()
    times = frame_times(grey)
    assert set(valence[times < 0.4]) == {0.0}
    assert valence.max() > 0.4
    assert (np.diff(valence[(times > 0.5) & (times < 2.4)]) >= 0).all()
    assert set(valence[times > 3.2]) == {0.0}
    page.focus("#tab-annotate")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.id") == "tab-predict"
    assert page.get_attribute("#tab-predict", "aria-selected") == "true"
    assert page.is_visible("#predict")
    assert page.is_hidden("#annotate")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#annotate")
    assert page.is_hidden("#predict")
    assert (
        page.evaluate("document.getElementById(document.activeElement.getAttribute('aria-controls')).role")
        == "tabpanel"
    )
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_stick_of_a_gamepad_traces(page: Any, grey: Path) -> None:
    add(page, grey)
    practise(page, "Dee")
    page.evaluate(
        "() => { window.stick = 0; navigator.getGamepads = () => [null, { axes: [0, window.stick], buttons: [] }]; }"
    )
    page.evaluate(f"{VIDEO}.currentTime = 0")
    page.click(".record")
    page.wait_for_function(f"{VIDEO}.currentTime > 1")
    page.evaluate("window.stick = -0.75")
    moved = page.evaluate(f"{VIDEO}.currentTime")
    page.wait_for_function(f"{VIDEO}.currentTime > 2.5")
    page.evaluate("window.stick = 1")
    page.wait_for_function(f"{VIDEO}.ended")
    page.wait_for_selector(".clips >> text=Dee: valence 100 %")
    valence = labels(page)["raters/Dee/grey.csv"]["valence"].to_numpy()
    times = frame_times(grey)
    assert set(valence[(times > moved + 0.3) & (times < 2.4)]) == {0.75}
    assert set(valence[times > 3.2]) == {-1.0}


def test_everything_fits_a_phone_and_touch_traces(page: Any, grey: Path) -> None:
    page.set_viewport_size({"width": 375, "height": 800})
    add(page, grey)
    for name in ("predict", "annotate"):
        page.click(f"#tab-{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.click(".exchange summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("getComputedStyle(document.querySelector('.pad')).touchAction") == "none"


def test_a_trace_is_imported_and_exported_for_elan(page: Any, grey: Path, tmp_path: Path) -> None:
    times = frame_times(grey)
    add(page, grey)
    page.fill(".rater", "Eve")
    page.locator(".rater").press("Tab")
    page.click(".exchange summary")
    (tmp_path / "odd.eaf").write_text("<!DOCTYPE a><a/>")
    page.set_input_files(".import", tmp_path / "odd.eaf")
    page.wait_for_selector(".message >> text=odd.eaf, line 1: the file has a document type")
    rows = [f"{t:.2f},{100 * np.sin(t):.3f},{100 * np.cos(t):.3f},0" for t in np.arange(0.25, 4.3, 0.25)]
    head = "Magnitude,100,,\nSecond,Valence,Arousal,Button\n%%%%%%,%%%%%%,%%%%%%,%%%%%%\n"
    (tmp_path / "grey.csv").write_text(head + "\n".join(rows) + "\n")
    page.set_input_files(".import", tmp_path / "grey.csv")
    page.wait_for_selector(".clips >> text=Eve: valence 100 %, arousal 100 %")
    page.select_option(".form", "elan")
    page.select_option(".whose", "Eve")
    with page.expect_download() as download:
        page.click(".export")
    download.value.save_as(tmp_path / "back.eaf")
    assert download.value.suggested_filename == "grey.eaf"
    valence = choose(read_traces(tmp_path / "back.eaf"), "valence").held(times)
    inside = (times > 0.2) & (times < 3.8)
    np.testing.assert_allclose(valence[inside], np.sin(times[inside] + 0.125), atol=0.02)


def test_names_that_are_markup_are_shown_as_text(page: Any, grey: Path, tmp_path: Path) -> None:
    ran: list[str] = []
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    markup = "<img src=x onerror=alert(1)>"
    path = tmp_path / f"{markup}.mp4"
    path.write_bytes(grey.read_bytes())
    page.set_input_files(".add", path)
    page.wait_for_function("document.querySelectorAll('.choose').length === 1")
    assert page.inner_text(".choose") == markup
    assert page.locator(".clips img").count() == 0
    assert ran == []


def shoot(page: Any, name: str) -> None:
    """A picture for whoever wants to look, where IACA_SCREENSHOTS names a folder."""
    if folder := os.environ.get("IACA_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


MEDIA = ("single_face.mp4", "no_face.mp4", "face_noface.mov", "noface_face.mov")


@needs_shared("media/single_face.mp4")
def test_three_clips_are_annotated_the_model_is_adapted_and_the_fourth_is_predicted(server: Server, page: Any) -> None:
    """Two of the clips are HEVC, which the browser may not play: it gets a copy."""
    clips = [SHARED / "media" / name for name in MEDIA]
    page.set_input_files(".add", clips[:3])
    for clip in clips[:3]:
        page.wait_for_selector(f".choose >> text={clip.stem}")
    page.click(".adapt")
    page.wait_for_selector(".message >> text=valence and arousal are known in 0 clips of 0 people")
    page.wait_for_function(f"{VIDEO}.readyState >= 2 && {VIDEO}.videoWidth")
    for dimension in ("valence", "arousal"):
        page.check(f"input[value={dimension}]")
        practise(page, "Ann")
        for number, clip in enumerate(clips[:3]):
            trace(page, clip.stem, 0.5 + 0.4 * np.sin(np.arange(30) / (4 + number)))
    page.wait_for_selector(".needs >> text=traced in 3 clips of 3 people")
    assert page.inner_text(".clips").count("Ann: valence 100 %, arousal 100 %") == 3
    assert "intervals need 9 clips: 6 to go" in page.inner_text(".needs")
    page.fill(".delay", "0.5")
    page.click(".adapt")
    page.wait_for_selector(".busy >> text=/reading face and voice of/")
    page.wait_for_selector(".scores:not([hidden])")
    rows = page.locator(".scores tbody tr").all_inner_texts()
    assert not any("−0.00" in row for row in rows), rows
    assert [row.split("\t")[0] for row in rows] == ["face_noface", "no_face", "single_face", "all, pooled"]
    assert "calibration needs 9 clips" in page.inner_text(".verdict")
    assert "valence: CCC" in page.inner_text(".verdict")
    assert "reaction delay Ann 0.50 s" in page.inner_text(".made")
    shoot(page, "adapted")
    page.click(".use")
    assert page.is_visible("#predict")
    assert "ADAPTED HEURISTIC" in page.inner_text("#model .note")
    page.set_input_files("#drop input[type=file]", clips[3])
    page.wait_for_selector(".iaca-result:not([hidden])")
    assert page.inner_text(".iaca-result .stamp") == "adapted heuristic"
    shoot(page, "predicted")
    page.select_option("#model select", label="the one above")
    page.set_input_files("#drop input[type=file]", clips[3])
    page.wait_for_selector(".iaca-result .stamp >> text=zero-shot heuristic")
    assert not server.tattle.exists(), server.tattle.read_text()


def test_stopped_it_leaves_no_clip_and_no_trace(server: Server, page: Any, grey: Path) -> None:
    """The last test: it stops the server."""
    add(page, grey)
    wait_for(lambda: any(path.name == "grey.mp4" for path in files(server.temporary)))
    page.close()
    server.process.terminate()
    assert server.process.wait(timeout=60) == 0
    assert list(server.temporary.iterdir()) == []
