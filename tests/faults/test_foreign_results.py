"""A folder of results from somebody else reaches no further than itself: no file elsewhere is removed or written."""

import json
import os
from pathlib import Path

import pytest
from little_tasks import copy

from iaca.engine import ExecutorConfig, Task, results, run_tasks
from iaca.engine.results import LOCK, MANIFEST, UNFINISHED, Manifest, read_failures
from iaca.errors import InputError

SERIAL = ExecutorConfig(kind="serial")
DIGEST = "00" * 32


@pytest.fixture
def out(tmp_path: Path, tasks: dict[str, Task]) -> Path:
    """A folder of results that is up to date."""
    run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    return tmp_path / "out"


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A file of the user's own, beside the folder of results."""
    path = tmp_path / "letter.txt"
    path.write_text("dear")
    return path


def claim(out: Path, item: str, **more: object) -> None:
    with (out / MANIFEST).open("a") as journal:
        journal.write(json.dumps({"item": item, "fingerprint": "00", **more}) + "\n")


@pytest.mark.parametrize("name", ["../letter.txt", "sub/../../letter.txt", "letter"])
def test_a_file_elsewhere_is_not_removed_with_an_item_that_is_gone(
    out: Path, tasks: dict[str, Task], letter: Path, name: str
) -> None:
    (out / "sub").mkdir()
    claim(out, "gone", files={str(letter) if name == "letter" else name: DIGEST})
    claim(out, str(letter.with_suffix("")) if name == "letter" else name.removesuffix(".txt"))
    report = run_tasks(tasks, out, ".txt", SERIAL)
    assert letter.read_text() == "dear"
    assert (report.pruned, report.made, len(report.kept)) == ([], [], 6)
    assert set(Manifest(out).items) == set(tasks)


def test_what_is_no_name_at_all_is_a_line_that_cant_be_read(out: Path, tasks: dict[str, Task]) -> None:
    before = (out / MANIFEST).read_bytes()
    for name in ("", ".", "..", "a\0b", "\ud800", "n" * 256):
        claim(out, name)
        claim(out, "x", files={name: DIGEST})
    with (out / MANIFEST).open("a") as journal:
        journal.write("[" * 200_000 + "\n" + '{"item": "' + "y" * 2_000_000 + '"}\n')
    assert Manifest(out).unreadable >= 14
    with pytest.raises(InputError, match="the journal of this folder is incomplete"):
        results(out, ".txt")
    assert len(run_tasks(tasks, out, ".txt", SERIAL).kept) == 6
    assert (out / MANIFEST).read_bytes() == before


def test_a_longest_name_that_no_result_has_can_be_forgotten(out: Path, tasks: dict[str, Task]) -> None:
    claim(out, "n" * 255)
    assert run_tasks(tasks, out, ".txt", SERIAL).pruned == ["n" * 255]


def test_a_task_whose_name_leads_out_fails_by_itself(tmp_path: Path, tasks: dict[str, Task], letter: Path) -> None:
    """Such as from a table of clips that somebody else has made."""
    source = tasks["a"].inputs[0]
    led = {"../letter": Task("copy", copy, (source,)), str(tmp_path / "new"): Task("copy", copy, (source,))}
    report = run_tasks(tasks | led, tmp_path / "out", ".txt", SERIAL)
    assert letter.read_text() == "dear"
    assert not (tmp_path / "new.txt").exists()
    assert len(report.made) == 6
    assert set(read_failures(tmp_path / "out")) == set(led)
    assert "leads out of it" in report.failed["../letter"]


@pytest.mark.parametrize("name", [LOCK, UNFINISHED, MANIFEST, "failures.csv", "a.txt"])
def test_links_in_the_place_of_its_own_files_are_not_followed(
    out: Path, tasks: dict[str, Task], letter: Path, name: str
) -> None:
    for target in (letter, letter.with_name("not there")):
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to(target)
        tasks["a"].inputs[0].write_text(target.name)
        assert run_tasks(tasks, out, ".txt", SERIAL).failed == {}
        assert letter.read_text() == "dear"
        assert sorted(path.name for path in letter.parent.iterdir()) == ["corpus", "letter.txt", "out"]
        assert (out / "a.txt").read_text() == target.name.upper()
        assert len(results(out, ".txt")) == 6


def test_pipes_in_the_place_of_its_own_files_are_not_waited_for(out: Path, tasks: dict[str, Task]) -> None:
    for name in (LOCK, UNFINISHED, MANIFEST, "failures.csv", "a.txt"):
        (out / name).unlink(missing_ok=True)
        os.mkfifo(out / name)
        if name == "failures.csv":
            with pytest.raises(InputError, match="not the table of failures"):
                read_failures(out)
        assert run_tasks(tasks, out, ".txt", SERIAL).failed == {}
        assert len(results(out, ".txt")) == 6
