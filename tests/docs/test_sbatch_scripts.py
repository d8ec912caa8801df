"""The batch scripts of the cluster page: bash reads them, SLURM knows their options, and they run.

There is no SLURM here: `sbatch` and `srun` are stand-ins that set the variables that SLURM sets and end a job as it
does, with Dask's own scheduler and workers under them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from pages import Block, blocks

from iaca.corpora.synthetic import SyntheticConfig, write_corpus
from iaca.training.model_file import load_model
from project import copy_project, environment

SCRIPTS = [block for block in blocks() if any(line.startswith("#SBATCH") for line in block.lines)]
WORKERS, ONE_NODE = SCRIPTS
OPTIONS = {
    "job-name",
    "nodes",
    "ntasks",
    "ntasks-per-node",
    "gpus-per-node",
    "cpus-per-task",
    "mem",
    "mem-per-cpu",
    "time",
}
"""Long options of sbatch that the scripts use."""

SRUN = """#!/bin/bash
# Starts every task of a step, and waits for them. Variables: the section "output environment variables" of srun(1).
trap 'kill 0' TERM
while [[ $1 == --* ]]; do
    [[ $1 == --cpus-per-task=$SLURM_CPUS_PER_TASK ]] || { echo "srun: unknown option $1" >&2; exit 1; }
    shift
done
for ((rank = 0; rank < SLURM_NTASKS; rank++)); do
    SLURM_STEP_ID=0 SLURM_STEPID=0 SLURM_STEP_NUM_TASKS=$SLURM_NTASKS SLURM_STEP_NUM_NODES=$SLURM_NNODES \\
    SLURM_STEP_NODELIST=$SLURM_JOB_NODELIST SLURM_STEP_TASKS_PER_NODE=$SLURM_TASKS_PER_NODE \\
    SLURM_PROCID=$rank SLURM_NODEID=$((rank / PER_NODE)) SLURM_LOCALID=$((rank % PER_NODE)) SLURM_TASK_PID=$$ \\
    SLURM_LAUNCH_NODE_IPADDR=127.0.0.1 SLURM_SRUN_COMM_HOST=127.0.0.1 "$@" &
done
wait
"""
HOSTNAME = "#!/bin/bash\necho localhost\n"
BENCHMARK = """
benchmark:
  models: [concat, late]
  seeds: [0]
  main: [concat]
  replicates: 100
  corruption:
    levels: {missing_audio: [0, 1.0], missing_video: [], frame_drop: [], time_shift: [], conflict: [],
             feature_noise: [], audio_noise: [], occlusion_mouth: []}
"""


def given_options(lines: tuple[str, ...]) -> dict[str, str]:
    """The options of `#SBATCH` lines by name."""
    words = [word for line in lines if line.startswith("#SBATCH") for word in line.split()[1:]]
    assert all(word.startswith("--") and "=" in word for word in words)
    return dict(word[2:].split("=", 1) for word in words)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.place)
def test_bash_reads_every_script_and_sbatch_its_options(script: Block, tmp_path: Path) -> None:
    (file := tmp_path / "job.sh").write_text("\n".join(script.lines))
    done = subprocess.run(["bash", "-n", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert script.lines[0] == "#!/bin/bash"
    assert set(given_options(script.lines)) <= OPTIONS
    last = max(i for i, line in enumerate(script.lines) if line.startswith("#"))
    assert all(line.startswith("#") for line in script.lines[: last + 1])  # sbatch reads no option after a command


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a corpus of features, small parameters, and an environment to activate."""
    folder = tmp_path_factory.mktemp("slurm") / "project"
    copy_project(folder)
    write_corpus(
        SyntheticConfig(clips=6, seconds=8.0, audio_dim=6, visual_dim=8, event_share=0.3), folder.parent / "ROOT"
    )
    shutil.copy(folder / "conf/test/parameters_training.yml", folder / "conf/features")
    (folder / "conf/features/parameters_benchmark.yml").write_text(BENCHMARK)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").write_text(f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH\n")
    for name, text in (("srun", SRUN), ("hostname", HOSTNAME)):
        (tool := folder.parent / "bin" / name).parent.mkdir(exist_ok=True)
        tool.write_text(text)
        tool.chmod(0o755)
    return folder


def sbatch(script: Block, project: Path, **changes: str) -> str:
    """Run a script as the batch step of a job, with paths of the test and some words replaced; returns its output.

    Everything that it has started ends with it, as in SLURM.
    """
    text = "\n".join(script.lines)
    for old, new in {"/shared/iaca": str(project), "/shared/ROOT": str(project.parent / "ROOT"), **changes}.items():
        assert old in text, old
        text = text.replace(old, new)
    (file := project / "job.sh").write_text(text)
    options = given_options(tuple(text.splitlines()))
    nodes = int(options["nodes"])
    per_node = int(options.get("ntasks-per-node", "1"))
    variables = {
        "SLURM_JOB_ID": "7", "SLURM_JOBID": "7", "SLURM_JOB_NAME": options["job-name"], "SLURM_NNODES": f"{nodes}",
        "SLURM_JOB_NUM_NODES": f"{nodes}", "SLURM_JOB_NODELIST": f"node[1-{nodes}]" if nodes > 1 else "node1",
        "SLURM_NTASKS": f"{nodes * per_node}", "SLURM_NPROCS": f"{nodes * per_node}",
        "SLURM_TASKS_PER_NODE": f"{per_node}(x{nodes})" if nodes > 1 else f"{per_node}", "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_CPUS_PER_TASK": options["cpus-per-task"],
        "SLURM_SUBMIT_DIR": str(project.parent), "SLURM_GTIDS": "0", "PER_NODE": f"{per_node}",
    }  # fmt: skip
    if "ntasks-per-node" in options:
        variables["SLURM_NTASKS_PER_NODE"] = options["ntasks-per-node"]
    tools = {"PATH": f"{project.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    own = {name: value for name, value in environment(project).items() if name != "TMPDIR"}  # a job has none by itself
    output = project / "job.out"
    with output.open("w") as log:
        job = subprocess.Popen(
            ["bash", file], cwd=project.parent, env={**own, **tools, **variables}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = job.wait(timeout=600)
        finally:
            end_group(job.pid)
    assert code == 0, output.read_text()[-6000:]
    return output.read_text()


def end_group(group: int) -> None:
    """End all processes that a job has left, first politely (SLURM's KillWait)."""
    end = time.monotonic() + 30
    with suppress(ProcessLookupError):  # none is left
        while True:
            os.killpg(group, signal.SIGTERM if time.monotonic() < end else signal.SIGKILL)
            time.sleep(0.2)


@pytest.mark.slow
def test_workers_over_nodes_run_a_benchmark(project: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra `cluster`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    said = sbatch(WORKERS, project, **{"8786": port, "--ntasks-per-node=4": "--ntasks-per-node=1"})
    assert "benchmark: 2 made" in said
    assert said.count("Start Nanny") == 2
    assert {path.name for path in project.iterdir()}.isdisjoint({"dask-scratch-space", "dask-worker-space"})
    results = pd.read_csv(project / "data/08_reporting/features/benchmark.csv")
    assert set(results["model"]) == {"concat", "late"}
    assert results["ccc_valence"].notna().all()


@pytest.mark.slow
def test_one_model_is_trained_by_several_processes_of_one_node(project: Path) -> None:
    said = sbatch(ONE_NODE, project, **{"training.devices=4": "training.devices=2,training.accelerator=cpu"})
    assert "iaca" in said
    model = load_model(project / "data/06_models/features/iaca.safetensors")
    assert model.metadata["preset"] == "iaca"
