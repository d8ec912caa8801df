"""Processes that tell on themselves: connections and look-ups of names beyond this machine are written down."""

import os
from pathlib import Path

HOOK = """import os, sys
HERE = ("127.0.0.1", "::1", "localhost", "", None)
def tell(event, words):
    if event in ("socket.connect", "socket.sendto"):
        address = words[1][0] if isinstance(words[1], tuple) else None  # a path is a socket of this machine
    elif event == "socket.getaddrinfo":
        address = words[0].decode() if isinstance(words[0], bytes) else words[0]
    else:
        return
    if address not in HERE:
        with open(os.environ["TATTLE"], "a") as file:
            file.write(f"{event} {address}\\n")
sys.addaudithook(tell)
"""


def tattling(folder: Path, python_path: Path) -> tuple[dict[str, str], Path]:
    """Environment variables for such a process and its children, and the file they write; none if nothing happens."""
    hook, told = folder / "hook", folder / "tattle"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    return {"TATTLE": str(told), "PYTHONPATH": f"{hook}{os.pathsep}{python_path}"}, told
