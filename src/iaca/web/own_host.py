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


class OwnHost:
    """ASGI middleware that refuses (403) what was not meant for this machine, or was asked for by another page.

    Listening on 127.0.0.1 keeps other machines out, but a page of the web in a browser of this one can send requests
    here: under a name of its own that it has pointed at 127.0.0.1 (DNS rebinding), or across origins, where a browser
    keeps the answer back but not the upload. So the host must be this machine's, by whatever port (a tunnel has its
    own), and the origin, where a browser names one, must be that host.
    """

    def __init__(self, app: App):
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or _allowed(scope["headers"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"This page answers to 127.0.0.1 and localhost alone.\n"})


def _allowed(headers: list[tuple[bytes, bytes]]) -> bool:
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    origins = [value.decode("latin-1").lower() for name, value in headers if name == b"origin"]
    if len(hosts) != 1 or _name(hosts[0]) not in NAMES:
        return False
    return all(origin in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins)


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if "@" not in host else None
    except ValueError:  # brackets that are not closed
        return None
