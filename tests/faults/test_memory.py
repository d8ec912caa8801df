"""A clip that needs more memory than there is costs itself alone, and is told so with what to do."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
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


def killed(source: Path, target: Path) -> None:
    """One that says `killed` takes 100 MiB and is killed, as by a kernel that is out of memory."""
    if source.read_text() == "killed":
        taken = np.ones(100 << 20, np.uint8)
        os.kill(os.getpid(), signal.SIGKILL)
        target.write_text(str(taken.sum()))
    target.write_text("done")


FACTS = (
    r": it had taken (\d+\.\d) GiB, mapped files included, for (\d+\.\d) GiB of input; (\d+\.\d) of (\d+\.\d) GiB "
    "are free"
)


def test_a_task_whose_worker_is_killed_says_what_it_took_what_there_is_and_what_to_do(
    corpus: Path, tmp_path: Path
) -> None:
    (corpus / "c").write_text("killed")
    (large := tmp_path / "large").touch()
    os.truncate(large, 1 << 29)  # a sparse file
    tasks = {path.name: Task("killed", killed_beside, (path, large), low_memory="smaller batches")
             for path in sorted(corpus.iterdir())}  # fmt: skip
    report = run_tasks(tasks, tmp_path / "out", ".txt", ExecutorConfig(workers=2))
    assert (sorted(report.made), list(report.failed)) == (list("abdef"), ["c"])
    found = re.search(FACTS, report.failed["c"])
    assert found is not None, report.failed["c"]
    taken, given, free, total = map(float, found.groups())
    assert taken >= 0.1
    assert given == 0.5
    assert 0 <= free <= total
    assert report.failed["c"].endswith("Remedy: smaller batches; if it fails then too, leave it out")
    assert "cut the video" not in report.failed["c"]


def killed_beside(source: Path, _: Path, target: Path) -> None:
    """As `killed`, with a second input."""
    killed(source, target)


def test_the_nearest_limit_counts() -> None:
    code = (
        "import resource; from iaca.engine.worker import free_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))\n"
        "free, total = free_memory(); print(total, 0 < free < total)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(3 << 29), "True"]
