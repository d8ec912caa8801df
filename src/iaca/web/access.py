"""Who may ask the page, and for what: programs and browsers of this machine, and only the routes that the page needs.

`guarded` wraps an application in both checks. Each is ASGI middleware. `answered` is how the routes of the page's own
panels answer a browser that shows its key.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from iaca.errors import InputError
from iaca.parameters import faults
from iaca.web.sessions import shown_error

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def guarded(app: App, results: Path) -> App:
    """The application behind both checks; `results` is the only folder from which files are served."""
    return OwnHost(NeededRoutes(app, results))


# Who may ask

HOSTS = {"127.0.0.1", "localhost"}
FOR_BROWSERS = {
    # The page loads and sends nothing beyond itself; Gradio's templates need inline scripts and `eval`.
    b"content-security-policy": b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-src 'none'; "
    b"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
"""Headers of every answer: no other page may frame, embed, read or keep a handle on this one."""


class OwnHost:
    """Refuses (403) requests that are not for this machine or come from another page.

    Listening on 127.0.0.1 keeps other machines out, but a website in a browser of this machine can send requests here:
    under a name of its own that it has pointed at 127.0.0.1 (DNS rebinding), or across origins, where the browser
    withholds the answer but not the request. So three headers are checked, which no website can change:

    * the host must be this machine's, with any port (a tunnel has its own);
    * the origin, if a browser sends one, must be that host;
    * `Sec-Fetch-Site`, which browsers also send with the images, scripts and frames of a website, where there is no
      origin, must be `same-origin` or `none` (an address that was typed). Another port of this machine is `same-site`
      and is refused as well. The one exception is a link on another page that opens this page in a tab.

    Programs, and browsers from before 2023, do not send `Sec-Fetch-Site`; for them the first two checks remain.
    """

    def __init__(self, app: App):
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [each for each in message.get("headers", ()) if each[0].lower() not in FOR_BROWSERS]
                message = {**message, "headers": [*others, *FOR_BROWSERS.items()]}
            await send(message)

        if _is_allowed(scope):
            await self._app(scope, receive, answer)
        else:
            text = "This page answers requests for 127.0.0.1 and localhost only, and none from other pages."
            await _refuse(scope, answer, 403, text)


def _is_allowed(scope: Message) -> bool:
    hosts, origins, sites = (_values(scope, name) for name in (b"host", b"origin", b"sec-fetch-site"))
    if len(hosts) != 1 or _host_name(hosts[0]) not in HOSTS:
        return False
    if any(origin not in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins):
        return False
    return all(site in ("same-origin", "none") for site in sites) or _opens_the_page(scope)


def _opens_the_page(scope: Message) -> bool:
    """Whether a link opens the page in a tab; that shows nothing of a session and changes nothing."""
    is_page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"
    return (
        is_page
        and _values(scope, b"sec-fetch-mode") == ["navigate"]
        and _values(scope, b"sec-fetch-dest") == ["document"]
    )


def _values(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for key, value in scope["headers"] if key == name]


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if "@" not in host else None
    except ValueError:  # an unclosed bracket
        return None


# For what

FILE = "/gradio_api/file="
SESSION = r"[A-Za-z0-9]+"
NEEDED = {
    "GET": [
        "/",  # the page
        "/theme.css",
        "/favicon.ico",
        r"/assets/[\w.-]+",  # scripts and styles of Gradio's package
        r"/static/js/iframeResizer\.contentWindow\.min\.js",  # Gradio's page loads it, in a frame or not
        "/gradio_api/startup-events",  # Gradio requests it when it starts
        "/gradio_api/app_id",  # whether the page was restarted, after a lost connection
        "/gradio_api/upload_progress",
        "/gradio_api/queue/data",  # progress of an analysis
        f"/gradio_api/heartbeat/{SESSION}",  # ends the session when the page is closed
        "/iaca/annotate",  # clips, raters and models of this browser
        "/iaca/annotate/clip",
        "/iaca/annotate/adapt",  # progress
        "/iaca/annotate/media/[0-9a-f]{32}",
    ],
    "HEAD": ["/"],  # Gradio requests it when it starts
    "POST": [
        "/gradio_api/upload",
        "/gradio_api/run/predict",  # receives an upload
        "/gradio_api/queue/join",  # starts its analysis
        "/iaca/annotate/clips",  # receives a clip
        "/iaca/annotate/clip/(remove|copy|person)",
        "/iaca/annotate/(forget|gold|import|export|adapt|adapt/cancel)",
        "/iaca/live/(start|step|stop)",
    ],
    "PUT": ["/iaca/annotate/clip"],  # a rater's trace
}
"""Per method, patterns of full paths. Result files are served too."""


class NeededRoutes:
    """Answers 404 to every route that is not needed, whether or not Gradio would serve it.

    Gradio has about 80 routes, and new versions add others: some fetch addresses, return the state of other sessions,
    or use the Hugging Face token of this machine's user. So only listed routes exist.

    Args:
        app: the application behind.
        results: folder of the results, the only files of the machine that are served.
    """

    def __init__(self, app: App, results: Path):
        self._app, self._files = app, f"{FILE}{results}/"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it; all sockets are refused."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._is_needed(scope["method"], scope["path"])):
            await self._app(scope, receive, send)
        else:
            await _refuse(scope, send, 404, "The page has no such address.")

    def _is_needed(self, method: str, path: str) -> bool:
        if method == "GET" and path.startswith(self._files):
            return ".." not in path.split("/")
        return any(re.fullmatch(pattern, path) for pattern in NEEDED.get(method, ()))


async def _refuse(scope: Message, send: Send, status: int, text: str) -> None:
    """Answer a request with this status and sentence; close a socket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode()})


# How the panels read a request, and answer it

KEY_HEADER, KEY = "x-iaca-key", re.compile("[0-9a-f]{32}")
"""A browser draws its key itself and keeps it; a website can't send it."""


async def answered(request: Request, answer: Callable[[str], Awaitable[Response]]) -> Response:
    """Answer the browser of a key. Refuse a request without one (403); show errors of the user (400)."""
    key = request.headers.get(KEY_HEADER, "")
    if not KEY.fullmatch(key):
        return JSONResponse({"problem": "the key of the browser is missing", "remedy": "reload the page"}, 403)
    try:
        return await answer(key)
    except ClientDisconnect:
        return Response(status_code=400)
    except ValidationError as error:
        return _shown(InputError(faults(error), remedy="correct the number"))
    except Exception as error:  # noqa: BLE001  shown on the page
        return _shown(shown_error(error))


def _shown(error: InputError) -> Response:
    place = None if error.file is None else Path(error.file).name
    return JSONResponse(
        {"problem": error.problem, "file": place, "row": error.row, "remedy": error.remedy}, status_code=400
    )


async def body_of(request: Request, most: int, remedy: str) -> bytes:
    """The body of a request.

    Raises:
        InputError: it has more than `most` bytes.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise InputError(f"more than {most // 2**20} MiB were sent", remedy=remedy)
    return bytes(body)


def text_of(given: Mapping[str, Any], name: str) -> str:
    """A text that was sent. Raises InputError if it was not."""
    found = given.get(name)
    if not isinstance(found, str):
        raise InputError(f"{name} is missing", remedy="reload the page")
    return found


def optional_text(given: Mapping[str, Any], name: str) -> str | None:
    """A text without blanks around it; None if there is none."""
    return text_of(given, name).strip() or None if given.get(name) is not None else None


def number_of(given: Mapping[str, Any], name: str) -> float | None:
    """A number; None if none was sent. Raises InputError for anything else."""
    found = given.get(name)
    if found is not None and type(found) not in (int, float):
        raise InputError(f"{name} is not a number", remedy="correct it, or leave it empty")
    return found


def download(name: str, data: bytes) -> Response:
    """A file for the browser to save."""
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(data, media_type="application/octet-stream", headers=headers)
