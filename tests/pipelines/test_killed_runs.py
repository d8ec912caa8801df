"""A run that was killed and repeated, or run in another way, gives the same bytes.

`benchmarks/chaos.py` and `benchmarks/same_answer.py` try many more moments and ways.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from chaos import SERIAL, command
from killed_run import Event, Kill, differences, file_hashes, leftovers, run
from same_answer import OTHER_ORDER

from iaca.errors import INTERRUPTED
from project import copy_project, environment

pytestmark = pytest.mark.slow


def copied(finished: Path, project: Path, *parts: str) -> Path:
    """The project's code with parts of the data of the finished one."""
    copy_project(project)
    for part in parts:
        shutil.copytree(finished / "data" / part, project / "data" / part, dirs_exist_ok=True)
    return project


def killed(project: Path, words: list[str], name: str, whom: str) -> None:
    """Run until a file of this name appears; fail if that never happens."""
    done = run(project, words, Kill(whom, Event(name, 1)))
    assert done.status == -9, done.output
    assert done.events[-1] == Event(name, 1)


def test_a_corpus_is_read_to_the_same_bytes_after_a_kill_of_the_parent_and_in_another_file_order(
    finished: Path, tmp_path: Path
) -> None:
    project, order = copied(finished, tmp_path / "project", "01_raw"), tmp_path / "order"
    killed(project, command("ingestion", ""), "02_intermediate/frame_labels/.tmp-36_left.parquet", "parent")
    order.mkdir()
    (order / "sitecustomize.py").write_text(OTHER_ORDER)
    other = {"PYTHONHASHSEED": "7", "PYTHONPATH": f"{project / 'src'}{os.pathsep}{order}"}
    done = run(project, command("ingestion,preprocessing", "", SERIAL), **other)
    assert done.status == 0, done.output
    for part in ("02_intermediate", "03_primary"):
        assert differences(project / "data" / part, finished / "data" / part) == []
    assert leftovers(project / "data") == []


def test_a_training_run_killed_in_an_epoch_ends_with_the_same_model(finished: Path, tmp_path: Path) -> None:
    project = copied(finished, tmp_path / "project", "02_intermediate", "03_primary", "04_feature")
    model, words = "06_models/iaca.safetensors", command("training", "", SERIAL)
    killed(project, words, "06_models/checkpoints/main/last.ckpt", "group")
    done = run(project, words, PYTHONHASHSEED="7")
    assert done.status == 0, done.output
    assert "resuming from" in done.output
    (made,) = file_hashes(project / "data" / model).values()
    assert made == first_version(finished, model)
    assert leftovers(project / "data") == []
    assert not any((project / "data/06_models/checkpoints").iterdir())


def first_version(finished: Path, name: str) -> set[str]:
    """SHA-256 of the finished run's own version; other tests may have added later ones."""
    folder = min((finished / "data" / name).iterdir())
    (found,) = file_hashes(folder).values()
    return found


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_an_interrupted_command_says_one_line_and_releases_its_locks(kind: str, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    params = f"demo_corpus.seconds=100,executor.kind={kind}"
    words = ["kedro", "run", "--env", "test", "--pipelines", "demo_corpus", "--params", params]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            words, cwd=project, env=environment(project), stdout=said, stderr=said, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
    videos, end = project / "data/01_raw/demo/videos", time.monotonic() + 120
    while not (videos / ".unfinished").exists():
        assert process.poll() is None, (tmp_path / "said").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    assert list((project / "data/.runs").iterdir())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    lines = (tmp_path / "said").read_text().splitlines()
    assert [line for line in lines if line and " INFO " not in line] == [INTERRUPTED]
    assert list((project / "data/.runs").iterdir()) == []
    assert {path.name for path in videos.iterdir()} <= {".unfinished", ".manifest.jsonl"}
