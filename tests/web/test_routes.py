"""The page answers what it needs and nothing else of what Gradio brings along, and it sends nothing anywhere.

It runs in the worst environment: a Hugging Face token is saved and set, and every variable that opens a Gradio page is
set. The hub that would get the token is a server of this machine.
"""

import http.client
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psutil
import pytest

from iaca.web.access import FOR_BROWSERS
from project import ROOT, environment
from servers import free_port
from tattle import tattling

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow
PATIENCE_S = 300  # a hang, not a timing

TOKEN = "hf_a_token_of_nobody"
OPENING = {
    "GRADIO_ALLOWED_PATHS": "/",
    "GRADIO_ANALYTICS_ENABLED": "True",
    "GRADIO_EXAMPLES_CACHE": "/",
    "GRADIO_HISTORY_BUCKET": "me/private",
    "GRADIO_LOCAL_DEV_MODE": "1",
    "GRADIO_MCP_SERVER": "True",
    "GRADIO_NUM_WORKERS": "1",
    "GRADIO_PROFILING": "1",
    "GRADIO_ROOT_PATH": "http://elsewhere.example",
    "GRADIO_RUN_HISTORY": "True",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_SHARE": "True",
    "GRADIO_SSR_MODE": "True",
    "GRADIO_VIBE_MODE": "1",
    "GRADIO_WATCH_DIRS": "/tmp",
}
NEEDED = {
    "GET /": "/",
    "HEAD /": "/",
    "GET /theme.css": "/theme.css",
    "GET /favicon.ico": "/favicon.ico",
    "GET /assets/{path:path}": "/assets/index.css",
    "GET /static/{path:path}": "/static/js/iframeResizer.contentWindow.min.js",
    "GET /gradio_api/startup-events": "/gradio_api/startup-events",
    "GET /gradio_api/app_id": "/gradio_api/app_id",
    "GET /gradio_api/upload_progress": "/gradio_api/upload_progress",
    "GET /gradio_api/queue/data": "/gradio_api/queue/data",
    "GET /gradio_api/heartbeat/{session_hash}": "/gradio_api/heartbeat/ab12",
    "GET /gradio_api/file={path_or_url:path}": "/gradio_api/file={results}/name.csv",
    "POST /gradio_api/upload": "/gradio_api/upload",
    "POST /gradio_api/run/{api_name}": "/gradio_api/run/predict",
    "POST /gradio_api/queue/join": "/gradio_api/queue/join",
    "GET /iaca/annotate/media/{name}": f"/iaca/annotate/media/{'ab' * 16}",
    **{f"GET {path}": path for path in ("/iaca/annotate", "/iaca/annotate/clip", "/iaca/annotate/adapt")},
    "PUT /iaca/annotate/clip": "/iaca/annotate/clip",
    **{
        f"POST /iaca/annotate/{path}": f"/iaca/annotate/{path}"
        for path in (
            "clips",
            "clip/remove",
            "clip/copy",
            "clip/person",
            "forget",
            "gold",
            "import",
            "export",
            "adapt",
            "adapt/cancel",
        )
    },
    **{f"POST /iaca/live/{path}": f"/iaca/live/{path}" for path in ("start", "step", "stop")},
}
"""The routes that are served, and for each an address that is."""
ABSENT = "The page has no such address.\n"
CLIENT = httpx.Client(timeout=PATIENCE_S)
PROGRAM: dict[str, str] = {}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
IMAGE_ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@dataclass
class Hub:
    """A server in the place of huggingface.co, and what it was asked: path and token."""

    address: str
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A running page, its process, all routes of its application, and the note of connections to elsewhere."""

    address: str
    results: str
    routes: list[dict[str, Any]]
    process: int
    tattle: Path


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:  # before any method is looked for
            if read := super().parse_request():
                hub.asked.append((self.path, self.headers["Authorization"]))
            return read

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()


@contextmanager
def running(folder: Path, hub: Hub, *words: str, **variables: str) -> Iterator[Page]:
    own, tattle = tattling(folder, ROOT / "src")
    (folder / "home").mkdir()
    (folder / "home/token").write_text(TOKEN)
    own |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "home"), "HF_TOKEN": TOKEN, **variables}
    port, log = free_port(), folder / "log"
    command = [sys.executable, ROOT / "tests/web/page_alone.py", folder / "page", str(port), *words]
    inherited = {name: value for name, value in environment(ROOT).items() if not name.startswith(("HF_", "GRADIO_"))}
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**inherited, **own}, stdout=output, stderr=output, cwd=folder)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (told := re.search(r"^\{.*\}$", log.read_text(), re.MULTILINE)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Page(**json.loads(told[0]), process=process.pid, tattle=tattle)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def page(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of this project, in an environment that opens every other."""
    with running(tmp_path_factory.mktemp("page"), hub, **OPENING) as page:
        yield page


@pytest.fixture(scope="module")
def bare(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Gradio's own page, launched with its defaults."""
    with running(tmp_path_factory.mktemp("bare"), hub, "bare", GRADIO_PROFILING="1") as page:
        yield page


def ask(page: Page, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Status, headers, and the first 100 kB of the answer; a stream that goes on for ever is left."""
    body = {"json": {"data": [None], "fn_index": 1, "session_hash": "ab12", "bucket_id": "me/private"}}
    text = b""
    given = body if method == "POST" else {}
    with CLIENT.stream(method, page.address + path, headers=headers, **given) as answer:
        for block in answer.iter_raw():
            text += block
            if len(text) > 100_000 or "event-stream" in answer.headers["content-type"]:
                break
        return answer.status_code, dict(answer.headers), text.decode("utf-8", "replace")


def addresses(page: Page, bare: Page, hub: Hub) -> list[tuple[str, str, str]]:
    """Route, method and addresses that it takes, of all that this page or Gradio's own serves."""
    fillings = ["x", "run-history", f"{hub.address}/secret", "/etc/passwd"]
    found = []
    for route in [*page.routes, *bare.routes]:
        names = re.findall(r"\{[^}]*\}", route["path"])
        for method, filling in itertools.product(route["methods"], fillings if names else fillings[:1]):
            path = route["path"]
            for name in names:
                path = path.replace(name, filling)
            path += "?bucket=me/private&session_hash=ab12&upload_id=x"
            found.append((f"{method} {route['path']}", method, path))
    return sorted(set(found))


def test_all_routes_are_found(page: Page, bare: Page) -> None:
    paths = [{route["path"] for route in each.routes} for each in (page, bare)]
    assert min(map(len, paths)) > 60
    assert {"/", "/config", "/gradio_api/vibe-code", "/gradio_api/proxy={url_path:path}"} <= paths[0] & paths[1]
    assert {"/gradio_api/run-history/buckets", "/gradio_api/profiling/traces"} <= paths[1] - paths[0]
    assert not [path for path in paths[0] if re.search("run-history|mcp|profiling|^/openapi", path)]


def test_each_route_is_needed_or_refused(page: Page, bare: Page, hub: Hub) -> None:
    served = set()
    for route, method, path in addresses(page, bare, hub):
        status, _, text = ask(page, method, path, PROGRAM)
        if status != 404 or (text != ABSENT and method != "HEAD"):
            served.add(route)
    assert served <= set(NEEDED), served - set(NEEDED)


@pytest.mark.parametrize("route", NEEDED)
def test_a_route_that_is_needed_is_there(page: Page, route: str) -> None:
    assert route in {f"{method} {each['path']}" for each in page.routes for method in each["methods"]}
    status, _, text = ask(page, route.split()[0], NEEDED[route].format(results=page.results), OWN_PAGE)
    assert status != 404 or text not in ("", ABSENT)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file={results}/../../../etc/passwd"),
        ("GET", "/gradio_api/file={results}/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", "/gradio_api/file={results}"),
        ("GET", "/gradio_api/file={results}-other/name.csv"),
        ("GET", "/gradio_api/file=http://192.0.2.1/"),
        ("HEAD", "/gradio_api/file={results}/name.csv"),
        ("GET", "/gradio_api%2frun-history%2fbuckets"),
        ("GET", "//gradio_api/run-history/buckets"),
        ("GET", "/assets/../config"),
        ("GET", "/assets/..%2fconfig"),
        ("GET", "/gradio_api/heartbeat/x/../../config"),
        ("GET", "/theme.css/"),
        ("GET", "/theme.css%0a"),
        ("GET", "/gradio_api/upload"),
        ("GET", "/iaca/annotate/"),
        ("GET", "/iaca/annotate/media/../../../etc/passwd"),
        ("GET", f"/iaca/annotate/media/{'AB' * 16}"),
        ("GET", "/iaca/annotate/media/x"),
        ("HEAD", "/iaca/annotate"),
        ("DELETE", "/iaca/annotate/clip"),
        ("GET", "/iaca/annotate/export"),
        ("DELETE", "/"),
        ("TRACE", "/"),
        ("OPTIONS", "/gradio_api/upload"),
    ],
)
def test_what_resembles_a_route_is_refused(page: Page, method: str, path: str) -> None:
    host, _, port = page.address.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)  # sends the path as it stands
    connection.request(method, path.format(results=page.results))
    answer = connection.getresponse()
    assert (answer.status, answer.read().decode()) == (404, "" if method == "HEAD" else ABSENT)


@pytest.mark.parametrize("headers", [PROGRAM, OWN_PAGE, IMAGE_ELSEWHERE], ids=["program", "page", "image elsewhere"])
def test_no_route_tells_the_token_or_asks_anybody(page: Page, bare: Page, hub: Hub, headers: dict[str, str]) -> None:
    hub.asked.clear()
    bucket = {"X-Gradio-History-Bucket": "me/private"}
    for route, method, path in addresses(page, bare, hub):
        status, got, text = ask(page, method, path, headers | bucket)
        assert TOKEN not in text + json.dumps(got), route
        assert {name.decode(): value.decode() for name, value in FOR_BROWSERS.items()}.items() <= got.items(), route
        assert headers is not IMAGE_ELSEWHERE or status == 403, route
    assert hub.asked == []
    assert not page.tattle.exists(), page.tattle.read_text()


def test_gradios_own_page_would_send_it(bare: Page, hub: Hub) -> None:
    hub.asked.clear()
    ask(bare, "GET", "/gradio_api/run-history/buckets", IMAGE_ELSEWHERE)
    assert [token for _, token in hub.asked] == [f"Bearer {TOKEN}"]


def test_variables_of_the_user_open_nothing(page: Page) -> None:
    text = httpx.get(page.address).text
    config, _ = json.JSONDecoder().raw_decode(text.partition("window.gradio_config = ")[2])
    assert (config["dev_mode"], config["vibe_mode"], config["root"]) == (False, False, page.address)
    process = psutil.Process(page.process)
    assert process.children(recursive=True) == []  # Gradio's static workers listen at ports of their own
    listening = {each.laddr for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    assert [f"http://{address.ip}:{address.port}" for address in listening] == [page.address]
