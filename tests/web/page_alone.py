"""The page as it is launched, over a worker that is never asked: `python page_alone.py FOLDER PORT [bare]`.

Prints a line of JSON with its address, the folder of its results and all routes of the application, then serves.
`bare` is a page of Gradio's own, launched in the way of its manual.
"""

import json
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from iaca.web.__main__ import _close_environment
from iaca.web.sessions import Sessions, WebConfig


def routes(found: Iterable[Any], prefix: str = "") -> Iterator[dict[str, Any]]:
    """Every route with its methods, also those of routers and applications within; of a mount also what is unknown."""
    for route in found:
        if hasattr(route, "effective_route_contexts"):  # a router that FastAPI includes
            yield from routes(route.effective_route_contexts(), prefix)
        elif hasattr(route, "app") and getattr(route, "routes", None) is not None:  # a mount
            yield {"path": f"{prefix}{route.path}/{{path:path}}", "methods": ["GET", "POST"]}
            yield from routes(route.routes, prefix + route.path)
        else:
            route = getattr(route, "starlette_route", None) or route
            yield {"path": prefix + route.path, "methods": sorted(route.methods)}


def main(folder: Path, port: int, bare: bool) -> None:
    sessions = Sessions(folder, worker=None, max_seconds=1)  # type: ignore[arg-type]
    if bare:
        import gradio as gr

        with gr.Blocks(analytics_enabled=False) as page:
            gr.HTML()
        page.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True)
        address = page.local_url
    else:
        _close_environment(sessions.uploads)
        from iaca.web.page import Annotations, build_page, launch

        config = WebConfig(port=port, max_mb=1)
        annotations = Annotations(folder, config)
        page = build_page(sessions, annotations, {}, config)
        address = launch(page, sessions, annotations, config)
    told = {"address": address.rstrip("/"), "results": str(sessions.results), "routes": list(routes(page.app.routes))}
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["bare"])
