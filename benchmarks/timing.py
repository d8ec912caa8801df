"""Timing on a machine that others use too: what is compared takes turns, and bare products are played from a record."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
BARE = {aten.addmm: aten.mm, aten.baddbmm: aten.bmm}  # products without what is added to them
KERNELS = {
    aten.mm, aten.bmm, aten.convolution, aten.convolution_backward, aten.mkldnn_rnn_layer,
    aten.mkldnn_rnn_layer_backward, aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_flash_attention_for_cpu_backward,
}  # fmt: skip


class Recorder(TorchDispatchMode):
    """Notes every product and recurrent kernel that runs, with what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        family, kwargs = operation.overloadpacket, kwargs or {}
        if family in BARE:
            self.calls.append((BARE[family], args[1:3], {}))
        elif family in KERNELS:
            self.calls.append((operation, args, kwargs))
        return operation(*args, **kwargs)

    def replay(self) -> None:
        """Run them again, one after the other."""
        with torch.inference_mode():
            for operation, args, kwargs in self.calls:
                operation(*args, **kwargs)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(repeat: int, **works: Callable[[], object]) -> dict[str, list[float]]:
    """Times of each, one round after the other; the first round is not counted."""
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(repeat + 1)][1:]
    return {name: [times[name] for times in rounds] for name in works}


def ratio(these: list[float], those: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(these, those, strict=True))
