"""Results made before tasks had names, when a fingerprint held the module path of the function, stay up to date."""

import json
import re
from pathlib import Path

import pytest

from iaca.engine import ExecutorConfig, Task, run_tasks
from iaca.engine.results import MANIFEST
from iaca.engine.task import FORMER_NAMES

SERIAL = ExecutorConfig(kind="serial")
SRC = Path(__file__).parents[2] / "src/iaca"
FORMER_FINGERPRINTS = {
    "analyse_video": "d07c759f1b034b543dbe1a1713d560e24c044ee649f2a3f8cae031d9c6c9d115",
    "build_folder_timeline": "1edeadef16730a78b6589ec5e911c16f0e373a68125e5e0db96768aeb8a296f0",
    "build_timeline": "6498a70a1d942bb6e8fc33ba05c3da10ca1b49ae77324b43a32bf30dfd5eedc2",
    "collect_crops": "e0b74439fd1939fd5f78f86a8aa95f69e1a4bc4b6ba905030beeaaedc9619d35",
    "complete_timeline": "a255134f0c7a9c15eca6dd97134b9804ba71bbf9892ec1060cca1b304827a37d",
    "extract_audio": "7cc88f511c02bc71644e98f6fc885370f0ce20f38b30596d26bcc772ad0f76d4",
    "extract_faces": "a085885bea21de3b67f548da15fb5cc4d756ed4365d730460311a7065c4a8de4",
    "render_movie": "4cf0baa995c1227a587b87284546a3522be90ccc7e4f37772838facbb00516e5",
    "train_encoder": "2c0b974413eeba372c3d44a5243c411a78a799213540a24073fc93b18f4dfef5",
}
"""Computed by the last version without names, for a file that says `input`, `{"rate": 16000}` and version 2."""


def write_rate(source: Path, target: Path, rate: int) -> None:
    """A task like those below."""
    target.write_text(f"{source.read_text()} {rate}")


def task(name: str, folder: Path) -> Task:
    """The task whose former fingerprint stands above."""
    (folder / "input").write_text("input")
    return Task(name, write_rate, (folder / "input",), {"rate": 16000}, version="2")


@pytest.mark.parametrize("name", FORMER_FINGERPRINTS)
def test_the_former_fingerprint_of_every_task_is_known(tmp_path: Path, name: str) -> None:
    now, former = task(name, tmp_path).fingerprints()
    assert former == FORMER_FINGERPRINTS[name]
    assert now == task(name, tmp_path).fingerprint() != former


def test_every_former_name_belongs_to_a_task_of_the_pipelines() -> None:
    planners = [*sorted((SRC / "pipelines").rglob("*.py")), SRC / "inference/write.py"]
    code = "".join(path.read_text() for path in planners)
    assert set(re.findall(r'\bTask\(\s*"(\w+)"', code)) >= set(FORMER_NAMES) == set(FORMER_FINGERPRINTS)


def test_a_fingerprint_does_not_depend_on_where_the_function_is(tmp_path: Path) -> None:
    own, other = (Task("copy", function, (), {"rate": 1}) for function in (write_rate, task))
    assert own.fingerprints() == other.fingerprints()
    assert len(own.fingerprints()) == 1


def test_a_result_with_the_former_fingerprint_is_kept_and_its_journal_line_rewritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    tasks = {"clip": task("extract_faces", tmp_path)}
    run_tasks(tasks, out, ".txt", SERIAL)
    journal = (out / MANIFEST).read_text()
    line = json.loads(journal)
    for files in ({"files": line["files"]}, {}):  # {}: a journal written before there were digests
        (out / MANIFEST).write_text(
            json.dumps({"item": "clip", "fingerprint": FORMER_FINGERPRINTS["extract_faces"]} | files) + "\n"
        )
        report = run_tasks(tasks, out, ".txt", SERIAL)
        assert (report.kept, report.made) == (["clip"], [])
        assert (out / MANIFEST).read_text() == journal
    former_of_another = {"fingerprint": FORMER_FINGERPRINTS["render_movie"]}
    (out / MANIFEST).write_text(json.dumps(line | former_of_another) + "\n")
    assert run_tasks(tasks, out, ".txt", SERIAL).made == ["clip"]
    (out / MANIFEST).write_text(json.dumps(line | {"fingerprint": FORMER_FINGERPRINTS["extract_faces"]}) + "\n")
    (out / "clip.txt").write_text("damaged")
    assert run_tasks(tasks, out, ".txt", SERIAL).made == ["clip"]
