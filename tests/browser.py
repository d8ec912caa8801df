"""A headless Chromium for the tests: the one on the machine, told to talk to nobody of its own accord."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"

needs_chromium = pytest.mark.skipif(
    not os.path.exists(CHROMIUM) and "CI" not in os.environ,  # noqa: PTH110  in CI a missing browser is a failure
    reason="needs chromium (apt-get install chromium)",
)


@contextmanager
def tab(width: int = 1280, height: int = 1000, scale: float = 1) -> Iterator[Any]:
    """A page (playwright) of `width` x `height` px; on leaving, every request of it must have gone to this machine."""
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
            page.on("request", lambda request: asked.append(request.url))
            yield page
        finally:
            browser.close()
    local = ("127.0.0.1", "localhost", None)  # None: data: and blob:, which ask nobody
    assert asked, "no page was opened"
    assert [url for url in asked if urlsplit(url.removeprefix("blob:")).hostname not in local] == []
