"""Time the members of the family beside a plain writing of the same equations, and beside their bare products.

    python benchmarks/fusion_speed.py [--widths 512 128] [--repeat 7] [--members iaca jca ...]

Prints the Markdown tables of docs/engineering/performance.md. b = 8, t = 300, embeddings of 512 numbers, one thread.

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
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from literal_fusion import literal
from timing import Recorder, in_turns, ratio
from torch import Tensor

from iaca.fusion import PRESETS, FusionConfig, FusionModel, preset
from iaca.fusion.joint import JointAttention
from iaca.fusion.masks import Masks

BATCH, STEPS, DIM = 8, 300, 512
LSTM = {"temporal": "lstm", "temporal_layers": 1, "gate": "dca"}
TARGET = "jca_fixed x2 + dca, lstm"
HEADER = (
    "| member | parameters | forward | / literal | forward + backward | / literal | / bare | literal / bare | memory "
    "| literal's |\n" + "|---" * 10 + "|"
)


def members(width: int) -> dict[str, FusionConfig]:
    """Every preset at this width, and the member that the targets are about, beside its length-free counterpart."""
    configs = {}
    for name in PRESETS:
        length = {"length": STEPS} if "length" in PRESETS[name] else {}
        configs[name] = preset(name, DIM, DIM, width=width, **length)
    sizes = {"audio_dim": DIM, "visual_dim": DIM, "width": width}
    configs["jca + dca, lstm"] = FusionConfig(**sizes, **LSTM, attention="jca")
    configs[TARGET] = FusionConfig(**sizes, **LSTM, attention="jca_fixed", layers=2, length=STEPS)
    return configs


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


def attentions(width: int, repeat: int) -> list[str]:
    """Rows: forward + backward of the attention alone, in training, and its share of `jca_fixed` x2."""
    forms: dict[str, dict[str, Any]] = {
        "jca_fixed x2": {"attention": "jca_fixed", "length": STEPS, "layers": 2},
        "jca_fixed x1": {"attention": "jca_fixed", "length": STEPS, "layers": 1},
        "rjca x2": {"attention": "rjca", "layers": 2},
        "jca": {"attention": "jca"},
    }
    masks, works = Masks.build(torch.empty(BATCH, STEPS, 1), None, None, None), {}
    for name, fields in forms.items():
        block = JointAttention(FusionConfig(audio_dim=DIM, visual_dim=DIM, width=width, **fields)).train()
        works[name] = partial(_once, block, torch.randn(2, BATCH, STEPS, width), masks)
    times = in_turns(repeat, **works)
    whole = times["jca_fixed x2"]
    return [
        f"| {width} | {name} | {1e3 * statistics.median(own):.0f} ms | {ratio(own, whole):.2f} |"
        for name, own in times.items()
    ]


def _once(block: JointAttention, x: Tensor, masks: Masks) -> None:
    block.zero_grad(set_to_none=True)
    x_a, x_v = x.clone().requires_grad_()
    c_a, c_v = block(x_a, x_v, masks)
    (c_a + c_v).sum().backward()


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
        print(f"\n### d = {d}\n\n{HEADER}")
        for name, config in configs.items():
            print(row(name, config, options.repeat, memory[d, name]), flush=True)
    print("\n### The attention alone, forward + backward\n\n| d | attention | time | / jca_fixed x2 |")
    print("|---" * 4 + "|")
    for d in options.widths:
        print("\n".join(attentions(d, options.repeat)), flush=True)
    print("\n### bfloat16 autocast, forward + backward, over the literal form in float32\n")
    for d in options.widths:
        print(f"d = {d}: {half_precision(members(d)[TARGET], min(options.repeat, 3))}", flush=True)


if __name__ == "__main__":
    main()
