"""Time the members of the family beside a plain writing of the same equations, and beside their bare products.

    python benchmarks/fusion_speed.py [--widths 512 128] [--repeat 7] [--members iaca jca ...]

Prints Markdown tables; those in docs/speed.md came from it. b = 8, t = 300, embeddings of 512 numbers, one thread.

Times are of the processor in this process, which other processes on the machine disturb less than the clock's. The
forms take turns within a run, and a ratio is the median of the ratios of the rounds. Forward is in evaluation under
`inference_mode`, forward + backward in training with dropout. "Bare" are the matrix products, convolutions and
recurrent kernels of the literal form's forward and backward, recorded and played again with nothing in between.
Memory is what one forward + backward adds to the largest resident size (`ru_maxrss`) of a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from literal_fusion import literal
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from iaca.fusion import PRESETS, FusionConfig, FusionModel, preset

BATCH, STEPS, DIM = 8, 300, 512
LSTM = {"temporal": "lstm", "temporal_layers": 1, "gate": "dca"}
aten = torch.ops.aten
BARE = {aten.addmm: aten.mm, aten.baddbmm: aten.bmm}  # products without what is added to them
KERNELS = {
    aten.mm, aten.bmm, aten.convolution, aten.convolution_backward, aten.mkldnn_rnn_layer,
    aten.mkldnn_rnn_layer_backward,
}  # fmt: skip


def members(width: int) -> dict[str, FusionConfig]:
    """Every preset at this width, and the member that the targets are about, beside its length-free counterpart."""
    configs = {}
    for name in PRESETS:
        length = {"length": STEPS} if "length" in PRESETS[name] else {}
        configs[name] = preset(name, DIM, DIM, width=width, **length)
    sizes = {"audio_dim": DIM, "visual_dim": DIM, "width": width}
    configs["jca + dca, lstm"] = FusionConfig(**sizes, **LSTM, attention="jca")
    configs["jca_fixed x2 + dca, lstm"] = FusionConfig(**sizes, **LSTM, attention="jca_fixed", layers=2, length=STEPS)
    return configs


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


class Member:
    """One model and what is done with it."""

    def __init__(self, config: FusionConfig):
        torch.manual_seed(0)
        self.model = FusionModel(config)
        self.inputs = [torch.randn(BATCH, STEPS, DIM) for _ in range(2)]
        self.goal = torch.randn(BATCH, STEPS, 2)

    def built(self) -> Tensor:
        return self.model(*self.inputs).prediction

    def plain(self) -> Tensor:
        return literal(self.model, *self.inputs)

    def forward(self, form: Callable[[], Tensor]) -> None:
        self.model.eval()
        with torch.inference_mode():
            form()

    def step(self, form: Callable[[], Tensor]) -> None:
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        (form() * self.goal).sum().backward()

    def bare(self) -> Recorder:
        with Recorder() as recorder:
            self.step(self.plain)
        return recorder


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


def grown(config: FusionConfig, form: str) -> float:
    """MB that one training step adds to the largest resident size of this process; to be called in a fresh one."""
    torch.set_num_threads(1)
    member = Member(config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    member.step(getattr(member, form))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def peak(config: FusionConfig, form: str) -> float:
    """`grown` in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(grown, (config, form))


def row(name: str, config: FusionConfig, repeat: int, memory: dict[str, float]) -> str:
    """The figures of one member."""
    member = Member(config)
    ahead = in_turns(repeat, built=lambda: member.forward(member.built), plain=lambda: member.forward(member.plain))
    bare = member.bare()
    both = in_turns(
        repeat, built=lambda: member.step(member.built), plain=lambda: member.step(member.plain), bare=bare.replay
    )
    cells = [
        f"{sum(p.numel() for p in member.model.parameters()) / 1e6:.2f} M",
        f"{1e3 * statistics.median(ahead['built']):.0f} ms", f"{ratio(ahead['built'], ahead['plain']):.2f}",
        f"{1e3 * statistics.median(both['built']):.0f} ms", f"{ratio(both['built'], both['plain']):.2f}",
        f"{ratio(both['built'], both['bare']):.2f}", f"{ratio(both['plain'], both['bare']):.2f}",
        f"{memory['built']:.0f} MB", f"{memory['plain']:.0f} MB",
    ]  # fmt: skip
    return "| " + " | ".join([name, *cells]) + " |"


def half_precision(config: FusionConfig, repeat: int) -> str:
    """The member's training step under bfloat16 autocast, over its literal form's in float32."""
    member = Member(config)

    def coarse() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            member.step(lambda: member.built().float())

    times = in_turns(repeat, coarse=coarse, plain=lambda: member.step(member.plain))
    return f"{ratio(times['coarse'], times['plain']):.2f}"


def main() -> None:
    """Measure what is asked for and print it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--widths", type=int, nargs="+", default=[512, 128])
    arguments.add_argument("--repeat", type=int, default=7)
    arguments.add_argument("--members", nargs="+", help="default: all")
    options = arguments.parse_args()
    chosen = {d: {n: c for n, c in members(d).items() if n in (options.members or [n])} for d in options.widths}
    memory = {
        (d, name): {form: peak(config, form) for form in ("built", "plain")}
        for d, configs in chosen.items()
        for name, config in configs.items()
    }  # before this process has run anything that its children would inherit
    torch.set_num_threads(1)
    for d, configs in chosen.items():
        print(f"\n### d = {d}\n")
        print("| member | parameters | forward | / literal | forward + backward | / literal | / bare | literal / bare "
              "| memory | literal's |\n|" + "---|" * 10)  # fmt: skip
        for name, config in configs.items():
            print(row(name, config, options.repeat, memory[d, name]), flush=True)


if __name__ == "__main__":
    main()
