"""A clip that needs more memory than there is costs itself alone, and is told so with what to do."""

from pathlib import Path

import pytest
from little_tasks import greedy

from iaca.engine import ExecutorConfig, Task, run_tasks


@pytest.mark.parametrize("config", [ExecutorConfig(kind="serial"), ExecutorConfig(workers=2)], ids=lambda c: c.kind)
def test_a_clip_that_memory_does_not_suffice_for_is_told_with_a_remedy(
    corpus: Path, tmp_path: Path, config: ExecutorConfig
) -> None:
    (corpus / "c").write_text("greedy")
    tasks = {path.name: Task("greedy", greedy, (path,)) for path in sorted(corpus.iterdir())}
    report = run_tasks(tasks, tmp_path / "out", ".txt", config)
    assert (sorted(report.made), list(report.failed)) == (list("abdef"), ["c"])
    assert report.failed["c"].startswith(f"{corpus / 'c'}: there was not enough memory (Unable to allocate")
    assert "Remedy: run again with fewer workers, as in executor.workers=1" in report.failed["c"]
    (corpus / "c").write_text("modest")
    assert run_tasks(tasks, tmp_path / "out", ".txt", config).made == ["c"]


def test_a_clip_that_lacked_memory_beside_others_is_tried_again_by_itself(corpus: Path, tmp_path: Path) -> None:
    tasks = {path.name: Task("alone_at_last", alone_at_last, (path,), settings={"first": tmp_path / "first"})
             for path in sorted(corpus.iterdir())}  # fmt: skip
    report = run_tasks(tasks, tmp_path / "out", ".txt", ExecutorConfig(kind="serial"))
    assert report.made == [*"bcdef", "a"]
    assert report.failed == {}


def alone_at_last(source: Path, target: Path, first: Path) -> None:
    """The first one lacks memory as long as others wait; in the words in which torch says it."""
    if not first.exists():
        first.touch()
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
    target.write_text(source.name)
