"""A bound on what a compressed file may become in memory: a small one that asks for gigabytes is refused unread."""

from __future__ import annotations

from pathlib import Path

from iaca.errors import InputError

ALWAYS, RATIO = 2**28, 200  # bytes that any file may become, and bytes per byte of a larger one


def require_modest(path: Path, size: int) -> None:
    """Refuse what would unpack to more than 256 MB and more than 200 times the file.

    Args:
        path: of the file.
        size: bytes that it takes in memory, by what it says of itself.

    Raises:
        InputError: it is more.
    """
    if size > ALWAYS and size > RATIO * path.stat().st_size:
        packed = path.stat().st_size / 2**20
        what = f"{packed:.1f} MB that become {size / 2**20:,.0f} MB in memory: taken for damaged"
        raise InputError(what, path, remedy=f"write it again with less compression, below {RATIO} to 1")
