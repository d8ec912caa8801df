"""Servers that tests start: on a free port, in a process group of their own, ended with all their children."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from project import environment


def free_port() -> int:
    """A port nobody listens on. kedro-viz refuses those above 49151, and the system gives away those above 32767."""
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is free between 20000 and 32767")


@contextmanager
def serving(finished: Path, log: Path, *words: str) -> Iterator[Callable[[str], Any]]:
    """A server in a process group of its own, ended with all its children. Gives a function: address -> its JSON."""
    with log.open("w") as output:
        process = subprocess.Popen(
            words, cwd=finished, env=environment(finished), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip

    def fetch(url: str, seconds: float = 300) -> Any:
        """Waits for the server; fails with what the server printed, at once where it has ended with an error."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(url, timeout=30) as answer:
                    return json.load(answer)
            except (urllib.error.URLError, ConnectionError) as error:
                if process.poll() or time.monotonic() > deadline:
                    raise AssertionError(f"{' '.join(words)}\n{url}: {error}\n{log.read_text()}") from error
                time.sleep(0.5)

    try:
        yield fetch
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)
