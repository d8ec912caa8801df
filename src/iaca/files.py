"""Files that appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFTOVER = ".tmp-"


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """A temporary name beside `target` to write to; it takes the target's place on success and vanishes on an error.

    The folder is made where it is missing. The name keeps the suffix, since libraries choose the format by it, and
    begins with `LEFTOVER`, by which the engine finds what a killed process left.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{LEFTOVER}{secrets.token_hex(4)}-{target.name}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file so that a reader sees the old or the new one, never a half."""
    with replacing(path) as partial:
        partial.write_text(text)
