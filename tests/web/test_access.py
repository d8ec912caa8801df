"""The page answers to this machine, and to no other page that a browser of this machine has open."""

import asyncio
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from iaca.web.access import OwnHost
from iaca.web.sessions import Sessions, WebConfig
from servers import free_port

UPLOAD = "/gradio_api/upload"
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FRAME = LINK | {"Sec-Fetch-Dest": "iframe"}
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The page as it is launched, over a worker that is never asked; its address, and where uploads would lie."""
    pytest.importorskip("gradio")
    from iaca.web.page import Annotations, build_page, launch

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("web")
        sessions = Sessions(folder, worker=None, max_seconds=1)  # type: ignore[arg-type]
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.uploads))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        config = WebConfig(port=free_port(), max_mb=1)
        annotations = Annotations(folder, config)
        page = build_page(sessions, annotations, {}, config)
        yield launch(page, sessions, annotations, config).rstrip("/"), sessions.uploads
        page.close()


def test_what_has_a_template_of_its_own_has_the_pages_styles_and_not_gradios(served: tuple[str, Path]) -> None:
    _, config = httpx.get(f"{served[0]}/").text.split("window.gradio_config = ", 1)
    components = json.JSONDecoder().raw_decode(config)[0]["components"]
    parts = [part["props"] for part in components if part["type"] == "html"]
    own = {part["elem_id"]: part["apply_default_css"] for part in parts if part.get("html_template") != "${value}"}
    assert own == dict.fromkeys(("tabs", "model", "result", "annotation", "live-view"), False)


def test_it_is_bound_to_this_machine_alone(served: tuple[str, Path]) -> None:
    port = int(served[0].rpartition(":")[2])
    others = [a[4][0] for a in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)]
    for address in {"127.0.0.2", *others} - {"127.0.0.1"}:
        with socket.socket() as caller:
            caller.settimeout(5)
            assert caller.connect_ex((address, port)) != 0, address


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:9000"])
def test_a_browser_of_this_machine_is_answered_also_through_a_tunnel(served: tuple[str, Path], host: str) -> None:
    for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host.lower()}"}):
        assert httpx.get(f"{served[0]}/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "rebound.example", "Origin": "http://rebound.example"},
        {"Host": "127.0.0.1.example:7860"},
        {"Host": "127.0.0.1@rebound.example"},
        {"Host": "0.0.0.0:7860"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Host": "127.0.0.1:7860", "Origin": "http://elsewhere.example"},
        {"Host": "127.0.0.1:7860", "Origin": "http://127.0.0.1:8000"},
        {"Host": "127.0.0.1:7860", "Origin": "null"},
    ],
)
def test_another_page_is_refused_and_its_upload_is_not_kept(served: tuple[str, Path], headers: dict[str, str]) -> None:
    address, uploads = served
    assert httpx.get(f"{address}/", headers=headers).status_code in (400, 403)
    files = {"files": ("clip.mp4", io.BytesIO(b"x" * 1000), "video/mp4")}
    assert httpx.post(address + UPLOAD, headers=headers, files=files).status_code in (400, 403)
    assert not [path for path in uploads.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", IMAGE),
        ("GET", "/gradio_api/app_id", IMAGE),
        ("GET", "/gradio_api/file=/etc/passwd", IMAGE),
        ("POST", UPLOAD, IMAGE),
        ("GET", "/", FRAME),
        ("GET", "/", FRAME | {"Sec-Fetch-Dest": "embed"}),
        ("GET", "/", IMAGE | {"Sec-Fetch-Site": "same-site"}),
        ("GET", "/", FRAME | {"Sec-Fetch-Site": "same-site"}),
        ("GET", "/gradio_api/startup-events", LINK),
        ("POST", "/", LINK),
        ("GET", "/", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", "/", {"Sec-Fetch-Site": ""}),
        ("GET", "/", {"Sec-Fetch-Site": "of-a-later-browser"}),
    ],
)
def test_what_another_page_embeds_or_sends_is_refused(
    served: tuple[str, Path], method: str, path: str, headers: dict[str, str]
) -> None:
    """A browser names no origin with images, scripts, frames and links."""
    assert httpx.request(method, served[0] + path, headers=headers).status_code == 403


def test_one_site_of_two_that_are_named_is_enough_to_refuse(served: tuple[str, Path]) -> None:
    headers = [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")]
    assert httpx.get(f"{served[0]}/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        LINK,
        LINK | {"Sec-Fetch-Site": "same-site"},
    ],
    ids=["program", "typed", "own page", "link elsewhere", "link at another port"],
)
def test_the_page_opens_where_its_address_is_typed_and_where_a_link_leads_to_it(
    served: tuple[str, Path], headers: dict[str, str]
) -> None:
    assert httpx.get(f"{served[0]}/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/", {"Host": "rebound.example"}, 403),
        ("GET", "/config", {}, 404),
        ("OPTIONS", "/", {"Origin": "http://localhost:8000", "Access-Control-Request-Method": "POST"}, 403),
        ("POST", "/gradio_api/queue/join", {}, 422),
        ("POST", UPLOAD, {"Content-Type": "text/plain"}, 400),
    ],
)
def test_every_answer_tells_browsers_that_no_other_page_may_frame_embed_or_read_it(
    served: tuple[str, Path], method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = httpx.request(method, served[0] + path, headers=headers)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert {"frame-ancestors 'none'", "object-src 'none'"} <= {each.strip() for each in policy.split(";")}
    assert "default-src 'self' data: blob:" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "access-control-allow-origin" not in answer.headers


def test_headers_of_the_application_do_not_loosen_those(served: tuple[str, Path]) -> None:
    """Gradio sends a request's own headers back with a part of a file."""
    results = served[1].parent / "results"
    (results / "a.csv").write_text("0123456789")
    loose = {"X-Frame-Options": "ALLOWALL", "Content-Security-Policy": "default-src *", "Range": "bytes=2-4"}
    answer = httpx.get(f"{served[0]}/gradio_api/file={results}/a.csv", headers=loose)
    assert (answer.status_code, answer.text) == (206, "234")
    assert answer.headers.get_list("x-frame-options") == ["DENY"]
    assert "*" not in answer.headers["content-security-policy"]


def test_an_upload_above_the_limit_is_refused_and_not_kept(served: tuple[str, Path]) -> None:
    address, uploads = served
    big = {"files": ("big.mp4", io.BytesIO(b"x" * (2**20 + 2**16)), "video/mp4")}
    assert httpx.post(address + UPLOAD, files=big, timeout=60).status_code == 413
    assert not [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size > 2**20]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "conf/base/catalog_raw.yml", "README.md"])
def test_files_of_the_machine_are_not_served(served: tuple[str, Path], path: str) -> None:
    assert httpx.get(f"{served[0]}/gradio_api/file={path}").status_code in (403, 404)


def test_sockets_of_another_page_are_closed_and_the_start_of_the_server_passes() -> None:
    said, passed = [], []

    async def app(scope, receive, send):
        passed.append(scope["type"])

    async def send(message):
        said.append(message)

    def call(**scope) -> None:
        asyncio.run(OwnHost(app)(scope, None, send))

    call(type="websocket", headers=[(b"host", b"rebound.example")])
    assert said == [{"type": "websocket.close", "code": 1008}]
    call(type="websocket", headers=[(b"host", b"localhost"), (b"origin", b"http://localhost")])
    call(type="lifespan")
    assert passed == ["websocket", "lifespan"]
    call(type="websocket", headers=[(b"host", b"localhost"), (b"host", b"rebound.example")])
    call(type="websocket", headers=[])
    assert said == 3 * [{"type": "websocket.close", "code": 1008}]
    assert passed == ["websocket", "lifespan"]
