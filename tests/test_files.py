"""Files appear whole or not at all, and what a killed process leaves is removed by the next one that writes there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iaca import files
from iaca.files import LEFTOVER, newest_version, replacing, version_after, versions, write_text

KILLED = """
import os, signal, sys
from iaca.files import replacing
with replacing(sys.argv[1]) as partial:
    partial.write_text("ha")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def new_process() -> None:
    """As if this process had not written anywhere yet."""
    files._remove_abandoned.cache_clear()


def leftovers(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{LEFTOVER}*"))


def test_what_a_killed_process_left_is_removed_when_another_file_is_written_there(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.txt"], check=False)
    assert killed.returncode == -9
    assert [path.read_text() for path in leftovers(tmp_path)] == ["ha"]
    write_text(tmp_path / "b.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_what_others_write_just_now_stays(tmp_path: Path) -> None:
    mine = tmp_path / ".tmp-1-notes.txt"  # a user's own file, not of our making
    elsewhere = tmp_path / ".tmp-1-abcdef-01234567-a.txt"  # of another machine, where process numbers mean nothing here
    for path in (mine, elsewhere):
        path.write_text("x")
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
        files._remove_abandoned.cache_clear()
        write_text(tmp_path / "b.txt", "whole")
        assert leftovers(tmp_path) == sorted([mine, elsewhere, partial])


def test_what_nobody_has_touched_for_a_day_goes_whichever_machine_it_is_from(tmp_path: Path) -> None:
    old = tmp_path / ".tmp-1-abcdef-01234567-a.txt"
    old.write_text("x")
    os.utime(old, (time.time() - 90_000,) * 2)
    write_text(tmp_path / "b.txt", "whole")
    assert leftovers(tmp_path) == []


def test_a_folder_is_made_when_the_file_in_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "model" / "version" / "model"
    with replacing(target, tmp_path / "model") as partial:
        partial.write_text("whole")
        assert partial.parent == tmp_path / "model"
        assert not target.parent.exists()
    assert target.read_text() == "whole"
    assert leftovers(tmp_path / "model") == []


@pytest.mark.parametrize(
    ("newest", "version"),
    [
        ("2026-01-31T11.59.59.999Z", "2026-01-31T12.00.00.000Z"),
        ("2026-01-31T12.00.00.000Z", "2026-01-31T12.00.00.001Z"),
        ("2026-01-31T12.00.00.999Z", "2026-01-31T12.00.01.000Z"),
        ("2099-12-31T23.59.59.999Z", "2100-01-01T00.00.00.000Z"),
        ("9999-12-31T23.59.59.999Z", "2026-01-31T12.00.00.000Z"),  # nothing can follow it: it is no version
        ("backup", "2026-01-31T12.00.00.000Z"),
    ],
)
def test_a_new_version_is_newer_than_every_other_of_any_file(tmp_path: Path, newest: str, version: str) -> None:
    one, other, none = (tmp_path / name for name in ("model.x", "metrics.json", "none"))
    for path in (one / "2026-01-01T12.00.00.000Z" / one.name, other / newest / other.name):
        path.parent.mkdir(parents=True)
        path.touch()
    assert version_after("2026-01-31T12.00.00.000Z", [one, other, none]) == version
    assert versions(none) == []
    assert newest_version(none) is None
    assert newest_version(one) == one / "2026-01-01T12.00.00.000Z" / one.name
