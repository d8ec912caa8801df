"""What the page draws of an analysed video: read from the files that inference writes, and from nothing else.

The page itself: where a video is dropped, what it says meanwhile, and the result.
"""

from __future__ import annotations

import html
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np
import pandas as pd
from gradio.routes import App, ORJSONResponse

from iaca.errors import InputError
from iaca.evaluation.events import has_modality_gates, modality_gate
from iaca.evaluation.style import stretches
from iaca.web.needed_routes import FILE, NeededRoutes
from iaca.web.own_host import OwnHost
from iaca.web.sessions import Job, Sessions, WebConfig

FILES = {".csv": "CSV, a row per frame", ".mp4": "Overlay video", ".png": "Picture", ".json": "Summary"}
ABSENT = {"face_found": "no face", "audio_present": "no sound"}


def read_result(folder: Path, name: str) -> dict[str, Any]:
    """The traces, the summary and the files of a video, as plain values.

    Returns:
        name; overlay (address); files (label, name, address); time_s (s) and traces valence, arousal in [-1, 1],
        audio, visual and confidence in [0, 1] where the table has them, one value per frame and None where undefined;
        absent (label, start_s, end_s); tiles (label, value); warnings.

    Raises:
        InputError: nothing was found in the video, so that there is nothing to show.
    """
    table = pd.read_csv(folder / f"{name}.csv")
    summary = json.loads((folder / f"{name}.json").read_text())
    if not summary["coverage"]["predicted"]:
        remedy = "drop a video in which a face can be seen or a voice can be heard"
        raise InputError("neither a face nor sound was found", name, remedy=remedy)
    return {
        "name": name,
        "overlay": _address(folder / f"{name}.mp4"),
        "files": [
            {"label": label, "name": name + suffix, "address": _address(folder / f"{name}{suffix}")}
            for suffix, label in FILES.items()
            if (folder / f"{name}{suffix}").exists()
        ],
        "time_s": _plain(table["time_s"]),
        "traces": {trace: _plain(table[column]) for trace, column in _columns(table).items()},
        "absent": _absent(table),
        "tiles": _tiles(summary),
        "warnings": _warnings(summary),
    }


def model_words(origin: dict[str, str]) -> tuple[str, str]:
    """What the model is called, with the corpus it learned from, and what its numbers are worth."""
    corpus = f", trained on {origin['corpus']}" if origin.get("corpus") else ""
    caveat = origin.get("caveat") or "A model knows the people and the recordings that it learned from."
    return f"{origin.get('preset') or 'a model of your own'}{corpus}", caveat[:1].upper() + caveat[1:]


def _columns(table: pd.DataFrame) -> dict[str, str]:
    columns = {"valence": "valence", "arousal": "arousal"}
    if has_modality_gates(table):
        columns |= {"audio": modality_gate("audio"), "visual": modality_gate("visual")}
    return columns | ({"confidence": "confidence"} if "confidence" in table else {})


def _plain(values: pd.Series, digits: int = 5) -> list[float | None]:
    return [None if np.isnan(value) else round(value, digits) for value in values.to_numpy(float).tolist()]


def _absent(table: pd.DataFrame) -> list[dict[str, Any]]:
    time_s = table["time_s"].to_numpy(float)
    return [
        {"label": label, "start_s": start, "end_s": end}
        for column, label in ABSENT.items()
        if column in table
        for start, end in stretches(~table[column].to_numpy(bool), time_s)
    ]


def _tiles(summary: dict[str, Any]) -> list[dict[str, str]]:
    voice, face = summary["mean_gates"].get("modalities_audio"), summary["coverage"].get("face")
    tiles = [(f"mean {name}", f"{summary[name]['mean']:+.2f}".replace("-", "−")) for name in ("valence", "arousal")]
    shares = {"relies on voice": voice, "frames with a face": face}
    tiles += [(label, _percent(share)) for label, share in shares.items() if share is not None]
    return [{"label": label, "value": value} for label, value in tiles]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _warnings(summary: dict[str, Any]) -> list[str]:
    """Those about this video; what the model can't know stands at the top of the page all the time."""
    warnings = [words for words in summary["warnings"] if words != summary["model"].get("caveat")]
    if summary["coverage"].get("face") == 0:
        remedy = "a face is found when it is lit, and at least a tenth of the picture's shorter side in size"
        warnings.append(f"the values come from the sound alone: {remedy}")
    return [words[:1].upper() + words[1:] + "." for words in warnings]


def _address(path: Path) -> str:
    return FILE + quote(str(path))


STATIC = Path(__file__).parent / "static"
FONT, FIXED_FONT = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # the machine's own: nothing is fetched
EVERY_S = 0.5
"""How often the page is told how far a video is."""

Shown = tuple[str, dict[str, Any]]  # what is said, and the result ({} for none)


def build_page(sessions: Sessions, origin: dict[str, str], config: WebConfig) -> gr.Blocks:
    """The page for a model of this origin (`Predictor.origin`)."""
    idle_s = 60 * config.idle_minutes
    with gr.Blocks(title="iaca", analytics_enabled=False, delete_cache=(idle_s, idle_s)) as page:
        gr.HTML(_head(origin, config))
        drop = gr.File(label="Drop a video here", file_types=["video"], elem_id="drop", height=130)
        said = gr.HTML(elem_id="said")
        result = gr.HTML(
            {}, html_template=_static("result.html"), js_on_load=_static("traces.js"), elem_id="result",
            apply_default_css=False,
        )  # fmt: skip
        job = gr.State(None)

        def receive(upload: str, request: gr.Request) -> tuple[None, str, dict[str, Any], Job | None]:
            try:
                return None, _busy("Waiting"), {}, sessions.receive(_session(request), Path(upload))
            except InputError as error:
                return None, _error(error), {}, None

        def analyse(taken: Job | None, request: gr.Request) -> Iterator[Shown]:
            if taken is None:  # the error stays; a generator that yields nothing would blank it
                yield gr.skip(), gr.skip()
            else:
                yield from _analysing(sessions, _session(request), taken)

        def forget(request: gr.Request) -> None:
            sessions.end(_session(request))

        # Received without a queue: what is wrong is told at once. Analysed without Gradio's limit: `sessions` does one
        # video at a time and knows who waits.
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple"}
        received = drop.upload(receive, drop, [drop, said, result, job], queue=False, **quiet)
        received.then(analyse, job, [said, result], concurrency_limit=None, **quiet)
        page.unload(forget)
    return page


def launch(page: gr.Blocks, sessions: Sessions, config: WebConfig) -> str:
    """Serve the page on this machine alone, in the background; gives its address."""
    _, address, _ = page.queue().launch(
        server_name="127.0.0.1", server_port=config.port, root_path="", max_file_size=config.max_mb * 2**20,
        theme=gr.themes.Base(font=FONT, font_mono=FIXED_FONT), css=_static("page.css"), footer_links=[],
        allowed_paths=[str(sessions.results)], prevent_thread_lock=True, quiet=True, _app=_Guarded(sessions.results),
        share=False, run_history=False, mcp_server=False, enable_monitoring=False, pwa=False, ssr_mode=False,
        num_workers=0,  # processes that serve files at ports of their own, past our checks
    )  # fmt: skip
    return str(address)


class _Guarded(App):  # type: ignore[misc]
    """Gradio's application. The checks are outside all of its own middleware, which answers some requests itself."""

    def __init__(self, results: Path):
        super().__init__(default_response_class=ORJSONResponse, openapi_url=None)
        self._results = results

    def build_middleware_stack(self) -> Any:
        return OwnHost(NeededRoutes(super().build_middleware_stack(), self._results))


def _analysing(sessions: Sessions, session: str, job: Job) -> Iterator[Shown]:
    """Says how far the analysis is, and at last shows its result or the error that its owner should read."""
    failure: list[Exception] = []

    def run() -> None:
        try:
            sessions.analyse(session, job)
        except Exception as error:  # noqa: BLE001  raised again where the page can show it
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    start = time.monotonic()
    while thread.is_alive():
        yield _busy(_stage(sessions, job), time.monotonic() - start), {}
        thread.join(EVERY_S)
    if not job.folder.exists():  # another video has been dropped, or the page was closed
        return
    try:
        if failure:
            raise failure[0]
        yield "", read_result(job.folder, job.name)
    except InputError as error:
        yield _error(error), {}


def _stage(sessions: Sessions, job: Job) -> str:
    if ahead := sessions.ahead(job):
        return f"Waiting for {ahead} other video{'s' if ahead > 1 else ''}"
    if (job.folder / f"{job.name}.csv").exists():
        return "Step 2 of 2: drawing the overlay"
    return "Step 1 of 2: looking at the face, listening to the sound"


def _session(request: gr.Request) -> str:
    return request.session_hash or "none"


def _head(origin: dict[str, str], config: WebConfig) -> str:
    name, caveat = model_words(origin)
    return (
        '<div class="iaca-head"><h1>Valence and arousal of a video</h1>'
        f"<p>The video stays on this machine, and is removed when this page is closed. Up to {config.max_mb} MB and "
        f"{config.max_seconds:g} s.</p></div>"
        f'<p class="iaca-model"><b>Model: {html.escape(name)}</b>{html.escape(caveat)}</p>'
    )


def _busy(words: str, seconds: float = 0) -> str:
    passed = f" ({seconds:.0f} s)" if seconds >= 1 else ""
    return f'<div class="iaca-busy" role="status"><span>{words}{passed}</span><i></i></div>'


def _error(error: InputError) -> str:
    place = f"{html.escape(Path(error.file).name)}: " if error.file else ""
    remedy = html.escape(error.remedy or "")
    remedy = f"What helps: {remedy}." if remedy else ""
    return f'<div class="iaca-error" role="alert"><b>{place}{html.escape(error.problem)}.</b>{remedy}</div>'


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
