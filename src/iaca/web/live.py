"""The live view of the page: pictures and sound of the browser's camera and microphone, predicted as they arrive.

The browser sends each frame with the sound up to it, and gets the rows that are complete. A process of its own predicts
them (`Predictor.stream`). Nothing is written to disk: a frame is gone when its row is made.
"""

from __future__ import annotations

import io
import json
import logging
import math
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from iaca.engine.worker import prepare
from iaca.errors import InputError
from iaca.inference import Predictor
from iaca.inference.predictor import stamp
from iaca.text import parse_json
from iaca.web.access import answered, body_of
from iaca.web.sessions import shown_error

log = logging.getLogger(__name__)
Answer = dict[str, Any]

ADDRESS = "/iaca/live"
IDLE_S = 20.0
"""Without a frame for this long (s) the process ends, and another browser may start."""
MOST_BYTES, MOST_PIXELS, MOST_HEAD = 2**22, 2**21, 1024
"""Of a request, of a picture, and of the JSON at the beginning of a request."""

PANEL = """<section class="iaca-live">
  <style>
  .iaca-live { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 0.6rem 1.2rem;
    align-items: start; }
  .iaca-live .live-message, .iaca-live .controls, .iaca-live .live-traces { grid-column: 1 / -1; }
  .iaca-live .controls { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; }
  .iaca-live button { padding: 0.35rem 0.9rem; border-radius: 8px; font-size: 0.95rem; cursor: pointer;
    border: 1px solid var(--border-color-primary); color: var(--body-text-color); background: none; }
  .iaca-live .start { background: #1f6fb4; border-color: #1f6fb4; color: #fff; font-weight: 600; min-width: 5.5rem; }
  .iaca-live button:disabled { opacity: 0.5; cursor: default; }
  .iaca-live button:focus-visible { outline: 3px solid #1f6fb4; outline-offset: 2px; }
  .iaca-live .live-message { border-left: 5px solid #c0392b; background: rgba(192, 57, 43, 0.1); padding: 0.6rem 0.9rem;
    border-radius: 6px; }
  .iaca-live .live-message b { display: block; }
  .iaca-live [hidden] { display: none !important; }
  .iaca-live .camera { position: relative; }
  .iaca-live video { width: 100%; max-height: 60vh; border-radius: 8px; background: #14181d; display: block;
    transform: scaleX(-1); }
  .iaca-live canvas { width: 100%; display: block; color: var(--body-text-color); }
  .iaca-live .live-now { font-variant-numeric: tabular-nums; margin: 0.4rem 0 0; display: flex; flex-wrap: wrap;
    gap: 0.2rem 1rem; }
  .iaca-live .hint { font-size: 0.85rem; opacity: 0.75; margin: 0; }
  .iaca-live .stamp { color: #c2630f; margin: 0; font-size: 0.9rem; }
  .iaca-live .stamp:empty { display: none; }
  @media (max-width: 720px) { .iaca-live { grid-template-columns: minmax(0, 1fr); } }
  </style>
  <div class="controls">
    <button type="button" class="start">Start</button>
    <button type="button" class="stop" disabled>Stop</button>
    <button type="button" class="save" disabled>Save the table</button>
    <p class="hint">Start asks for camera and microphone. Pictures and sound go to the program on this machine, and are
      kept nowhere.</p>
  </div>
  <div class="live-message" role="alert" hidden></div>
  <div class="camera"><video muted playsinline></video><p class="live-now" role="status"></p><p class="stamp"></p></div>
  <canvas class="live-plane" role="img" aria-label="Valence and arousal now, and in the last seconds"></canvas>
  <canvas class="live-traces" role="img" aria-label="Valence, arousal, shares of voice and face over time"></canvas>
</section>"""
"""What `static/live.js` fills."""


class Live:
    """The live stream of one browser at a time, in a process of its own.

    Args:
        models: of the page; predictions are averaged.
    """

    def __init__(self, models: Sequence[Path]):
        self._models, self._owner = tuple(models), ""
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._last_s, self._asking, self._change = 0.0, threading.Lock(), threading.Lock()

    def start(self, key: str) -> Answer:
        """Load the models and begin a stream; return what every row is stamped with.

        Raises:
            InputError: another browser is live, or a model can't run on a stream.
        """
        with self._change:
            if self._process is not None and self._owner != key and time.monotonic() - self._last_s < IDLE_S:
                remedy = f"stop it there; it is free {IDLE_S:.0f} s after that browser is gone"
                raise InputError("another browser is live", remedy=remedy)
            if self._owner != key:
                self._kill()
            self._owner, self._last_s = key, time.monotonic()
            if self._process is None:
                self._begin()
        return self._ask(("start",))

    def step(self, key: str, body: bytes) -> Answer:
        """Take a frame and the sound up to it; return the rows that they complete.

        Raises:
            InputError: the request is not one of `static/live.js`, or the stream is another browser's.
        """
        if key != self._owner or self._process is None:
            raise InputError("the live view was stopped", remedy="start it again")
        self._last_s = time.monotonic()
        return self._ask(("step", body))

    def stop(self, key: str) -> Answer:
        """End the stream of this browser, and its process."""
        with self._change:
            if key == self._owner:
                self._kill()
        return {}

    def close(self) -> None:
        """End the process."""
        with self._change:
            self._kill()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._models), daemon=True)
        process.start()
        theirs.close()
        self._process = process
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()

    def _watch(self, process: BaseProcess) -> None:
        """End a process that nobody asks any more."""
        while process.is_alive():
            process.join(timeout=1.0)
            if time.monotonic() - self._last_s > IDLE_S and not self._asking.locked():
                with self._change:
                    if self._process is process:
                        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process, self._pipe, self._owner = None, None, ""

    def _ask(self, question: tuple[Any, ...]) -> Answer:
        with self._asking:
            pipe = self._pipe
            try:
                if pipe is None:
                    raise EOFError
                pipe.send(question)
                answer = pipe.recv()
            except (EOFError, OSError) as error:
                raise InputError("the live view was stopped", remedy="start it again") from error
            finally:
                self._last_s = time.monotonic()
        if isinstance(answer, InputError):
            raise answer
        return dict(answer)


# The process


def _serve(pipe: Connection, models: tuple[Path, ...]) -> None:
    """Load the models, then answer each question with rows or its error."""
    prepare()
    serving = _Serving(models)
    try:
        while True:
            kind, *given = pipe.recv()
            try:
                pipe.send(serving.start() if kind == "start" else serving.step(*given))
            except (EOFError, OSError):
                return
            except Exception as error:  # noqa: BLE001  shown on the page
                pipe.send(shown_error(error))
    except (EOFError, KeyboardInterrupt):
        return  # the page was closed


class _Serving:
    """The models, and the stream of the browser."""

    def __init__(self, models: tuple[Path, ...]):
        self._models, self._predictor, self._stream = models, None, None  # type: Any, Any, Any

    def start(self) -> Answer:
        if self._predictor is None:
            predictor = Predictor.load(self._models)
            warm = predictor.stream()
            warm.sound(np.zeros(1600, np.float32))
            warm.frame(np.full((360, 640, 3), 128, np.uint8), 0.0)
            self._predictor = predictor
        self._stream = self._predictor.stream()
        return {"stamp": stamp(self._predictor.origin())}

    def step(self, body: bytes) -> Answer:
        begin_s = time.perf_counter()
        head, picture, sound = parts_of(body)
        rows = []
        if len(sound):
            rows += self._stream.sound(sound, head["sound_s"], int(head["rate"]))
        rows += self._stream.frame(image_of(picture), float(head["time_s"]))
        shown = [{name: _plain(value) for name, value in row.items() if name != "clip"} for row in rows]
        return {"rows": shown, "box": self._stream.box, "computed_ms": 1000 * (time.perf_counter() - begin_s)}


def parts_of(body: bytes) -> tuple[dict[str, float], bytes, NDArray[np.float32]]:
    """A request: the length of the JSON (4 bytes, little endian), the JSON, a JPEG, 16-bit samples.

    Returns:
        `time_s` of the frame, `sound_s` of the first sample, `rate` (Hz) and `picture` (bytes); the JPEG; samples (n,).

    Raises:
        InputError: it is not such a request.
    """
    wrong = InputError("this is not a frame of the live view", remedy="reload the page")
    length = int.from_bytes(body[:4], "little")
    try:
        if length > MOST_HEAD:
            raise ValueError("too long")
        found = dict(parse_json(body[4 : 4 + length]))
        head = {name: float(found[name]) for name in ("time_s", "sound_s", "rate", "picture")}
    except (ValueError, TypeError, KeyError) as error:
        raise wrong from error
    first = 4 + length
    end = first + int(head["picture"]) if math.isfinite(head["picture"]) and head["picture"] > 0 else -1
    if not (all(map(math.isfinite, head.values())) and first < end <= len(body) and (len(body) - end) % 2 == 0):
        raise wrong
    samples = np.frombuffer(body[end:], "<i2").astype(np.float32) / np.float32(32768)
    return head, body[first:end], samples


def image_of(jpeg: bytes) -> NDArray[np.uint8]:
    """RGB (h, w, 3) uint8 of a JPEG.

    Raises:
        InputError: it is none, or a large one.
    """
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:  # its header only
            pixels = opened.width * opened.height
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("the picture is not a JPEG", remedy="reload the page") from error
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if pixels <= MOST_PIXELS else None
    if image is None:
        raise InputError(f"the picture is damaged or has more than {MOST_PIXELS:,} pixels", remedy="reload the page")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


# What a browser may ask for


def routes(live: Live) -> list[Route]:
    """The routes of the live view; each request bears the key of a browser, which a website can't send."""

    def route(path: str, answer: Callable[[str, bytes], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            return await answered(request, lambda key: _answer(request, key, answer))

        return Route(ADDRESS + path, endpoint, methods=["POST"])

    return [
        route("/start", lambda key, body: live.start(key)),
        route("/step", live.step),
        route("/stop", lambda key, body: live.stop(key)),
    ]


async def _answer(request: Request, key: str, answer: Callable[[str, bytes], Answer]) -> Response:
    body = await body_of(request, MOST_BYTES, "reload the page")
    found = await run_in_threadpool(answer, key, body)
    return Response(json.dumps(found), media_type="application/json")
