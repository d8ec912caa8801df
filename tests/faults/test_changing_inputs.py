"""An input that vanishes or changes costs its own clip, and a result is never noted for what it was not made of."""

import os
from pathlib import Path

import pytest
from little_tasks import copy

from iaca.engine import ExecutorConfig, Task, run_tasks
from iaca.engine.results import Manifest, read_failures

SERIAL = ExecutorConfig(kind="serial")


def test_an_input_that_is_gone_before_the_run_costs_its_own_clip(
    corpus: Path, tasks: dict[str, Task], tmp_path: Path
) -> None:
    run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    (corpus / "b").unlink()
    report = run_tasks(tasks, tmp_path / "out", ".txt", SERIAL)
    assert (len(report.kept), list(report.failed)) == (5, ["b"])
    assert report.failed["b"].startswith(f"{corpus / 'b'}: can't be opened (No such file or directory) Remedy: ")
    assert not (tmp_path / "out/b.txt").exists()
    (corpus / "b").write_text("back")
    assert run_tasks(tasks, tmp_path / "out", ".txt", SERIAL).made == ["b"]


@pytest.mark.parametrize("config", [SERIAL, ExecutorConfig(workers=2)], ids=["serial", "processes"])
def test_an_input_that_vanishes_or_changes_while_it_is_read_costs_its_own_clip(
    corpus: Path, tasks: dict[str, Task], tmp_path: Path, config: ExecutorConfig
) -> None:
    (corpus / "b").write_text("vanish")
    (corpus / "c").write_text("change")
    (corpus / "d").write_text("touch")
    report = run_tasks(tasks, tmp_path / "out", ".txt", config)
    assert sorted(report.made) == list("adef")  # a file that was only touched is the same
    assert read_failures(tmp_path / "out") == report.failed
    assert report.failed["b"].startswith(f"{corpus / 'b'}: can't be opened (No such file or directory) Remedy:")
    remedy = "run again when nothing writes to it any more"
    assert report.failed["c"] == f"{corpus / 'c'}: changed while it was read Remedy: {remedy}"
    assert not (tmp_path / "out/c.txt").exists()
    assert sorted(Manifest(tmp_path / "out").items) == list("adef")
    (corpus / "b").write_text("back")
    assert sorted(run_tasks(tasks, tmp_path / "out", ".txt", config).made) == ["b", "c"]
    assert (tmp_path / "out/c.txt").read_text() == "ANOTHER TEXT"


def test_a_folder_of_inputs_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    (folder / "1.jpg").write_text("one")
    report = run_tasks({"a": Task("add_a_crop", add_a_crop, (folder,)), "b": Task("copy", copy, (folder / "1.jpg",))},
                       tmp_path / "out", ".txt", SERIAL)  # fmt: skip
    assert report.made == ["b"]
    assert "crops: changed while it was read" in report.failed["a"]


def test_what_need_not_be_text_or_a_file_among_inputs_costs_nothing_else(
    corpus: Path, tasks: dict[str, Task], tmp_path: Path
) -> None:
    """A name that is no UTF-8 in a folder of crops; a pipe, which would be waited for, in the place of a file."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in (b"caf\xe9.jpg", b"1.jpg"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("one")
    (corpus / "b").unlink()
    os.mkfifo(corpus / "b")
    os.mkfifo(folder / "2.jpg")
    report = run_tasks(tasks | {"g": Task("count", count, (folder,))}, tmp_path / "out", ".txt", SERIAL)
    assert sorted(report.made) == list("acdefg")
    assert "can't be opened (neither a file nor a folder)" in report.failed["b"]


def count(folder: Path, target: Path) -> None:
    """How many entries a folder has."""
    target.write_text(str(len(list(folder.iterdir()))))


def add_a_crop(folder: Path, target: Path) -> None:
    """Somebody else copies an image into the folder meanwhile."""
    (folder / "2.jpg").write_text("two")
    target.write_text("made of one")
