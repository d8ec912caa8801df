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
def tab(strangers: str = "fail", *more: str) -> Iterator[Any]:
    """A tab (a playwright page). What it asks of other machines fails the test or, with "block", gets no answer.

    `more` are further arguments of Chromium.
    """
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *more])
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.on("request", lambda request: asked.append(request.url))
            if strangers == "block":
                page.route(lambda url: not local(url), lambda route: route.abort())
            yield page
        finally:
            browser.close()
    assert asked, "no page was opened"
    assert strangers == "block" or [url for url in asked if not local(url)] == []


def local(url: str) -> bool:
    """Whether an address is on this machine; those without a host (data:) ask nobody."""
    return urlsplit(url.removeprefix("blob:")).hostname in ("127.0.0.1", "localhost", None)
