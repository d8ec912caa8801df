"""The page: a field to drop a video in, progress messages, and the result.

The result is read from the files that inference writes, and from nothing else.
"""

from __future__ import annotations

import html
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np
import pandas as pd
from gradio.routes import App, ORJSONResponse
from starlette.routing import BaseRoute

from iaca.errors import InputError, counted
from iaca.evaluation.events import believed, has_modality_gates
from iaca.evaluation.metrics import DIMENSIONS
from iaca.evaluation.style import signed, stretches
from iaca.inference.config import find_models
from iaca.inference.predictor import stamp
from iaca.inference.summary import NEAR, SOUND_ALONE, as_drawn
from iaca.parameters import MODALITIES
from iaca.web.access import FILE, guarded
from iaca.web.annotate import Annotations, routes
from iaca.web.live import PANEL, Live
from iaca.web.live import routes as live_routes
from iaca.web.sessions import Job, Sessions, WebConfig, shown_error

FILES = {".csv": "CSV, a row per frame", ".mp4": "Overlay video", ".png": "Picture", ".json": "Summary"}
ABSENT = {"face_found": "no face", "audio_present": "no sound"}
STATIC = Path(__file__).parent / "static"
FONT, FIXED_FONT = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # installed ones: nothing is fetched
PROGRESS_S = 0.5
"""Interval (s) between progress messages."""

Shown = tuple[str, dict[str, Any]]  # message, and result ({} for none)


def build_page(sessions: Sessions, annotations: Annotations, origin: dict[str, str], config: WebConfig) -> gr.Blocks:
    """The page for a model of this origin (`Predictor.origin`)."""
    idle_s = 60 * config.idle_minutes
    with gr.Blocks(title="iaca", analytics_enabled=False, delete_cache=(idle_s, idle_s)) as page:
        gr.HTML(_head(origin, config))
        _tabs()
        with _panel("predict", "iaca-shown"):
            model = gr.HTML(
                {"chosen": ""}, html_template=_static("model.html"), js_on_load=_static("model.js"), elem_id="model",
                apply_default_css=False,
            )  # fmt: skip
            drop = gr.File(label="Drop a video here", elem_id="drop", height=130)  # any: `receive` says what is wrong
            message = gr.HTML(elem_id="said")
            result = gr.HTML(
                {}, html_template=_static("result.html"), js_on_load=_static("traces.js"), elem_id="result",
                apply_default_css=False,
            )  # fmt: skip
            job = gr.State(None)
        with _panel("annotate"):
            gr.HTML(
                {}, html_template=_static("annotate.html"), js_on_load=_static("annotate.js"), elem_id="annotation",
                apply_default_css=False,
            )  # fmt: skip
        with _panel("live"):
            gr.HTML(
                {}, html_template=PANEL, js_on_load=_static("live.js"), elem_id="live-view", apply_default_css=False
            )

        def receive(
            upload: str, choice: dict[str, Any], request: gr.Request
        ) -> tuple[None, str, dict[str, Any], Job | None]:
            try:
                models = annotations.chosen(str(choice["chosen"]))
                return None, _busy("Waiting"), {}, sessions.receive(_session(request), Path(upload), models)
            except Exception as error:  # noqa: BLE001  a message for this file, whatever library raised it
                return None, _error(shown_error(error)), {}, None

        def analyse(received: Job | None, request: gr.Request) -> Iterator[Shown]:
            if received is None:  # keep the error message; a generator that yields nothing would clear it
                yield gr.skip(), gr.skip()
            else:
                yield from _analyse(sessions, _session(request), received)

        def forget(request: gr.Request) -> None:
            sessions.end(_session(request))

        # Receive without a queue, so that errors are shown at once. Analyse without Gradio's limit: `sessions` runs one
        # video at a time and knows which ones are waiting.
        options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple"}
        upload_event = drop.upload(receive, [drop, model], [drop, message, result, job], queue=False, **options)
        upload_event.then(analyse, job, [message, result], concurrency_limit=None, **options)
        page.unload(forget)
    return page


TABS = {"predict": "Predict", "annotate": "Annotate", "live": "Live"}
"""Id of a panel, and the name of its tab. A panel without a tab is hidden."""


def _panel(name: str, *classes: str) -> gr.Column:
    return gr.Column(elem_id=name, elem_classes=["iaca-panel", *classes])


def _tabs() -> gr.HTML:
    return gr.HTML(
        [{"id": name, "label": label} for name, label in TABS.items()], js_on_load=_static("tabs.js"), elem_id="tabs",
        html_template='<div class="iaca-tabs" role="tablist" aria-label="What to do"></div>', apply_default_css=False,
    )  # fmt: skip


def launch(page: gr.Blocks, sessions: Sessions, annotations: Annotations, config: WebConfig) -> str:
    """Serve the page on this machine only, in the background; return its address."""
    own = [*routes(annotations), *live_routes(Live(find_models(config.model)))]
    app = _GuardedApp(sessions.results, own)
    _, address, _ = page.queue().launch(
        server_name="127.0.0.1", server_port=config.port, root_path="", max_file_size=config.max_mb * 2**20,
        theme=gr.themes.Base(font=FONT, font_mono=FIXED_FONT), css=_static("page.css"), footer_links=[],
        allowed_paths=[str(sessions.results)], prevent_thread_lock=True, quiet=True, _app=app,
        share=False, run_history=False, mcp_server=False, enable_monitoring=False, pwa=False, ssr_mode=False,
        num_workers=0,  # they would serve files at other ports, without our checks
    )  # fmt: skip
    return str(address)


class _GuardedApp(App):  # type: ignore[misc]
    """Gradio's application with routes of our own, and our checks outside all of its middleware, which answers some
    requests itself."""

    def __init__(self, results: Path, own: Sequence[BaseRoute]):
        super().__init__(default_response_class=ORJSONResponse, openapi_url=None)
        self._results = results
        self.router.routes.extend(own)

    def build_middleware_stack(self) -> Any:
        return guarded(super().build_middleware_stack(), self._results)


def _analyse(sessions: Sessions, session: str, job: Job) -> Iterator[Shown]:
    """Show the progress of an analysis, then its result or its error."""
    failure: list[Exception] = []

    def run() -> None:
        try:
            sessions.analyse(session, job)
        except Exception as error:  # noqa: BLE001  raised below, where the page can show it
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    start = time.monotonic()
    while thread.is_alive():
        yield _busy(_stage(sessions, job), time.monotonic() - start), {}
        thread.join(PROGRESS_S)
    if not job.folder.exists():  # another video was dropped, or the page was closed
        return
    try:
        if failure:
            raise failure[0]
        yield "", read_result(job.folder, job.name)
    except Exception as error:  # noqa: BLE001
        yield _error(shown_error(error)), {}


def _stage(sessions: Sessions, job: Job) -> str:
    if ahead := sessions.ahead(job):
        return f"Waiting for {counted(ahead, 'other video')}"
    if (job.folder / f"{job.name}.csv").exists():
        return "Step 2 of 2: drawing the overlay"
    return "Step 1 of 2: analysing face and sound"


def _session(request: gr.Request) -> str:
    return request.session_hash or "none"


def _head(origin: dict[str, str], config: WebConfig) -> str:
    name, caveat = model_words(origin)
    return (
        '<div class="iaca-head"><h1>Valence and arousal of a video</h1>'
        "<p>Videos stay on this machine. One that is dropped to predict is removed when this page is closed. Up to "
        f"{config.max_mb} MB and {config.max_seconds:g} s.</p>"
        "<p>Not for decisions about people. In the European Union, inferring emotions at work and in education is "
        "prohibited.</p></div>"
        f'<p class="iaca-model"><b>Model: {html.escape(name)}</b>{html.escape(caveat)}</p>'
    )


def _busy(text: str, seconds: float = 0) -> str:
    elapsed = f" ({seconds:.0f} s)" if seconds >= 1 else ""
    return f'<div class="iaca-busy" role="status"><span>{text}{elapsed}</span><i></i></div>'


def _error(error: InputError) -> str:
    place = f"{html.escape(Path(error.file).name)}: " if error.file else ""
    remedy = html.escape(error.remedy or "")
    remedy = f"What helps: {remedy}." if remedy else ""
    return f'<div class="iaca-error" role="alert"><b>{place}{html.escape(error.problem)}.</b>{remedy}</div>'


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


# The result of a video


def read_result(folder: Path, name: str) -> dict[str, Any]:
    """Traces, summary and files of a video, as plain values.

    Returns:
        name; stamp (of the model, "" for an ordinary one); overlay (address); files (label, name, address); time_s (s);
        traces valence and arousal with their intervals <name>_low and <name>_high in [-1, 1], audio, visual and
        inconsistency in [0, 1] where the table has them, one value per frame and None where undefined; absent (label,
        start_s, end_s); tiles (label, value); warnings.

    Raises:
        InputError: neither a face nor sound was found in the video.
    """
    summary = json.loads((folder / f"{name}.json").read_text())
    table = as_drawn(pd.read_csv(folder / f"{name}.csv"), summary.get("sources", {}))
    if not summary["coverage"]["predicted"]:
        remedy = "drop a video with a visible face or an audible voice"
        raise InputError("neither a face nor sound was found", name, remedy=remedy)
    return {
        "name": name,
        "stamp": stamp(summary["model"]),
        "overlay": _address(folder / f"{name}.mp4"),
        "files": [
            {"label": label, "name": name + suffix, "address": _address(folder / f"{name}{suffix}")}
            for suffix, label in FILES.items()
            if (folder / f"{name}{suffix}").exists()
        ],
        "time_s": _plain(table["time_s"]),
        "traces": {name: _plain(values) for name, values in _traces(table).items()},
        "absent": _absent(table),
        "tiles": _tiles(summary, table),
        "warnings": _warnings(summary),
    }


def model_words(origin: dict[str, str]) -> tuple[str, str]:
    """The model's name with its training corpus, and its caveat."""
    corpus = f", trained on {origin['corpus']}" if origin.get("corpus") else ""
    caveat = (
        origin.get("caveat")
        or "Predictions are less reliable for people and recordings unlike those the model was trained on."
    )
    return f"{origin.get('preset') or 'a model of your own'}{corpus}", caveat[:1].upper() + caveat[1:]


def _traces(table: pd.DataFrame) -> dict[str, pd.Series]:
    traces = {name: table[name] for name in DIMENSIONS}
    if has_modality_gates(table):
        weights = believed(table)
        traces |= {modality: weights[modality] for modality in MODALITIES}
    ends = [f"{name}_{end}" for name in DIMENSIONS for end in ("low", "high")]
    shown = [name for name in (*ends, "inconsistency") if name in table and table[name].notna().any()]
    return traces | {name: table[name] for name in shown}


def _plain(values: pd.Series, digits: int = 6) -> list[float | None]:
    return [None if np.isnan(value) else round(value, digits) for value in values.to_numpy(float).tolist()]


def _absent(table: pd.DataFrame) -> list[dict[str, Any]]:
    time_s = table["time_s"].to_numpy(float)
    return [
        {"label": label, "start_s": start, "end_s": end}
        for column, label in ABSENT.items()
        if column in table
        for start, end in stretches(~table[column].to_numpy(bool), time_s)
    ]


def _tiles(summary: dict[str, Any], table: pd.DataFrame) -> list[dict[str, str]]:
    voice, face = believed(table)["audio"].mean(), summary["coverage"].get("face")
    tiles = [(f"mean {name}", _mean(summary[name]["mean"])) for name in ("valence", "arousal")]
    shares = {"relies on voice": voice, "frames with a face": face}
    tiles += [(label, _percent(share)) for label, share in shares.items() if share is not None and not np.isnan(share)]
    words = summary["words"]
    if words["nearest"] and words["distance"] <= NEAR:
        tiles.append((f"nearest word, {words['distance']:.2f} away", words["nearest"]))
    elif words["quadrant"]:
        tiles.append(("quadrant of the means", words["quadrant"]))
    return [{"label": label, "value": value} for label, value in tiles]


def _mean(value: float | None) -> str:
    return "not read" if value is None else signed(value, 2)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _warnings(summary: dict[str, Any]) -> list[str]:
    """Warnings about this video; the model's caveat is at the top of the page."""
    said = [warning for warning in summary["warnings"] if warning != summary["model"].get("caveat")]
    warnings = [warning for warning in said if not warning.startswith(SOUND_ALONE)]
    if summary["coverage"].get("face") == 0:
        hint = "a face is found if it is lit and at least a tenth of the picture's shorter side in size"
        warnings.append(f"{SOUND_ALONE}, be it a voice, music or noise: {hint}")
    return [warning[:1].upper() + warning[1:] + "." for warning in warnings]


def _address(path: Path) -> str:
    return FILE + quote(str(path))
