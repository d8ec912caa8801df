"""What was damaged, changed or lost is made again, and nothing else; who reads it before that is told file and remedy.

The engine's files first, then what readers say.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from little_tasks import contents, copy, named_in, two_files

from iaca.engine import ClipPaths, ExecutorConfig, Task, results, run_tasks
from iaca.engine.results import MANIFEST, Entry, Manifest, check_result, read_failures
from iaca.errors import InputError

SERIAL = ExecutorConfig(kind="serial")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut short": cut,
    "a bit flipped": flip,
    "empty": lambda path: path.write_bytes(b""),
    "an empty folder": to_folder,
    "gone": Path.unlink,
}


@pytest.fixture
def out(tmp_path: Path, tasks: dict[str, Task]) -> Path:
    """A folder of results that is up to date."""
    run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    return tmp_path / "out"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_result_is_made_again_alone(
    out: Path, tasks: dict[str, Task], damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(out)
    damage(out / "c.txt")
    with caplog.at_level(logging.WARNING):
        report = run_tasks(tasks, out, ".txt", SERIAL)
    assert (report.made, report.failed) == (["c"], {})
    assert "c.txt" in caplog.text
    assert "rebuilt" in caplog.text
    assert contents(out) == before


def test_a_folder_with_something_in_it_is_its_owners(out: Path, tasks: dict[str, Task]) -> None:
    to_folder(out / "c.txt")
    (out / "c.txt/mine").write_text("mine")
    report = run_tasks(tasks, out, ".txt", SERIAL)
    assert (len(report.kept), list(report.failed)) == (5, ["c"])
    assert "c.txt: a folder is in the place of this file Remedy: move that folder elsewhere" in report.failed["c"]
    (out / "c.txt").rename(out.parent / "moved")
    assert run_tasks(tasks, out, ".txt", SERIAL).made == ["c"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_task_that_is_given_a_damaged_result_fails_alone_and_says_what_mends_it(
    out: Path, tasks: dict[str, Task], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(out / "c.txt")
    after = {clip: Task("copy", copy, (path,)) for clip, path in results(out, ".txt").items()}
    report = run_tasks(after, tmp_path / "after", ".txt", SERIAL)
    assert (sorted(report.made), list(report.failed)) == (list("abdef"), ["c"])
    assert str(out / "c.txt") in report.failed["c"]
    assert (
        "Remedy: run the pipeline that writes it again" in report.failed["c"]
        or "restore the file" in report.failed["c"]
    )
    with pytest.raises(InputError, match=r"c\.txt: .* Remedy: run the pipeline that writes it again"):
        results(out, ".txt").whole("c")
    assert results(out, ".txt").whole("a") == out / "a.txt"
    run_tasks(tasks, out, ".txt", SERIAL)
    assert run_tasks(after, tmp_path / "after", ".txt", SERIAL).made == ["c"]


@pytest.mark.parametrize(
    ("damage", "made"),
    [
        (lambda text: b"", list("abcdef")),
        (lambda text: b"\xff\xfe\x00 garbage \n" * 9, list("abcdef")),
        (lambda text: text[:-30], ["f"]),
        (lambda text: text.replace(b'"item": "b"', b'"item": "\xff"'), ["b"]),
        (lambda text: text.replace(b'{"item": "d"', b'"item": "d"'), ["d"]),
        (lambda text: b"[1]\n" + text, []),
    ],
    ids=["empty", "garbage", "cut short", "not text", "not JSON", "another's line"],
)
def test_a_damaged_manifest_costs_the_items_of_its_damaged_lines(
    out: Path, tasks: dict[str, Task], damage: Callable[[bytes], bytes], made: list[str]
) -> None:
    before = contents(out)
    (out / MANIFEST).write_bytes(damage((out / MANIFEST).read_bytes()))
    with pytest.raises(
        InputError, match=r"the journal of this folder is incomplete Remedy: run the pipeline that writes it again"
    ):
        results(out, ".txt")  # a later pipeline would silently go on with a smaller corpus
    assert run_tasks(tasks, out, ".txt", SERIAL).made == made
    assert contents(out) == before


def test_a_manifest_without_digests_is_taken_up_and_its_files_are_held_to_them_from_then_on(
    out: Path, tasks: dict[str, Task]
) -> None:
    before = contents(out)
    entries = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    old = [json.dumps({"item": entry["item"], "fingerprint": entry["fingerprint"]}) + "\n" for entry in entries]
    (out / MANIFEST).write_text("".join(old))
    (out / "b.txt").write_text("")
    assert run_tasks(tasks, out, ".txt", SERIAL).made == ["b"]
    assert contents(out) == before
    flip(out / "a.txt")
    assert run_tasks(tasks, out, ".txt", SERIAL).made == ["a"]


def test_a_later_line_of_the_journal_replaces_all_of_an_earlier_one(tmp_path: Path) -> None:
    """An item that used to be one file is two by now, which are the user's to edit."""
    first, second = tmp_path / "a.txt", tmp_path / "a.csv"
    first.write_text("changed")
    second.write_text("1")
    written = {name: hashlib.sha256(text).hexdigest() for name, text in (("a.txt", b"as it was"), ("a.csv", b"1"))}
    journal = Manifest(tmp_path)
    journal.record("a", Entry.of(b"1", {"a.txt": written["a.txt"]}))
    with pytest.raises(InputError, match="was changed or damaged"):
        check_result(first)
    journal.record("a", Entry.of(b"2", written))
    check_result(first)


def test_a_damaged_table_of_failures_is_named_and_written_anew(out: Path, tasks: dict[str, Task]) -> None:
    (out / "failures.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"failures\.csv: .* Remedy: run the pipeline that writes it again"):
        results(out, ".txt")
    run_tasks(tasks, out, ".txt", SERIAL)
    assert read_failures(out) == {}


def test_every_file_of_an_item_is_held_to_what_was_written(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tasks = {
        path.name: Task("two_files", two_files, (path,), settings={"folder": out}, extra_files=named_in)
        for path in sorted(corpus.iterdir())
    }
    run_tasks(tasks, out, ".txt", SERIAL)
    assert run_tasks(tasks, out, ".txt", SERIAL).made == []
    cut(out / "b.more")
    (out / "e.more").unlink()
    assert run_tasks(tasks, out, ".txt", SERIAL).made == ["b", "e"]
    cut(out / "b.more")  # its owner goes on with it, as with an annotation, say
    assert run_tasks({"b": Task("copy", copy, (out / "b.more",))}, tmp_path / "after", ".txt", SERIAL).made == ["b"]
    (corpus / "a").unlink()
    del tasks["a"]
    assert run_tasks(tasks, out, ".txt", SERIAL).pruned == ["a"]
    assert not (out / "a.more").exists()


def test_a_clip_without_a_result_is_told_with_its_reason() -> None:
    with pytest.raises(InputError, match="no result for c: it is too dark Remedy: run the pipelines before this one"):
        ClipPaths({}, {"c": "it is too dark"})["c"]
