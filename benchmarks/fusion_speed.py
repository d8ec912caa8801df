"""Time the members of the family against their bare products, and one of them against the published module.

    python benchmarks/fusion_speed.py [--widths 512 128] [--repeat 7] [--members iaca jca ...]

Prints the Markdown tables of docs/engineering/performance.md. b = 8, t = 300, embeddings of 512 numbers, one thread.

Times are process CPU times, which other processes disturb less than the clock. What is compared alternates within a
run, and a ratio is the median of the ratios of the rounds. Forward is in evaluation under `inference_mode`, forward +
backward in training with dropout. "Bare" are the matrix products, convolutions and recurrent kernels of a forward +
backward, recorded and replayed with nothing in between. Memory is what one forward + backward adds to the largest
resident size (`ru_maxrss`) of a process of its own.

Letters: b batch, t steps, d width.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
from copy import deepcopy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timing import Recorder, in_turns, ratio
from torch import Tensor, nn

from iaca.fusion import PRESETS, FusionConfig, FusionModel, preset
from iaca.fusion.attention import JointAttention, Masks

BATCH, STEPS, DIM = 8, 300, 512
LSTM = {"temporal": "lstm", "temporal_layers": 1, "gate": "dca"}
TARGET = "jca_fixed x2 + dca, lstm"
HEADER = "| member | parameters | forward | forward + backward | / bare | memory |\n" + "|---" * 6 + "|"


def members(width: int) -> dict[str, FusionConfig]:
    """Every preset at this width, and the member that the targets are about, with its length-free counterpart."""
    configs = {}
    for name in PRESETS:
        length = {"length": STEPS} if "length" in PRESETS[name] else {}
        configs[name] = preset(name, DIM, DIM, width=width, **length)
    sizes = {"audio_dim": DIM, "visual_dim": DIM, "width": width}
    configs["jca + dca, lstm"] = FusionConfig(**sizes, **LSTM, attention="jca")
    configs[TARGET] = FusionConfig(**sizes, **LSTM, attention="jca_fixed", layers=2, length=STEPS)
    return configs


class Published(nn.Module):
    """`jca_fixed` + `dca` + `lstm` as the published modules compute it [sibling], with a model's weights.

    No masks; `nn.LSTM` reads both ways at once; the gate's weights are repeated to full width.
    """

    def __init__(self, model: FusionModel):
        super().__init__()
        d, streams, self.p = model.config.width, model.streams, model.config.dropout
        self.project = nn.ModuleDict({m: deepcopy(stream.project) for m, stream in streams.items()})
        self.lstm = nn.ModuleDict({m: nn.LSTM(d, d // 2, batch_first=True, bidirectional=True) for m in streams})
        for m, stream in streams.items():
            ways = {"": stream.temporal.layers[0].ahead, "_reverse": stream.temporal.layers[0].back}
            tensors = {name + end: x for end, way in ways.items() for name, x in way.state_dict().items()}
            self.lstm[m].load_state_dict(tensors)
        self.norm = nn.ModuleDict({m: deepcopy(stream.norm) for m, stream in streams.items()})
        self.layers = deepcopy(model.attention.layers)
        self.gates = deepcopy(model.gating.stage1.gates)
        self.regressor = deepcopy(model.head.regressors[0])

    def forward(self, audio: Tensor, visual: Tensor) -> Tensor:
        """(b, t, D_a), (b, t, D_v) -> (b, t, 2)."""
        raw = {}
        for m, x in (("audio", audio), ("visual", visual)):
            x = self.project[m](x)  # (b, t, d)
            raw[m] = self.norm[m](
                x + F.dropout1d(self.lstm[m](x)[0].transpose(1, 2), self.p, self.training).transpose(1, 2)
            )
        crossed = raw
        for layer in self.layers:
            value = layer.joint(torch.cat(list(crossed.values()), dim=-1))  # Q (b, t, 2d)
            crossed = {m: self._attended(layer, m, x, value) for m, x in crossed.items()}
        gated = []
        for m, gate in self.gates.items():
            weights = torch.softmax(gate.linear(crossed[m]) / gate.temperature, dim=-1)  # (b, t, 2)
            both = torch.stack([raw[m], crossed[m]], dim=-1)  # (b, t, d, 2)
            gated.append(torch.relu((weights[:, :, None].repeat(1, 1, both.shape[2], 1) * both).sum(dim=-1)))
        return torch.tanh(self.regressor(torch.cat(gated, dim=-1)))

    def _attended(self, layer: nn.Module, m: str, x: Tensor, value: Tensor) -> Tensor:
        key = layer.mix[m](x.transpose(1, 2))  # K_m (b, d, t)
        scores = F.dropout(torch.tanh(key @ value / value.shape[-1] ** 0.5), self.p, self.training)  # S_m (b, d, 2d)
        hidden = torch.relu(torch.tanh(layer.query[m](x) @ scores))  # H_m (b, t, 2d)
        return x + F.dropout(torch.relu(layer.out[m](hidden)), self.p, self.training)


class Member:
    """One model and what is done with it."""

    def __init__(self, config: FusionConfig):
        torch.manual_seed(0)
        self.model = FusionModel(config)
        self.inputs = [torch.randn(BATCH, STEPS, DIM) for _ in range(2)]
        self.goal = torch.randn(BATCH, STEPS, 2)

    def forward(self) -> None:
        self.model.eval()
        with torch.inference_mode():
            self.model(*self.inputs)

    def step(self) -> None:
        self.train(self.model)

    def train(self, model: nn.Module) -> None:
        """Forward + backward."""
        model.train()
        model.zero_grad(set_to_none=True)
        output = model(*self.inputs)
        prediction = output if isinstance(output, Tensor) else output.prediction
        (prediction.float() * self.goal).sum().backward()

    def bare(self) -> Recorder:
        with Recorder() as recorder:
            self.step()
        return recorder


def grown(config: FusionConfig) -> float:
    """MB that one training step adds to the largest resident size of this process; to be called in a fresh one."""
    torch.set_num_threads(1)
    member = Member(config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    member.step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def peak(config: FusionConfig) -> float:
    """`grown` in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(grown, (config,))


def row(name: str, config: FusionConfig, repeat: int, memory: float) -> str:
    """The figures of one member."""
    member = Member(config)
    ahead = in_turns(repeat, built=member.forward)["built"]
    both = in_turns(repeat, built=member.step, bare=member.bare().replay)
    cells = [
        f"{sum(p.numel() for p in member.model.parameters()) / 1e6:.2f} M",
        f"{1e3 * statistics.median(ahead):.0f} ms",
        f"{1e3 * statistics.median(both['built']):.0f} ms",
        f"{ratio(both['built'], both['bare']):.2f}",
        f"{memory:.0f} MB",
    ]
    return "| " + " | ".join([name, *cells]) + " |"


def beside_published(width: int, repeat: int) -> str:
    """The target's training step over the published module's."""
    member = Member(members(width)[TARGET])
    published = Published(member.model)
    times = in_turns(repeat, built=member.step, published=lambda: member.train(published))
    return f"{ratio(times['built'], times['published']):.2f}"


def half_precision(config: FusionConfig, repeat: int) -> str:
    """The member's training step under bfloat16 autocast, over the same in float32."""
    member = Member(config)

    def coarse() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            member.step()

    times = in_turns(repeat, coarse=coarse, plain=member.step)
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
        (d, name): peak(config) for d, configs in chosen.items() for name, config in configs.items()
    }  # before this process has run anything that its children would inherit
    torch.set_num_threads(1)
    for d, configs in chosen.items():
        print(f"\n### d = {d}\n\n{HEADER}")
        for name, config in configs.items():
            print(row(name, config, options.repeat, memory[d, name]), flush=True)
    print(f"\n### {TARGET}, forward + backward, over the published module\n")
    for d in options.widths:
        print(f"d = {d}: {beside_published(d, options.repeat)}", flush=True)
    print("\n### The attention alone, forward + backward\n\n| d | attention | time | / jca_fixed x2 |")
    print("|---" * 4 + "|")
    for d in options.widths:
        print("\n".join(attentions(d, options.repeat)), flush=True)
    print(f"\n### {TARGET}, bfloat16 autocast, forward + backward, over float32\n")
    for d in options.widths:
        print(f"d = {d}: {half_precision(members(d)[TARGET], min(options.repeat, 3))}", flush=True)


if __name__ == "__main__":
    main()
