"""Tasks that do little, and what goes wrong in them; importable by worker processes."""

import os
import resource
from pathlib import Path

import numpy as np


def copy(source: Path, target: Path) -> None:
    """A file in capitals; one that says `vanish` or `change` does that to itself while it is read."""
    text = source.read_text()
    if text.startswith("vanish"):
        source.unlink()
        source.read_text()
    if text.startswith("change"):
        source.write_text("another text")
    if text.startswith("touch"):
        os.utime(source, (1, 1))
    target.write_text(text.upper())


def greedy(source: Path, target: Path) -> None:
    """A file in capitals; one that says `greedy` asks for more memory than its process may have."""
    if source.read_text() != "greedy":
        return copy(source, target)
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), before[1]))
    try:
        target.write_bytes(np.ones(1 << 30, np.uint8).tobytes())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def two_files(source: Path, target: Path, folder: Path) -> None:
    """A file that names another, which is written beside it."""
    name = f"{source.name}.more"
    (folder / name).write_text(source.read_text())
    target.write_text(name)


def named_in(result: Path) -> list[str]:
    """What `two_files` wrote beside a result."""
    return [result.read_text()]


def contents(folder: Path) -> dict[str, bytes]:
    """Name -> content of all files of a folder of results, its journal included."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
