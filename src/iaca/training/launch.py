"""How the processes of a run on several devices are started: never by running the caller's program again."""

from __future__ import annotations

import sys

import torch
from lightning.fabric.plugins import environments

from iaca.errors import InputError
from iaca.training.config import TrainingConfig

LAUNCHERS = ("TorchElasticEnvironment", "SLURMEnvironment", "LSFEnvironment", "MPIEnvironment")
IN_PROCESS = ("spawn", "fork", "notebook")


def strategy_of(config: TrainingConfig) -> str:
    """The Lightning strategy of a run, one that starts its processes from within `train`.

    Lightning's own choice for several devices, `ddp`, starts them by running `sys.argv` once more for each: a Kedro
    node, and all that comes before it, would run several times. So `auto` and `ddp` become `ddp_spawn`, unless a
    launcher (torchrun, srun, jsrun, mpirun) has already started a process per device.

    Raises:
        InputError: several devices, and a strategy that only such a launcher can start.
    """
    strategy, devices = config.strategy, _devices(config)
    alone = devices == 1 and config.num_nodes == 1
    if alone or any(part in strategy for part in IN_PROCESS) or _launched():
        return strategy
    if strategy == "auto":
        return "ddp_fork" if hasattr(sys, "ps1") else "ddp_spawn"  # an interactive session can't be spawned
    if strategy.startswith("ddp"):
        return strategy.replace("ddp", "ddp_spawn", 1)
    raise InputError(
        f"strategy={strategy!r} would run the whole program once for each of its {devices * config.num_nodes} devices",
        remedy="start the program by torchrun or srun, or take strategy=ddp_spawn",
    )


def _launched() -> bool:
    return any(getattr(environments, name).detect() for name in LAUNCHERS)


def _devices(config: TrainingConfig) -> int:
    if config.devices != "auto":
        return config.devices
    return 1 if config.accelerator == "cpu" else max(1, torch.cuda.device_count())
