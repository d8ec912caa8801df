"""A large file is read once, however often it is asked for, until it changes; a store that fails costs only time."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from iaca.engine import task
from iaca.engine.task import SMALL, FileCache, cache_path, digest


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A large file, a store of its own for the test, and no wait for files to settle."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(task, "SETTLED_S", -1.0)
    path = tmp_path / "video"
    path.write_bytes(b"v" * SMALL)
    return path


def fresh(path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest as a new process would get it; what is read for it is noted."""
    task._file_digest.cache_clear()

    def read(path: Path) -> str:
        reads.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(task, "read_digest", read)
    return digest(path)


def test_a_large_file_is_read_again_only_when_it_has_changed(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    first = fresh(video, reads, monkeypatch)
    assert fresh(video, reads, monkeypatch) == first == hashlib.sha256(b"v" * SMALL).hexdigest()
    assert len(reads) == 1
    before = video.stat()
    video.write_bytes(b"w" * SMALL)  # the same size, and its time set back: the entry's own time tells
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fresh(video, reads, monkeypatch) == hashlib.sha256(b"w" * SMALL).hexdigest()
    assert len(reads) == 2


def test_a_file_that_has_just_changed_is_not_trusted_yet(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "SETTLED_S", 60.0)
    reads: list[Path] = []
    fresh(video, reads, monkeypatch)
    fresh(video, reads, monkeypatch)
    assert len(reads) == 2


def test_small_files_are_always_read(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video.write_bytes(b"s")
    reads: list[Path] = []
    fresh(video, reads, monkeypatch)
    fresh(video, reads, monkeypatch)
    assert len(reads) == 2


def test_a_cache_that_is_broken_or_not_writable_costs_only_time(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_path().parent.mkdir(parents=True)
    cache_path().write_text("no database" * 1000)
    assert digest(video) == hashlib.sha256(b"v" * SMALL).hexdigest()
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    task._file_digest.cache_clear()
    assert digest(video) == hashlib.sha256(b"v" * SMALL).hexdigest()


def test_what_is_known_of_a_file_goes_with_its_content_and_is_kept_by_kind(video: Path) -> None:
    FileCache("lines", video).set("7")
    assert FileCache("lines", video).get() == "7"
    assert FileCache("words", video).get() is None
    video.write_bytes(b"w" * SMALL)
    assert FileCache("lines", video).get() is None
    video.unlink()
    assert FileCache("lines", video).get() is None


def test_a_folder_is_told_by_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_text("a")
    first = digest(tmp_path)
    assert digest(tmp_path) == first
    os.utime(tmp_path / "1.jpg", (time.time() + 9,) * 2)
    later = digest(tmp_path)
    (tmp_path / "2.jpg").touch()
    assert len({first, later, digest(tmp_path)}) == 3
