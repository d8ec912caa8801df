"""What the page can be asked for: the few addresses it needs of all those that Gradio brings along."""

from __future__ import annotations

import re
from pathlib import Path

from iaca.web.own_host import App, Message, Receive, Send, refuse

FILE = "/gradio_api/file="
SESSION = r"[A-Za-z0-9]+"
NEEDED = {
    "GET": [
        "/",  # the page
        "/theme.css",
        "/favicon.ico",
        r"/assets/[\w.-]+",  # scripts and styles of Gradio's package
        r"/static/js/iframeResizer\.contentWindow\.min\.js",  # asked for by Gradio's page, in a frame or not
        "/gradio_api/startup-events",  # Gradio itself asks for it when it starts
        "/gradio_api/app_id",  # whether the page has been started anew, after a lost connection
        "/gradio_api/upload_progress",
        "/gradio_api/queue/data",  # what an analysis says
        f"/gradio_api/heartbeat/{SESSION}",  # ends the session when the page is closed
    ],
    "HEAD": ["/"],  # Gradio itself asks for it when it starts
    "POST": [
        "/gradio_api/upload",
        "/gradio_api/run/predict",  # an upload is received
        "/gradio_api/queue/join",  # its analysis begins
    ],
}
"""Per method, patterns of whole paths. Files of results come beside them."""


class NeededRoutes:
    """ASGI middleware that answers 404 to whatever is not needed, whether Gradio would serve it or not.

    Gradio brings about 80 routes along, and a new version brings others: some fetch addresses, hand out the state of
    other sessions, or use the Hugging Face token of this machine's user. So what is not listed here is not there.

    Args:
        app: the application behind.
        results: folder of the results, the only files of the machine that are served.
    """

    def __init__(self, app: App, results: Path):
        self._app, self._files = app, f"{FILE}{results}/"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it; all sockets are refused."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._needed(scope["method"], scope["path"])):
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, 404, "The page has no such address.")

    def _needed(self, method: str, path: str) -> bool:
        if method == "GET" and path.startswith(self._files):
            return ".." not in path.split("/")
        return any(re.fullmatch(pattern, path) for pattern in NEEDED.get(method, ()))
