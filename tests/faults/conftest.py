"""Disks that are small or read-only. Without the right to mount, what needs them is skipped, by name."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from little_tasks import copy

from iaca.engine import Task


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount file systems: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], Path]]:
    """Makes a folder read-only, also for root."""
    bound: list[Path] = []

    def bind(folder: Path) -> Path:
        mount("--bind", str(folder), str(folder))
        bound.append(folder)
        mount("-o", "remount,ro,bind", str(folder))
        return folder

    yield bind
    for folder in bound:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def forbidden() -> Iterator[Callable[..., None]]:
    """Takes permissions from files and folders; while the test runs, they hold for root, too, in this thread."""
    libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0)
    usual, reduced = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    if not hasattr(libc, "capget") or libc.capget(header, usual):
        pytest.skip("needs the capabilities of Linux")
    libc.capget(header, reduced)
    reduced[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of the effective ones
    modes: list[tuple[Path, int]] = []

    def forbid(*paths: Path, mode: int = 0) -> None:
        for path in paths:
            modes.append((path, path.stat().st_mode))
            path.chmod(mode)
        assert libc.capset(header, reduced) == 0

    yield forbid
    assert libc.capset(header, usual) == 0
    for path, mode in reversed(modes):
        path.chmod(mode)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all the room of a disk but `leave` bytes; the file that takes it."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    facts = os.statvfs(disk)
    ballast.write_bytes(bytes(facts.f_bavail * facts.f_frsize - leave))
    return ballast


@pytest.fixture
def filled() -> Callable[..., Path]:
    """The function `fill`."""
    return fill


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six files of 100 kB."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in "abcdef":
        (folder / name).write_text(name * 100_000)
    return folder


@pytest.fixture
def tasks(corpus: Path) -> dict[str, Task]:
    """Each file copied, in capitals."""
    return {path.name: Task("copy", copy, (path,)) for path in sorted(corpus.iterdir())}
