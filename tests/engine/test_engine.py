"""The engine: up to date is kept, what changed is made again, one failure loses one item, a kill loses nothing."""

import os
import signal
from pathlib import Path

import pytest

from iaca.engine import ExecutorConfig, Task, run_tasks
from iaca.engine.results import MANIFEST, read_failures
from iaca.errors import InputError

SERIAL = ExecutorConfig(kind="serial")
POOL = ExecutorConfig(kind="processes", workers=2)


def shout(source: Path, target: Path, mark: str = "!") -> None:
    text = source.read_text()
    if text == "bad":
        raise InputError("bad word", source, row=1, remedy="say it nicely")
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    target.write_text(text.upper() + mark)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        (folder / name).write_text(name)
    return folder


def tasks(words: Path, **parameters: str) -> dict[str, Task]:
    return {p.name: Task("shout", shout, (p,), parameters) for p in sorted(words.iterdir())}


def results(folder: Path) -> dict[str, str]:
    return {p.stem: p.read_text() for p in sorted(folder.glob("*.txt"))}


@pytest.mark.parametrize("config", [SERIAL, POOL], ids=["serial", "processes"])
def test_every_task_writes_its_file(words: Path, tmp_path: Path, config: ExecutorConfig) -> None:
    report = run_tasks(tasks(words), tmp_path / "out", ".txt", config)
    assert sorted(report.made) == ["a", "b", "c", "d"]
    assert results(tmp_path / "out") == {"a": "A!", "b": "B!", "c": "C!", "d": "D!"}


def test_a_second_run_makes_nothing_and_changes_no_byte(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_tasks(tasks(words), out, ".txt", SERIAL)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    report = run_tasks(tasks(words), out, ".txt", SERIAL)
    assert report.made == []
    assert len(report.kept) == 4
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_a_changed_input_or_parameter_or_a_lost_file_is_made_again(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_tasks(tasks(words), out, ".txt", SERIAL)
    (words / "b").write_text("bee")
    assert run_tasks(tasks(words), out, ".txt", SERIAL).made == ["b"]
    (out / "c.txt").unlink()
    assert run_tasks(tasks(words), out, ".txt", SERIAL).made == ["c"]
    assert len(run_tasks(tasks(words, mark="?"), out, ".txt", SERIAL).made) == 4


def test_what_left_the_corpus_is_pruned_and_nothing_else(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_tasks(tasks(words), out, ".txt", SERIAL)
    (out / "mine.txt").write_text("a user's own")
    (words / "a").unlink()
    assert run_tasks(tasks(words), out, ".txt", SERIAL).pruned == ["a"]
    assert set(results(out)) == {"b", "c", "d", "mine"}


def test_one_failure_loses_one_item_and_is_told_with_its_reason(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (words / "b").write_text("bad")
    report = run_tasks(tasks(words), out, ".txt", SERIAL)
    assert set(results(out)) == {"a", "c", "d"}
    assert report.failed == read_failures(out)
    assert "line 1" in report.failed["b"]
    assert "say it nicely" in report.failed["b"]
    (words / "b").write_text("better")
    assert run_tasks(tasks(words), out, ".txt", SERIAL).made == ["b"]
    assert read_failures(out) == {}


def test_a_result_whose_input_turned_bad_does_not_stay(words: Path, tmp_path: Path) -> None:
    run_tasks(tasks(words), tmp_path / "out", ".txt", SERIAL)
    (words / "b").write_text("bad")
    run_tasks(tasks(words), tmp_path / "out", ".txt", SERIAL)
    assert "b" not in results(tmp_path / "out")


def test_too_many_failures_are_an_error_after_the_rest_is_done(words: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (words / name).write_text("bad")
    with pytest.raises(InputError, match="3 of 4"):
        run_tasks(tasks(words), tmp_path / "out", ".txt", SERIAL)
    assert results(tmp_path / "out") == {"d": "D!"}


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_only_its_own_item(words: Path, tmp_path: Path) -> None:
    (words / "b").write_text("die")
    report = run_tasks(tasks(words), tmp_path / "out", ".txt", POOL)
    assert set(results(tmp_path / "out")) == {"a", "c", "d"}
    assert list(report.failed) == ["b"]
    assert "died" in report.failed["b"]


def test_a_torn_journal_line_and_a_leftover_are_made_good(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_tasks(tasks(words), out, ".txt", SERIAL)
    journal = (out / MANIFEST).read_text()
    (out / MANIFEST).write_text(journal[:-20])
    (out / ".tmp-1-d.txt").write_text("ha")
    assert run_tasks(tasks(words), out, ".txt", SERIAL).made == ["d"]
    assert (out / MANIFEST).read_text() == journal
    assert not list(out.glob(".tmp-*"))


def test_a_parameter_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TypeError, match="plain values"):
        Task("shout", shout, (), {"mark": object()}).fingerprint()
