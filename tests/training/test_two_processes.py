"""Several devices: processes that agree, started without running the caller's program again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_clips import AUDIO_DIM, VISUAL_DIM, annotated_clips, clip

from iaca.errors import InputError
from iaca.fusion import preset
from iaca.training.checkpoints import cluster_environment, launched, strategy_of
from iaca.training.config import TrainingConfig
from iaca.training.model_file import load_model
from iaca.training.predict import predict_clip
from iaca.training.train import TrainingRun, train

PROGRAM = Path(__file__).parent / "two_processes.py"


def on_two(**changes: object) -> TrainingConfig:
    return TrainingConfig(accelerator="cpu", devices=2, **changes)


@pytest.mark.slow
def test_two_processes_train_one_model_and_the_caller_runs_once(tmp_path: Path) -> None:
    """By `ddp`, which Lightning would start by running the program twice, and which is `ddp_spawn` here (see below)."""
    words = [sys.executable, PROGRAM, tmp_path, "ddp"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert [end["world"] for end in ranks] == [2, 2]
    assert ranks[0]["pid"] != ranks[1]["pid"]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert ranks[0]["history"] == ranks[1]["history"]

    model, history = load_model(tmp_path / "model.safetensors"), pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert history["score"].max() > 0.5
    assert float(model.metadata["validation_score"]) == pytest.approx(history["score"].max(), abs=1e-6)
    assert np.isfinite(predict_clip(model, clip(9)).prediction).all()

    assert len((tmp_path / "called").read_text().splitlines()) == 1
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("asked", "started"),
    [
        ("auto", "ddp_spawn"),
        ("ddp", "ddp_spawn"),
        ("ddp_find_unused_parameters_true", "ddp_spawn_find_unused_parameters_true"),
        ("ddp_spawn", "ddp_spawn"),
        ("ddp_fork", "ddp_fork"),
        ("ddp_notebook", "ddp_notebook"),
    ],
)
def test_several_devices_are_started_from_within(asked: str, started: str) -> None:
    assert strategy_of(on_two(strategy=asked)) == started


def test_one_device_is_lightnings_own_choice() -> None:
    for strategy in ("auto", "ddp", "fsdp"):
        assert strategy_of(TrainingConfig(accelerator="cpu", strategy=strategy)) == strategy
    assert strategy_of(TrainingConfig(accelerator="cpu", devices="auto")) == "auto"


def test_a_strategy_that_can_only_run_the_program_again_is_refused() -> None:
    with pytest.raises(InputError, match=r"strategy='fsdp' would run the program .* Remedy: start .* with torchrun"):
        strategy_of(on_two(strategy="fsdp"))


def test_processes_that_torchrun_has_started_are_used_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    for strategy in ("auto", "ddp", "fsdp"):
        assert strategy_of(on_two(strategy=strategy)) == strategy


BATCH = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
"""Variables of a batch script of SLURM."""


def in_slurm(monkeypatch: pytest.MonkeyPatch, **variables: object) -> None:
    for name, value in {**BATCH, **variables}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("tasks", [1, 4])
def test_an_allocation_of_slurm_is_no_launcher(tasks: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A batch script is one process, whatever its `--ntasks`: one device trains, two are started from within."""
    in_slurm(monkeypatch, SLURM_NTASKS=tasks)
    assert strategy_of(on_two()) == "ddp_spawn"
    alone = TrainingConfig(accelerator="cpu", devices=1, length=30, hop=30, batch_size=4, epochs=1, threads=1)
    clips = annotated_clips(3)
    fusion = preset("concat", AUDIO_DIM, VISUAL_DIM, width=8)
    model, _ = train(TrainingRun(fusion, alone, clips, annotated_clips(1, first=9), tmp_path / "checkpoints"))
    assert model.metadata["clips"] == "3"
    assert len(cluster_environment(alone)) == len(cluster_environment(on_two())) == 1


def test_a_step_of_several_tasks_has_started_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    in_slurm(monkeypatch, SLURM_NTASKS=2, SLURM_STEP_ID=0, SLURM_STEP_NUM_TASKS=2, SLURM_NTASKS_PER_NODE=2)
    for strategy in ("auto", "ddp", "fsdp"):
        assert strategy_of(on_two(strategy=strategy)) == strategy
    assert cluster_environment(on_two()) == []


def test_one_of_several_workers_of_a_step_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask workers that srun has started are no processes of one run."""
    in_slurm(monkeypatch, SLURM_NTASKS=4, SLURM_STEP_ID=0, SLURM_STEP_NUM_TASKS=4, SLURM_NTASKS_PER_NODE=4)
    alone = TrainingConfig(accelerator="cpu", devices=1)
    assert not launched(alone)
    assert strategy_of(alone) == "auto"
    assert len(cluster_environment(alone)) == 1


def test_a_step_of_one_task_is_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    in_slurm(monkeypatch, SLURM_NTASKS=4, SLURM_STEP_ID=0, SLURM_STEP_NUM_TASKS=1)
    assert strategy_of(on_two()) == "ddp_spawn"


def test_another_number_of_tasks_than_devices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    in_slurm(monkeypatch, SLURM_NTASKS=4, SLURM_STEP_ID=0, SLURM_STEP_NUM_TASKS=4, SLURM_NTASKS_PER_NODE=4)
    with pytest.raises(InputError, match=r"started 4 processes, but the run has devices=2 .* Remedy: give srun"):
        strategy_of(on_two())


def test_more_devices_than_a_worker_sees_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match=r"devices=4, but this process sees 1 GPU Remedy: set executor\.workers=1"):
        strategy_of(TrainingConfig(accelerator="gpu", devices=4))
