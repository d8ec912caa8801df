"""The benchmark of a GPU runs on a CPU too, small, and fails where float32 is not float32."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpu
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType

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


def test_it_stops_in_time_and_names_what_is_left_out(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--small", "--device", "cpu", "--minutes", "0"])
    assert "stopped after 0 minutes; left out: agreement, training, epoch, embedding" in capsys.readouterr().out


def test_a_part_that_fails_is_named_and_the_others_run(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(setting: gpu.Setting) -> Iterator[str]:
        yield "| a row |"
        raise RuntimeError("no kernel for this")

    parts = {"broken": broken, "whole": lambda setting: iter(["| another |"])}
    monkeypatch.setattr(gpu, "PARTS", parts)
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--device", "cpu"])
    printed = capsys.readouterr().out
    assert ended.value.code == 1
    assert "| a row |" in printed
    assert "| another |" in printed
    assert printed.endswith("broken: no kernel for this\n")


def test_a_part_has_its_share_of_the_time(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(setting: gpu.Setting) -> Iterator[str]:
        while True:
            time.sleep(0.001)
            yield "| a row |"

    monkeypatch.setattr(gpu, "PARTS", {"endless": endless, "next": lambda setting: iter(["| another |"])})
    gpu.main(["--device", "cpu", "--minutes", "0.01"])
    printed = capsys.readouterr().out
    assert "no further row of endless: its share of the time is over" in printed
    assert "| another |" in printed


def test_rounding_ends_with_its_block_also_after_an_error() -> None:
    cpu, before = torch.device("cpu"), (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)

    def fails() -> None:
        with gpu.precision("tf32", cpu):
            assert torch.backends.cudnn.allow_tf32
            raise RuntimeError("of the device")

    try:
        with pytest.raises(RuntimeError, match="of the device"):
            fails()
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_the_busy_time_counts_what_runs_side_by_side_once() -> None:
    def event(start: float, end: float, device: DeviceType = DeviceType.CUDA, annotation: bool = False) -> Any:
        return SimpleNamespace(
            time_range=SimpleNamespace(start=start, end=end), device_type=device, is_user_annotation=annotation
        )

    kernels = [event(30, 40), event(0, 10), event(5, 12), event(6, 8)]
    others = [event(0, 100, annotation=True), event(0, 100, DeviceType.CPU)]
    assert gpu.covered([*kernels, *others]) == 22
    assert gpu.covered([]) == 0


@pytest.mark.parametrize("name", [name for name in PRESETS if gpu.preset(name, 8, 8).has_network])
def test_a_training_step_reads_no_value_and_leaves_nothing_on_the_cpu(name: str) -> None:
    """On torch's device without memory: what mixes with the CPU, or waits for a number, is an error. With backward."""
    device = torch.device("meta")
    model = gpu.member(name, 16, SETTING).train().to(device)
    given = {n: x.to(device) for n, x in gpu.windows(2, 60).items()}
    optimiser = torch.optim.AdamW(model.parameters())
    prediction = model(*gpu.model_arguments(given, reads_cues=bool(model.config.cues))).prediction
    loss = gpu.ccc_loss(prediction.float(), given["labels"], given["valid"])
    loss.backward()
    optimiser.step()
    assert loss.device.type == "meta"
    grown = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert grown
    assert all(gradient.device.type == "meta" for gradient in grown)
