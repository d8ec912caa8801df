"""A command's wall time, the processor time of all its processes, and the peak memory of its driver and workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

LOOK_S = 0.2
PORTS = range(4200, 4300)


class Measured(NamedTuple):
    """Seconds, and MiB of resident memory at its highest; `worker` is the largest of all other processes."""

    wall: float
    cpu: float
    driver: float
    worker: float


def measure(words: list[str], folder: Path, environment: dict[str, str]) -> Measured:
    """Run a command in a folder.

    Raises:
        RuntimeError: it fails; its output is told.
    """
    log = folder / "load.log"
    started = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=output, stderr=output)
    peaks: dict[int, float] = {}
    while True:
        # Not `poll`: it would take the process's usage away unseen.
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        _look(process.pid, peaks)
        time.sleep(LOOK_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{log.read_text()}")
    driver = peaks.pop(process.pid, 0.0)
    cpu = usage.ru_utime + usage.ru_stime  # with those of its children, which it has waited for
    return Measured(time.monotonic() - started, cpu, driver, max(peaks.values(), default=0.0))


def _look(root: int, peaks: dict[int, float]) -> None:
    """Note the highest memory so far (the kernel's own mark) of a process and of all below it."""
    for pid in _family(root):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        peaks[pid] = max(peaks.get(pid, 0.0), *(int(kib) / 1024 for kib in marks)) if marks else peaks.get(pid, 0.0)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(member for child in children for member in _family(int(child)))]


def serve(_: list[str], folder: Path, environment: dict[str, str]) -> Measured:
    """Start kedro-viz's server; `wall` is the time to its graph and to the slowest dataset's details after that."""
    port = next(port for port in PORTS if socket.socket().connect_ex(("127.0.0.1", port)))
    words = ["kedro", "viz", "run", "--no-browser", "--port", str(port)]
    started, peaks = time.monotonic(), dict[int, float]()
    with (folder / "viz.log").open("w") as output:
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        graph = _fetch(port, "main", process)
        opened = time.monotonic() - started
        slowest = 0.0
        for node in (node for node in graph["nodes"] if node["type"] == "data"):
            asked = time.monotonic()
            _fetch(port, f"nodes/{node['id']}", process)
            slowest = max(slowest, time.monotonic() - asked)
        _look(process.pid, peaks)
        return Measured(opened, slowest, peaks.pop(process.pid, 0.0), max(peaks.values(), default=0.0))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _fetch(port: int, path: str, process: subprocess.Popen[bytes]) -> Any:
    """JSON of one of the server's addresses; waits until it listens."""
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=600) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                raise
            time.sleep(LOOK_S)
