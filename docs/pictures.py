"""Remake the pictures in docs/images from the results of the demo corpus.

kedro run
kedro run --pipelines benchmark        (only for the picture of differences; for `demo-paper` with
                                        --params "benchmark.comparison=paper,benchmark.seeds=0+1+2")
python docs/pictures.py [NAME ...]     (all pictures, or those named, such as `overlay web`)

It also writes the date and versions of each picture into docs/images/made.json, and from there into CONTRIBUTING.md.
Needs a Chromium on the machine for `report`, `web`, `annotate` and `kedro-viz`. `s2-differences` is the file
benchmark_differences.png of the first command of docs/engineering/experiments.md; copy it by hand.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import demo_numbers as numbers
import pandas as pd
from PIL import Image
from playwright.sync_api import sync_playwright

from iaca.formats.labels import read_annotation
from iaca.media import frame_times, read_frames

ROOT = Path(__file__).parents[1]
IMAGES, DATA = ROOT / "docs/images", ROOT / "data"
MODEL = "data/06_models/iaca.safetensors"
HINTS = "[class*=feature-hint]"  # kedro-viz introduces itself to everybody
CLIP = "video134"  # a test clip of the demo corpus in which the face is away for two seconds


def overlay(results: Path) -> None:
    """Two frames of the overlay video side by side: one with the face, one without."""
    table = pd.read_csv(results / f"{CLIP}.csv")
    seen, unseen = table.index[table["face_found"]], table.index[~table["face_found"]]
    wanted = {int(seen[len(seen) // 4]), int(unseen[len(unseen) // 2])}
    frames = [Image.fromarray(f.image) for f in read_frames(results / f"{CLIP}.mp4") if f.index in wanted]
    joined = Image.new("RGB", (sum(frame.width for frame in frames), frames[0].height))
    for i, frame in enumerate(frames):
        joined.paste(frame, (i * frame.width, 0))
    joined.save(IMAGES / "overlay.png")


def prediction(results: Path) -> None:
    """The plot that inference writes."""
    shutil.copy(results / f"{CLIP}.png", IMAGES / "prediction.png")


def gates(results: Path) -> None:
    """The figure of the report."""
    shutil.copy(DATA / "08_reporting/gates.png", IMAGES)


def differences(results: Path) -> None:
    """The figure of the benchmark."""
    shutil.copy(DATA / "08_reporting/benchmark_differences.png", IMAGES / "demo-differences.png")


def paper(results: Path) -> None:
    """The figure of the benchmark with `benchmark.comparison=paper`."""
    shutil.copy(DATA / "08_reporting/paper/comparison.png", IMAGES / "demo-paper.png")


def report(results: Path) -> None:
    """The top of the report."""
    with tab(1100, 900) as page:
        page.goto((DATA / "08_reporting/report.html").as_uri())
        page.screenshot(path=IMAGES / "report.png")


def web(results: Path) -> None:
    """The page after a video was dropped."""
    video = next((DATA / "01_raw/demo").rglob(f"{CLIP}.mp4"))
    with served("python", "-m", "iaca.web", "--model", MODEL, "--port", "7861"), tab(1000, 1100) as page:
        page.goto("http://127.0.0.1:7861/")
        page.set_input_files("#drop input[type=file]", video)
        page.wait_for_selector(".iaca-result:not([hidden])")
        page.wait_for_function("document.querySelector('video.overlay').readyState >= 2")
        width = page.locator(".traces").bounding_box()["width"]
        page.locator(".traces").click(position={"x": 0.5 * width, "y": 60})
        page.wait_for_timeout(1000)
        page.screenshot(path=IMAGES / "web.png", full_page=True)


def annotate(results: Path) -> None:
    """The annotation panel with three clips: one is traced by the mouse, all have the labels of the corpus."""
    videos = sorted((DATA / "01_raw/demo").rglob("*.mp4"))[:3]
    port, pad = "7862", ".pad"
    with served("python", "-m", "iaca.web", "--port", port), tab(1000, 1100) as page:
        page.goto(f"http://127.0.0.1:{port}/#annotate")
        page.set_input_files(".add", videos)
        page.wait_for_function("document.querySelectorAll('.clips > li').length === 3")
        page.fill(".rater", "corpus")
        page.locator(".rater").press("Tab")
        page.click(".exchange summary")
        for video in videos:
            page.click(f".choose >> text={video.stem}")
            page.wait_for_function(f"document.querySelector('.chosen .choose')?.textContent === '{video.stem}'")
            page.set_input_files(".import", {"name": "labels.csv", "mimeType": "text/csv", "buffer": _labels(video)})
            page.wait_for_selector(".chosen >> text=/corpus: valence [1-9]/")
        page.click(".exchange summary")
        page.click(".adapt")
        page.wait_for_selector(".scores:not([hidden])")
        page.fill(".rater", "Ann")
        page.locator(".rater").press("Tab")
        page.click(".practice")
        page.wait_for_function("document.querySelector('video.clip').currentTime > 5.2")
        page.click(".practice")
        page.click(".start")
        box = page.locator(pad).bounding_box()
        page.click(".record")
        for step in range(60):
            page.mouse.move(box["x"] + 200, box["y"] + box["height"] * (0.45 - 0.3 * math.sin(step / 9)))
            page.wait_for_timeout(90)
        page.screenshot(path=IMAGES / "annotate.png", full_page=True)


def _labels(video: Path) -> bytes:
    """The corpus's annotation of a video as time_s, valence, arousal."""
    text = next((DATA / "01_raw/demo").rglob(f"{video.stem}.txt"))
    values, times = read_annotation(text), frame_times(video)
    rows = [f"{t:.6f},{v:.4f},{a:.4f}" for t, (v, a) in zip(times, values, strict=False) if math.isfinite(v + a)]
    return "\n".join(["time_s,valence,arousal", *rows]).encode()


def kedro_viz(results: Path) -> None:
    """The evaluation pipeline with the preview of the gates."""
    with served("kedro", "viz", "run", "--no-browser", "--port", "4142"), tab(1440, 900) as page:
        page.goto("http://127.0.0.1:4142/?pid=evaluation")
        page.wait_for_selector(".pipeline-node")
        page.wait_for_timeout(2000)
        page.evaluate(f"document.querySelectorAll('{HINTS}').forEach(hint => hint.remove())")
        page.locator("[class*=row-text]", has_text="gates_figure").first.click()
        page.wait_for_selector("img.pipeline-metadata__plot-image")
        for button in ("Change to light theme", "Turn minimap off", "Hide menu"):
            page.locator(f"button[aria-label='{button}']").click()
        place = page.get_by_text(f"{ROOT}/data"[1:])  # of this machine
        place.evaluate("place => place.textContent = place.textContent.replace(/.*data/, 'data')")
        page.wait_for_timeout(2000)
        page.screenshot(path=IMAGES / "kedro-viz.png")


@contextmanager
def tab(width: int, height: int) -> Iterator[Any]:
    """A page of a headless Chromium that waits for at most three minutes."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(180_000)
        yield page
        browser.close()


@contextmanager
def served(*words: str) -> Iterator[None]:
    """A server of this environment while the block runs; its port is the last word."""
    command = [tool(words[0]), *words[1:]]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(180):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{words[-1]}/", timeout=5)
                break
            except OSError:
                time.sleep(1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # kedro-viz serves from a child, which would outlive it
        process.wait()


def tool(name: str) -> str:
    """The path of a command of this environment."""
    return str(Path(sys.executable).parent / name)


PICTURES = {
    "overlay": overlay, "prediction": prediction, "gates": gates, "report": report,
    "web": web, "annotate": annotate, "kedro-viz": kedro_viz, "demo-differences": differences,
    "demo-paper": paper,
}  # fmt: skip


def main(names: list[str]) -> None:
    """Analyse one clip with the model trained last, then make the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        video = next((DATA / "01_raw/demo").rglob(f"{CLIP}.mp4")).relative_to(ROOT)
        params = f"inference.input={video},inference.output={folder},inference.model={MODEL}"
        words = [tool("kedro"), "run", "--pipelines", "inference", "--params", params]
        subprocess.run(words, cwd=ROOT, check=True)
        made = json.loads(numbers.PICTURES.read_text())
        for name in names or PICTURES:
            PICTURES[name](Path(folder))
            made[name] = numbers.stamp()
    numbers.PICTURES.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    numbers.write_pages()
    print("made", ", ".join(names or PICTURES))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
