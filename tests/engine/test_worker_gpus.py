"""Workers on one machine divide its GPUs. Nothing here needs one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iaca.engine import ExecutorConfig, Task, run_tasks, worker
from iaca.engine.worker import VISIBLE, show_own_gpus, visible_gpus


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "0,1,2,3")
    worker._show_gpus_of_step.cache_clear()


def seen(number: int, workers: int, gpus: str = "0,1,2,3") -> str:
    os.environ[VISIBLE] = gpus
    show_own_gpus(number, workers)
    return os.environ[VISIBLE]


def test_each_worker_has_its_own_gpus_and_none_is_left_over() -> None:
    assert [seen(number, 4) for number in range(4)] == ["0", "1", "2", "3"]
    assert [seen(number, 2) for number in range(2)] == ["0,1", "2,3"]


def test_more_workers_than_gpus_share_them_evenly() -> None:
    assert [seen(number, 8) for number in range(8)] == ["0", "1", "2", "3"] * 2


def test_a_single_worker_and_a_single_gpu_are_left_as_they_are() -> None:
    assert seen(0, 1) == "0,1,2,3"
    assert seen(3, 4, "5") == "5"
    assert seen(3, 4, "") == ""


def test_gpus_are_counted_without_loading_a_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VISIBLE)
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(worker, "NVIDIA", tmp_path)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setattr(worker, "NVIDIA", tmp_path / "nowhere")
    assert visible_gpus() == []


def write_visible(target: Path) -> None:
    target.write_text(os.environ[VISIBLE])


@pytest.mark.slow
def test_workers_of_a_pool_see_different_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VISIBLE, "4,5,6")
    config = ExecutorConfig(workers=3)
    tasks = {f"t{i}": Task("visible", write_visible) for i in range(30)}
    try:
        run_tasks(tasks, tmp_path, ".txt", config)
    finally:
        config.discard()
    found = {path.read_text() for path in tmp_path.glob("*.txt")}
    assert found <= {"4", "5", "6"}
    assert os.environ[VISIBLE] == "4,5,6", "the driver sees all"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_LOCALID": "2", "SLURM_NODEID": "1"}, "2"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2,4", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}, "2,3"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}, "0,1,2,3"),
    ],
)
def test_dask_workers_of_one_step_divide_the_gpus_of_their_node(
    step: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SLURM_STEP_ID": "0", **step}.items():
        monkeypatch.setenv(name, value)
    worker._show_gpus_of_step()
    assert os.environ[VISIBLE] == expected


def test_a_batch_script_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "4")
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    worker._show_gpus_of_step()
    assert os.environ[VISIBLE] == "0,1,2,3"
