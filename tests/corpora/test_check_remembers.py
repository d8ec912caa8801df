"""A corpus that stays as it was is not read again to be checked; what is faulty or has changed is."""

import os
from pathlib import Path

import pytest

from affwild2_tree import annotate, movie
from iaca.corpora import check
from iaca.corpora.affwild2 import index_affwild2, inspect_annotation
from iaca.corpora.index import CorpusIndex
from iaca.engine import task
from iaca.formats.labels import AnnotationFacts

FRAMES = 5


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips, a store of the test's own, and no wait for files to settle."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(task, "SETTLED_S", -1.0)
    root = tmp_path / "corpus"
    for clip in ("a", "b"):
        annotate(root / f"VA_Estimation_Challenge/Train_Set/{clip}.txt", FRAMES)
        movie(root / f"{clip}.mp4", FRAMES)
    return root


def reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[CorpusIndex, list[str]]:
    """What a check finds, and the names of the files that were opened for it."""
    opened: list[str] = []

    def inspect(path: Path) -> AnnotationFacts:
        opened.append(path.name)
        return inspect_annotation(path)

    probe = check.probe
    with monkeypatch.context() as patch:
        patch.setattr(check, "probe", lambda path, **how: opened.append(path.name) or probe(path, **how))
        found = check.check_corpus(root, index_affwild2(root), inspect)
    return found, opened


def test_files_that_stay_are_opened_once_and_the_same_is_found(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, opened = reads(corpus, monkeypatch)
    assert sorted(opened) == ["a.mp4", "a.txt", "b.mp4", "b.txt"]
    again, opened = reads(corpus, monkeypatch)
    assert opened == []
    assert again.clips.equals(first.clips)
    assert again.problems == first.problems


def test_a_changed_file_is_opened_again_though_its_time_is_set_back(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = reads(corpus, monkeypatch)
    path = corpus / "VA_Estimation_Challenge/Train_Set/a.txt"
    before = path.stat()
    path.write_text(path.read_text().replace("\n", "\n0.5,0.5\n", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found, opened = reads(corpus, monkeypatch)
    assert opened == ["a.txt"]
    assert list(found.clips["annotated"] - first.clips["annotated"]) == [1, 0]


def test_a_fault_is_told_each_time(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (corpus / "VA_Estimation_Challenge/Train_Set/a.txt").write_text("valence,arousal\n0.1,7\n")
    (corpus / "b.mp4").write_bytes(b"no video")
    first, _ = reads(corpus, monkeypatch)
    again, opened = reads(corpus, monkeypatch)
    assert set(opened) == {"a.txt", "b.mp4"}
    assert again.problems == first.problems
    assert {p["clip"] for p in again.problems} >= {"a", "b"}
