"""What a GPU computes, and how fast: agreement with the CPU, training, embedding, detection and inference.

    python benchmarks/gpu.py [--device auto] [--small] [--only agreement training ...]

Prints the Markdown tables of docs/engineering/performance.md, in at most nine minutes on one GPU: each part has an
equal share of the minutes that are left, and what is not begun by then is left out, by name. A part that fails does not
keep the others from running; the exit status says so. Without a GPU the same code runs on the CPU with `--small`: the
tests do so. Nothing is downloaded: encoders have random weights, videos and clips are generated.

"Bare" is the network alone, on inputs that are on the device already. The rate of products is measured with one large
matrix product in the same precision. The busy share is the part of the time of a step in which at least one kernel or
copy runs (torch.profiler).
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from portrait_movie import write_portrait_movie
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.utils.flop_counter import FlopCounterMode
from true_size import STEPS as TRUE_STEPS

from iaca.encoders.config import ENCODERS, EncoderChoice
from iaca.encoders.embedding import AnnotatedClip, ClipEmbedding, read_annotated, write_embedding
from iaca.encoders.networks import Network, VisualEncoder, build_network, pick_device, set_tf32
from iaca.faces import FaceConfig
from iaca.faces.detect import make_detector
from iaca.fusion import preset
from iaca.fusion.config import PRESETS, ModelChoice
from iaca.fusion.model import FusionModel
from iaca.inference.config import NAMED, Drawing
from iaca.inference.write import analyse_video
from iaca.media import read_frames
from iaca.parameters import MODALITIES, Modality
from iaca.training.config import TrainingConfig
from iaca.training.loss import ccc_loss
from iaca.training.sample import model_arguments
from iaca.training.train import TrainingRun, train

DIM, LENGTH, CUES = 512, 300, ("face_score", "snr_estimate", "synchrony")
LIMIT = 1e-4
"""Largest difference of float32 between devices."""
FACES, CLIPS, WINDOWS = (
    (112, 112, 3),
    (8, 112, 112, 3),
    {"logmel_resnet18": (107, 64), "vggish": (96, 64), "ge2e": (160, 40)},
)
"""Shapes of what encoders see."""
EMBEDDED = ("mini_xception", "resnet50", "r2plus1d_18")
HOP, SECONDS, FPS, SIZE = 200, 20, 25, (640, 360)


class Setting(NamedTuple):
    """Where and how much."""

    device: torch.device
    small: bool
    scratch: Path

    def few(self, many: int, few: int) -> int:
        """A number of repetitions or sizes."""
        return few if self.small else many

    def wait(self) -> None:
        """Until the device has computed everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def seconds(work: Callable[[], object], setting: Setting, repeat: int) -> float:
    """Median wall time of a call, after two as warm-up."""
    times = []
    for _ in range(repeat + 2):
        setting.wait()
        start = time.perf_counter()
        work()
        setting.wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """`float32`, `tf32` or `bf16`."""
    set_tf32(name == "tf32")
    try:
        with torch.autocast(device.type, torch.bfloat16) if name == "bf16" else nullcontext():
            yield
    finally:
        set_tf32(False)


def precisions(setting: Setting) -> tuple[str, ...]:
    return ("float32", "tf32", "bf16") if setting.device.type == "cuda" else ("float32", "bf16")


# --- agreement ---


def agreement(setting: Setting) -> Iterator[str]:
    """The largest difference from the CPU in float32, of every member of the family and every encoder.

    Raises:
        RuntimeError: after the last row, of all networks whose float32 differs by more than `LIMIT`.
    """
    kinds, wrong = precisions(setting), list[str]()
    yield f"| network | {' | '.join(kinds)} |"
    yield "|---" * (len(kinds) + 1) + "|"
    for name in PRESETS:
        model, batch = member(name, setting.few(128, 16), setting), windows(setting.few(4, 1), setting.few(LENGTH, 60))
        arguments = model_arguments(batch, reads_cues=bool(model.config.cues))
        try:
            yield _differences(name, model, arguments, lambda output: output.prediction, kinds, setting)
        except RuntimeError as error:
            wrong.append(str(error))
    for modality, names in encoders(setting).items():
        for name in names:
            network = build_network(EncoderChoice(name=name), modality, None).eval()
            given = inputs(modality, name, setting.few(8, 2))
            try:
                yield _differences(name, network, (given,), lambda rows: rows, kinds, setting)
            except RuntimeError as error:
                wrong.append(str(error))
    if wrong:
        raise RuntimeError("; ".join(wrong))


def _differences(
    name: str, network: nn.Module, arguments: Sequence[Any], of: Callable[[Any], Tensor], kinds: Sequence[str],
    setting: Setting,
) -> str:  # fmt: skip
    """A row; differences are relative to the largest output, where that is above 1.

    Raises:
        RuntimeError: float32 differs by more than `LIMIT`.
    """
    with torch.inference_mode():
        expected = of(network.cpu()(*arguments)).float()
        network.to(setting.device)
        there = [x.to(setting.device) if isinstance(x, Tensor) else x for x in arguments]
        found = []
        for kind in kinds:
            with precision(kind, setting.device):
                rows = of(network(*there)).float().cpu()
            found.append(float((rows - expected).abs().max() / expected.abs().max().clamp(min=1)))
    if found[0] > LIMIT:
        raise RuntimeError(f"{name}: float32 differs by {found[0]:.1e} from the CPU")
    return f"| `{name}` | {' | '.join(f'{x:.0e}' for x in found)} |"


def member(name: str, width: int, setting: Setting) -> FusionModel:
    """An untrained member, with random numbers in place of zeros: gates and corrections that start at 0 count too."""
    length = setting.few(LENGTH, 60)
    fixed = {"length": length} if "jca_fixed" in str(PRESETS[name]) else {}
    torch.manual_seed(0)
    model = FusionModel(preset(name, DIM, DIM, CUES, width=width, **fixed)).eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point() and not tensor.any():
                tensor.normal_(std=0.02)
    return model


def windows(batch: int, steps: int) -> dict[str, Tensor]:
    """Random windows, as `iaca.training.sample.collate` returns them."""
    random = torch.Generator().manual_seed(0)
    present = torch.rand(batch, steps, 2, generator=random) < 0.9
    parts = {m: torch.randn(batch, steps, DIM, generator=random) * present[..., [i]] for i, m in enumerate(MODALITIES)}
    return {
        **{str(m): x for m, x in parts.items()},
        "present": present,
        "padding": torch.ones(batch, steps, dtype=torch.bool),
        "quality": torch.randn(batch, steps, len(CUES), generator=random),
        "readings": torch.randn(batch, steps, 2, 2, generator=random) / 4,
        "labels": torch.randn(batch, steps, 2, generator=random).tanh(),
        "valid": present.any(-1),
    }


def encoders(setting: Setting) -> dict[Modality, list[str]]:
    """Those that see faces, or windows of sound; in `small` two of them."""
    every: dict[Modality, list[str]] = {"visual": list(ENCODERS["visual"]), "audio": list(WINDOWS)}
    return {"visual": ["mini_xception"], "audio": ["logmel_resnet18"]} if setting.small else every


def inputs(modality: Modality, name: str, count: int) -> Tensor:
    """Random faces or windows of sound."""
    random = torch.Generator().manual_seed(0)
    if modality == "audio":
        return torch.randn(count, *WINDOWS[name], generator=random)
    shape = CLIPS if name == "r2plus1d_18" else FACES
    return torch.randint(0, 256, (count, *shape), generator=random, dtype=torch.uint8)


# --- training ---


def training(setting: Setting) -> Iterator[str]:
    """Steps of an optimiser on windows that are on the device: rate, achieved products, busy share, memory."""
    yield "| `iaca`, d | batch | precision | form | steps/s | TFLOP/s | of the bare product | busy | memory |"
    yield "|---" * 9 + "|"
    for width, batch in ((128, 8), (128, 64), (512, 64)) if not setting.small else ((16, 2),):
        for kind in precisions(setting):
            forms = ("plain", "compiled", "CUDA graphs") if setting.device.type == "cuda" else ("plain",)
            for form in forms:
                yield _training_row(width, batch, kind, form, setting)


def _training_row(width: int, batch: int, kind: str, form: str, setting: Setting) -> str:
    given = {n: x.to(setting.device) for n, x in windows(batch, setting.few(LENGTH, 60)).items()}
    operations = _operations(width, given, setting)
    model = member("iaca", width, setting).train().to(setting.device)
    if form != "plain":
        torch.compiler.reset()  # the compiler gives up, silently, on code that it has compiled for eight models
        model.compile(mode="reduce-overhead" if form == "CUDA graphs" else "default")
    optimiser = torch.optim.AdamW(model.parameters())

    def step() -> None:
        if form == "CUDA graphs":
            torch.compiler.cudagraph_mark_step_begin()  # the outputs of the step before may be overwritten
        optimiser.zero_grad(set_to_none=True)
        with precision(kind, setting.device):
            prediction = model(*model_arguments(given, reads_cues=False)).prediction
            loss = ccc_loss(prediction.float(), given["labels"], given["valid"])
        loss.backward()
        optimiser.step()

    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(setting.device)
    try:
        took = seconds(step, setting, setting.few(20, 1))
    except RuntimeError as error:  # a form that this version of torch can't build
        return f"| {width} | {batch} | {kind} | {form} | {type(error).__name__} | | | | |"
    memory = (
        f"{torch.cuda.max_memory_allocated(setting.device) / 2**20:.0f} MiB" if setting.device.type == "cuda" else ""
    )
    rate, bare = operations / took, product_rate(kind, setting)
    return (
        f"| {width} | {batch} | {kind} | {form} | {1 / took:.1f} | {rate / 1e12:.3g} | {rate / bare:.1%} | "
        f"{busy(step, setting)} | {memory} |"
    )


def _operations(width: int, given: dict[str, Tensor], setting: Setting) -> int:
    """Floating-point operations of the products and convolutions of a step, counted on a model of its own."""
    model = member("iaca", width, setting).train().to(setting.device)
    with FlopCounterMode(display=False) as counter:
        prediction = model(*model_arguments(given, reads_cues=False)).prediction
        ccc_loss(prediction, given["labels"], given["valid"]).backward()
    return int(counter.get_total_flops())


def product_rate(kind: str, setting: Setting) -> float:
    """FLOP/s of one large matrix product, of numbers that are bf16 already where that is the precision."""
    n = setting.few(8192, 256)
    a, b = torch.randn(2, n, n, device=setting.device, dtype=torch.bfloat16 if kind == "bf16" else torch.float32)
    with precision(kind, setting.device):
        return 2 * n**3 / seconds(lambda: a @ b, setting, setting.few(10, 1))


def busy(work: Callable[[], object], setting: Setting, repeat: int = 5) -> str:
    """Share of the wall time in which the device computes or copies; empty without a GPU."""
    if setting.device.type != "cuda":
        return ""
    from torch.profiler import ProfilerActivity, profile

    took = seconds(lambda: [work() for _ in range(repeat)], setting, 1)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(repeat):
            work()
        setting.wait()
    return f"{min(covered(profiler.events()) / 1e6 / took, 1):.0%}"


def covered(events: Iterable[Any]) -> float:
    """Time (us) in which at least one of a profiler's events ran on the device.

    Streams overlap, and an annotation spans the kernels in it: sums of durations would count both twice.
    """
    of_device = (e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation)
    total, end = 0.0, -math.inf
    for start, stop in sorted((e.time_range.start, e.time_range.end) for e in of_device):
        total += max(stop - max(start, end), 0.0)
        end = max(end, stop)
    return total


def epoch(setting: Setting) -> Iterator[str]:
    """An epoch of the real training, loader and Trainer included, extrapolated to the windows of Aff-Wild2."""
    folder = setting.scratch / "clips"
    clips = write_clips(folder, setting.few(48, 3), setting.few(4600, 200))
    held_out = {name: clips[name] for name in list(clips)[:1]}
    yield "| `iaca`, d | precision | windows | epoch, s | at true size, s | goal |"
    yield "|---" * 6 + "|"
    for width in (128, 512) if not setting.small else (16,):
        for kind in ("32-true", "bf16-mixed"):
            took = []
            for epochs in (1, 3):
                config = TrainingConfig(
                    epochs=epochs, length=setting.few(LENGTH, 60), hop=setting.few(HOP, 60), precision=kind,
                    batch_size=setting.few(64, 4), device=str(setting.device), patience=9, threads=1,
                )  # fmt: skip
                fusion = ModelChoice(preset="iaca", width=width).build(DIM, DIM)
                start = time.perf_counter()
                train(TrainingRun(fusion, config, clips, held_out, setting.scratch / f"run{width}{kind}{epochs}"))
                took.append(time.perf_counter() - start)
            one = (took[1] - took[0]) / 2
            count = sum(-(-(len(clip) - config.length) // config.hop) + 1 for clip in clips.values())
            true = one / count * TRUE_STEPS["train"] / HOP
            yield f"| {width} | {kind} | {count:,} | {one:.1f} | {true:.0f} | {'10' if width == 128 else ''} |"


def write_clips(folder: Path, count: int, steps: int) -> dict[str, AnnotatedClip]:
    """Clips of random rows, mapped from files as those of a corpus are."""
    import pandas as pd

    folder.mkdir()
    rng, there, clips = np.random.default_rng(0), np.ones(steps, np.bool_), {}
    for number in range(count):
        rows = rng.standard_normal((2, steps, DIM), dtype=np.float32)
        clip = ClipEmbedding(*rows, there, there, np.arange(steps) / 25, np.zeros((steps, 0), np.float32))
        write_embedding(clip, folder / f"{number}.safetensors")
        labels = np.tanh(rows[:, :, 0].T / 2)
        pd.DataFrame(labels, columns=["valence", "arousal"]).to_parquet(folder / f"{number}.parquet")
        clips[str(number)] = read_annotated(folder / f"{number}.safetensors", folder / f"{number}.parquet")
    return clips


# --- detection, embedding, inference ---


def embedding(setting: Setting) -> Iterator[str]:
    """Rows a second of the encoder as it is used, from faces in memory, and of the bare network."""
    yield "| encoder | precision | faces/s | bare | ratio | busy | goal |"
    yield "|---" * 7 + "|"
    for name in EMBEDDED[: setting.few(len(EMBEDDED), 1)]:
        entry = ENCODERS["visual"][name]
        for kind in precisions(setting):
            layout = torch.channels_last_3d if name == "r2plus1d_18" else torch.channels_last
            module = build_network(EncoderChoice(name=name), "visual", None).to(setting.device, memory_format=layout)
            dtype = torch.bfloat16 if kind == "bf16" else torch.float32
            offsets = (0,) * 8 if name == "r2plus1d_18" else (0,)
            network = Network(module.eval(), setting.device, dtype, entry.dim, entry.batch, offsets, kind == "tf32")
            encoder = VisualEncoder([network])
            faces = np.random.default_rng(0).integers(0, 256, (setting.few(1024, 8), *FACES), np.uint8)
            given = inputs("visual", name, entry.batch).to(setting.device)
            batches = max(len(faces) // entry.batch, 1)

            def used(encoder: VisualEncoder = encoder, faces: NDArray[np.uint8] = faces) -> None:
                encoder.encode(faces)

            def bare(
                network: Network = network, given: Tensor = given, kind: str = kind, batches: int = batches
            ) -> None:
                with torch.inference_mode(), precision(kind, setting.device):
                    for _ in range(batches):  # as many in a row as the encoder has: the device does not wait between
                        network.module(given)

            rate = len(faces) / seconds(used, setting, setting.few(5, 1))
            alone = batches * len(given) / seconds(bare, setting, setting.few(5, 1))
            goal = "" if name == "mini_xception" else "0.85"
            cells = (f"`{name}`", kind, f"{rate:.0f}", f"{alone:.0f}", f"{rate / alone:.2f}", busy(used, setting), goal)
            yield f"| {' | '.join(cells)} |"


def inference(setting: Setting) -> Iterator[str]:
    """Frames a second of detection alone, and of the whole inference of a video, by the zero-shot model."""
    video, faces = setting.scratch / "video.mp4", FaceConfig(device=str(setting.device))
    length = setting.few(SECONDS, 2)
    write_portrait_movie(video, length, FPS, SIZE, lambda time_s: (1.1, 140 + 2 * time_s, 20))
    images = [frame.image for frame in read_frames(video)][:: setting.few(5, 10)]
    detector = make_detector(faces)
    yield "| what | frames/s | busy | goal |"
    yield "|---|---|---|---|"
    took = seconds(lambda: detector.detect(images), setting, setting.few(3, 1))
    detected = busy(lambda: detector.detect(images), setting, 1)
    yield f"| detection, {len(images)} images of 640x360 at once | {len(images) / took:.0f} | {detected} | |"

    def whole() -> None:
        analyse_video(
            video, NAMED["zero_shot"], target=setting.scratch / "result.json", folder=setting.scratch, name="result",
            drawing=Drawing(overlay=False, plot=False), faces=faces, device=str(setting.device),
        )  # fmt: skip

    took = seconds(whole, setting, setting.few(3, 1))
    yield f"| whole inference, tables only | {length * FPS / took:.0f} | {busy(whole, setting, 1)} | 500 |"


PARTS: dict[str, Callable[[Setting], Iterator[str]]] = {
    part.__name__: part for part in (agreement, training, epoch, embedding, inference)
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print, part by part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a CPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0)
    given = parser.parse_args(words)
    device, started = pick_device(given.device), time.monotonic()
    set_tf32(False)
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads of a CPU"
    )
    print(f"{name}, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(device, given.small, Path(scratch))
        end, failed = started + 60 * given.minutes, list[str]()
        for number, part in enumerate(given.only):
            now = time.monotonic()
            if now >= end:
                failed.append(f"stopped after {given.minutes:g} minutes; left out: {', '.join(given.only[number:])}")
                break
            print(f"### {part}\n", flush=True)
            until = now + (end - now) / (len(given.only) - number)
            try:
                for row in PARTS[part](setting):
                    print(row, flush=True)
                    if time.monotonic() > until:
                        print(f"\nno further row of {part}: its share of the time is over", flush=True)
                        break
            except RuntimeError as error:
                failed.append(f"{part}: {error}")
            print()
    if failed:
        print("\n".join(failed))
        raise SystemExit(1)


if __name__ == "__main__":
    main()
