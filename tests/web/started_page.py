"""The command `python -m iaca.web`, started for tests that use the page in a browser."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser import tab
from project import ROOT, environment
from servers import free_port
from tattle import tattling

PATIENCE_S = 300  # a hang, not a timing: a page that is there is gone on with at once


@dataclass(frozen=True)
class Server:
    """The running page, its temporary folder, and the file in which any connection to elsewhere is noted."""

    port: int
    temporary: Path
    tattle: Path
    process: subprocess.Popen[bytes]


@contextmanager
def started(folder: Path, *words: str) -> Iterator[Server]:
    """The page with these options; nothing leaves the machine, and temporary files lie below `folder`."""
    log, port = folder / "log", free_port()
    variables, tattle = tattling(folder, ROOT / "src")
    (folder / "temporary").mkdir()
    command = [sys.executable, "-m", "iaca.web", "--port", str(port), *words]
    own = {"TMPDIR": str(folder / "temporary"), **variables}
    own |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # where nobody answers
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**environment(ROOT), **own}, stdout=output, stderr=output)
    try:
        wait_for(lambda: "iaca is at" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield Server(port, folder / "temporary", tattle, process)
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def opened(server: Server) -> Iterator[Any]:
    """A tab with the page. What is refused fails the test: the page asks for nothing that it is not given."""
    refused: list[str] = []
    with tab() as page:
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("response", lambda answer: refused.append(answer.url) if answer.status in (403, 404) else None)
        page.on("console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("pageerror", lambda error: refused.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.wait_for_selector("#drop input[type=file]", state="attached")
        yield page
    assert refused == []


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it is true; fail after `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def files(folder: Path) -> list[Path]:
    """All files below a folder, some of which may vanish meanwhile."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]
