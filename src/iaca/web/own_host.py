"""Who may talk to the page: programs and browsers of this machine, and no other page that a browser has open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

NAMES = {"127.0.0.1", "localhost"}
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
"""Sent with every answer: no other page may frame, embed, read or hold on to this one."""


class OwnHost:
    """ASGI middleware that refuses (403) what was not meant for this machine, or was asked for by another page.

    Listening on 127.0.0.1 keeps other machines out, but a website in a browser of this machine can send requests here:
    under a name of its own that it has pointed at 127.0.0.1 (DNS rebinding), or across origins, where the browser
    withholds the answer but not the request. So three headers are checked, which no website can change:

    * the host must be this machine's, by any port (a tunnel has its own);
    * the origin, where a browser names one, must be that host;
    * `Sec-Fetch-Site`, which browsers also send with the images, scripts and frames of a website, where there is no
      origin, must be `same-origin` or `none` (an address that was typed). Another port of this machine is `same-site`
      and is refused as well. The one exception is a link elsewhere that opens the page itself in a tab.

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

        if _allowed(scope):
            await self._app(scope, receive, answer)
        else:
            await refuse(
                scope, answer, 403, "This page answers to 127.0.0.1 and localhost alone, and to no other page."
            )


async def refuse(scope: Message, send: Send, status: int, words: str) -> None:
    """Answer a request with this status and sentence; close a socket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{words}\n".encode()})


def _allowed(scope: Message) -> bool:
    hosts, origins, sites = (_values(scope, name) for name in (b"host", b"origin", b"sec-fetch-site"))
    if len(hosts) != 1 or _name(hosts[0]) not in NAMES:
        return False
    if any(origin not in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins):
        return False
    return all(site in ("same-origin", "none") for site in sites) or _opens_the_page(scope)


def _opens_the_page(scope: Message) -> bool:
    """A link that fills a tab with the page; that shows nothing of a session and changes nothing."""
    there = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"
    return (
        there
        and _values(scope, b"sec-fetch-mode") == ["navigate"]
        and _values(scope, b"sec-fetch-dest") == ["document"]
    )


def _values(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for key, value in scope["headers"] if key == name]


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if "@" not in host else None
    except ValueError:  # brackets that are not closed
        return None
