"""The benchmark of a GPU runs on a CPU too, small, and fails where float32 is not float32."""

from __future__ import annotations

from pathlib import Path

import gpu
import pytest
import torch
from torch import Tensor, nn

from iaca.fusion.config import PRESETS

SETTING = gpu.Setting(torch.device("cpu"), True, Path())


@pytest.mark.slow
def test_every_part_prints_its_table(capsys: pytest.CaptureFixture) -> None:
    gpu.main(["--small", "--device", "cpu"])
    printed = capsys.readouterr().out
    parts = dict(part.split("\n\n", 1) for part in printed.split("### ")[1:])
    assert list(parts) == list(gpu.PARTS)
    for name in (*PRESETS, "mini_xception", "logmel_resnet18"):
        assert f"| `{name}` | 0e+00 |" in parts["agreement"]
    for name in ("iaca", "iaca_plus"):
        assert f"| `{name}` | 0e+00 | 0e+00 |" not in parts["agreement"], "nothing was compared"
    rows = {name: [line for line in part.splitlines() if line.startswith("|")][2:] for name, part in parts.items()}
    assert [len(rows[name]) for name in ("training", "epoch", "embedding", "inference")] == [2, 2, 2, 2]


class Drifts(nn.Module):
    """Computes something else from the second time on, as a device that rounds would."""

    def __init__(self, by: float):
        super().__init__()
        self.by, self.calls = by, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + (self.by if self.calls > 1 else 0.0)


def test_a_device_that_computes_something_else_is_an_error() -> None:
    x = torch.linspace(-1, 1, 9)
    with pytest.raises(RuntimeError, match=r"drifts: float32 differs by 1\.0e-03"):
        gpu._differences("drifts", Drifts(1e-3), (x,), lambda y: y, ("float32",), SETTING)
    assert gpu._differences("drifts", Drifts(1e-5), (x,), lambda y: y, ("float32",), SETTING) == "| `drifts` | 1e-05 |"


def test_it_stops_in_time(capsys: pytest.CaptureFixture) -> None:
    gpu.main(["--small", "--device", "cpu", "--minutes", "0"])
    assert "stopped after 0 minutes" in capsys.readouterr().out
