"""The cost of a corpus of the size of Aff-Wild2, from a part of it to the whole: processor time, memory, bytes read and
written by every pipeline.

    python benchmarks/true_size.py FOLDER [--shares 0.05 0.2] [--steps ingestion embedding ...] [--set NAME=VALUE ...]
    python benchmarks/true_size.py FOLDER --shares 0.05 0.2 1 --brief iaca

Aff-Wild2 has 561 clips with 2.70 M frames, of which train and validation have 1.97 M. The corpus here is generated:
clips of its lengths (quantiles of each partition), 25 steps a second, 512 + 512 features, a smooth annotation that the
features show. A share is a number of clips: their lengths stay. At the whole size the features take 11 GB, the
embeddings as much (half in float16), and each training process maps 8 GB.

FOLDER/project is a git clone of this project (committed files only); every step is a command of the environment
`features`. Measurements are kept in FOLDER/results.jsonl and not repeated. Prints the table of
docs/engineering/load.md.

Processor time is that of all processes of a command. Anonymous memory is what a process can't give back; mapped memory
are pages of files, which the kernel shares between processes and drops when memory is short. Both are sampled once a
second from the kernel's `smaps_rollup`.

Bytes are those of the kernel's `io` of all processes of a command that have ended: from and to the disk, and through
read and write calls (which mapped files are not). Corpus and results are dropped from the page cache before each
command, so that what it needs of them comes from the disk.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from load import clone, family
from numpy.typing import NDArray

from iaca.corpora.index import CARD_FILE, CorpusCard, card_text
from iaca.engine.worker import ONE_THREAD
from iaca.formats.tables import write_table

LENGTHS = {
    "train": (262, 1345, 1830, 2212, 2447, 2664, 2906, 3062, 3318, 3569, 3854, 4127, 4432, 4632, 4892, 5248, 5693, 6445,
              7757, 10013, 47434),
    "validation": (73, 303, 419, 640, 992, 1773, 1919, 2241, 2583, 3570, 3662, 4097, 5473, 5743, 6702, 7571, 8419, 8850,
                   10671, 11204, 18189),
    "test": (179, 784, 1067, 1550, 2321, 2468, 2856, 2978, 3512, 3812, 4169, 4344, 4576, 5324, 6121, 7043, 7985, 8727,
             10566, 11271, 26617),
}  # fmt: skip
"""Steps of a clip at every twentieth of its partition."""
CLIPS = {"train": 351, "validation": 71, "test": 139}
STEPS = {"train": 1_622_133, "validation": 346_229, "test": 727_987}
DIM, RATE = 512, 25.0
FEWEST = 4  # clips of a partition
SMOOTH_S = 3.0

FEW = "training.epochs=1,training.folds=0,baselines=concat+late"
SCORED = (
    "benchmark.models=iaca+late,benchmark.main=iaca,benchmark.seeds=0,benchmark.partition=validation,"
    "benchmark.replicates=100"
)
COMMANDS = {
    "ingestion": "",
    "embedding": "",
    "training": FEW,
    "evaluation": "evaluation.replicates=100",
    "benchmark": f"{FEW},{SCORED}",
}
"""Pipeline -> its parameters. Training of one epoch, since each epoch costs the same."""
SAMPLE_S = 1.0
FACTS = re.compile(r"^(Rss|Anonymous):\s+(\d+) kB", re.MULTILINE)
TRAFFIC = ("read_bytes", "write_bytes", "rchar", "wchar")


class Measured(NamedTuple):
    """One command.

    Attributes:
        wall, cpu: seconds.
        anonymous: MiB of all processes together, at the worst moment.
        largest: MiB, anonymous, of the largest process.
        mapped: MiB of pages of files in the largest process.
        read, written: MiB from and to the disk. What is in the page cache is not read again.
        asked, given: MiB through read and write calls, from whatever they come or go to.
    """

    wall: float
    cpu: float
    anonymous: float
    largest: float
    mapped: float
    read: float
    written: float
    asked: float
    given: float


# --- the corpus ---


def lengths(partition: str, share: float) -> list[int]:
    """Steps of each clip of a partition, which at the whole size add up to `STEPS`."""
    clips = max(round(share * CLIPS[partition]), FEWEST)
    places = (np.arange(clips) + 0.5) / clips
    drawn = np.interp(places, np.linspace(0, 1, len(LENGTHS[partition])), LENGTHS[partition])
    wanted = STEPS[partition] * clips / CLIPS[partition]
    return [max(round(n), 20) for n in drawn * wanted / drawn.sum()]


def write_corpus(root: Path, share: float) -> int:
    """Write the corpus; returns its number of steps. The table of partitions comes last: without it, it is written."""
    parts = {part: lengths(part, share) for part in LENGTHS}
    if not (root / "partition.csv").exists():
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("features/audio", "features/visual", "labels"):
            (root / folder).mkdir(parents=True)
        rows = ["clip,partition,subject\n"]
        for part, steps in parts.items():
            for number, length in enumerate(steps):
                _write_clip(root, f"{part}{number:03d}", length, len(rows))
                rows.append(f"{part}{number:03d},{part},{part}{number // 2:03d}\n")
        caveat = "Generated in the shape of Aff-Wild2: it measures cost and nothing else."
        (root / CARD_FILE).write_text(card_text(CorpusCard(name=f"{share:g} of Aff-Wild2's size", caveat=caveat)))
        (root / "partition.csv").write_text("".join(rows))
    return sum(map(sum, parts.values()))


def _write_clip(root: Path, name: str, steps: int, seed: int) -> None:
    rng, times = np.random.default_rng(seed), np.arange(steps) / RATE
    felt = _smooth(rng.standard_normal((steps, 2)))
    mixing = np.random.default_rng(0).standard_normal((2, 2, DIM)).astype(np.float32)
    names = tuple(f"x{i}" for i in range(DIM))
    for mix, modality, shown in zip(mixing, ("audio", "visual"), ((0.4, 1.0), (1.0, 0.4)), strict=True):
        rows = 2 * rng.standard_normal((steps, DIM), dtype=np.float32)
        rows += (felt * shown).astype(np.float32) @ mix
        rows[:: max(steps // 7, 1)] = 0.5
        write_table(root / f"features/{modality}/{name}.safetensors", times, names, rows)
    labels = np.tanh(0.5 * felt).astype(np.float32)
    write_table(root / f"labels/{name}.parquet", times, ("valence", "arousal"), labels)


def _smooth(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    width = round(SMOOTH_S * RATE)
    sums = np.cumsum(np.vstack([np.zeros((width, 2)), noise, np.zeros((width, 2))]), axis=0)
    return (sums[width:] - sums[:-width])[: len(noise)] / math.sqrt(width)


# --- measuring a command ---


def measure(words: Sequence[str], folder: Path, environment: dict[str, str]) -> Measured:
    """Run a command in a folder.

    Raises:
        RuntimeError: it fails; the message has the end of its output.
    """
    log, started, before = folder / "true_size.log", time.monotonic(), _traffic()
    with log.open("w") as output:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=output, stderr=output)
    peak = [0.0, 0.0, 0.0]
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)  # `poll` would lose the resource usage
        if ended:
            break
        found = list(_memory(family(process.pid)))
        held = (sum(a for a, _ in found), max((a for a, _ in found), default=0), max((m for _, m in found), default=0))
        peak = [max(a, b) for a, b in zip(peak, held, strict=True)]
        time.sleep(SAMPLE_S)
    traffic = [now - then for now, then in zip(_traffic(), before, strict=True)]
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{log.read_text()[-4000:]}")
    return Measured(time.monotonic() - started, usage.ru_utime + usage.ru_stime, *peak, *traffic)


def _traffic() -> list[float]:
    """MiB of `TRAFFIC` so far, of this process and of all below it that have ended: the kernel adds them up."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return [int(facts[name]) / 2**20 for name in TRAFFIC]


def drop_from_cache(roots: Iterable[Path]) -> None:
    """Write files to the disk, and forget their pages."""
    for path in (path for root in roots for path in root.rglob("*") if path.is_file()):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(opened)


def _memory(pids: Sequence[int]) -> Iterator[tuple[float, float]]:
    """Anonymous and mapped memory (MiB) of each process."""
    for pid in pids:
        try:
            facts = {
                name: int(kib) / 1024 for name, kib in FACTS.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())
            }
        except OSError:  # it has ended
            continue
        if facts:
            yield facts["Anonymous"], facts["Rss"] - facts["Anonymous"]


# --- one training process, whatever the size ---


FEW_BATCHES = 20


def measure_training(folder: Path, share: float, models: Sequence[str], dim: int = DIM) -> Iterator[str]:
    """Rows: memory and time of a process that trains models in a row on all clips, but for `FEW_BATCHES` batches each.

    Everything around the batches is as in a real run: fingerprints, normalisation, readings, calibration. Embeddings
    are written directly, all of the same rows at other places.
    """
    root = folder / f"embedded_{share:g}_{dim}"
    size = _write_embeddings(root, share, dim)
    process = multiprocessing.get_context("spawn").Process(target=_train_briefly, args=(root, models))
    process.start()
    peak, started, cpu = [0.0, 0.0], time.monotonic(), 0.0
    while process.is_alive():
        for now in _memory([process.pid or 0]):
            peak = [max(a, b) for a, b in zip(peak, now, strict=True)]
        cpu = max(cpu, _processor_time(process.pid or 0))
        time.sleep(SAMPLE_S / 4)
    if process.exitcode:
        raise RuntimeError(f"the training process ended with {process.exitcode}")
    wall = time.monotonic() - started
    yield f"| {'+'.join(models)} | {size:,} | {wall:.0f} | {cpu:.0f} | {peak[0]:.0f} | {peak[1]:.0f} |"


def _write_embeddings(root: Path, share: float, dim: int) -> int:
    """Embeddings and timelines of train and validation, named by partition; returns the number of steps."""
    import pandas as pd

    parts = {part: lengths(part, share) for part in ("train", "validation")}
    if not root.exists():
        partial = root.with_name(f"{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        longest = max(map(max, parts.values()))
        noise = np.random.default_rng(0).standard_normal((2, longest, dim), dtype=np.float32)
        for part, steps in parts.items():
            for number, length in enumerate(steps):
                _write_embedding(partial / f"{part}{number:03d}", noise[:, -length:], number, pd)
        partial.rename(root)
    return sum(map(sum, parts.values()))


def _write_embedding(path: Path, rows: NDArray[np.float32], seed: int, pd: Any) -> None:
    from iaca.encoders.embedding import ClipEmbedding, write_embedding

    steps = rows.shape[1]
    there, times = np.ones(steps, np.bool_), np.arange(steps) / RATE
    clip = ClipEmbedding(*rows, there, there, times, np.zeros((steps, 0), np.float32))
    write_embedding(clip, path.with_suffix(".safetensors"))
    felt = np.tanh(0.5 * _smooth(np.random.default_rng(seed).standard_normal((steps, 2)))).astype(np.float32)
    pd.DataFrame(felt, columns=["valence", "arousal"]).to_parquet(path.with_suffix(".parquet"))


def _train_briefly(root: Path, models: Sequence[str]) -> None:
    from functools import partial

    from iaca.fusion.config import ModelChoice
    from iaca.training import train as module
    from iaca.training.config import TrainingConfig

    few = partial(module.lightning.Trainer, limit_train_batches=FEW_BATCHES, limit_val_batches=FEW_BATCHES)
    module.lightning.Trainer = few  # type: ignore[assignment, misc]
    names = sorted(path.stem for path in root.glob("*.safetensors"))
    parts = {part: [name for name in names if name.startswith(part)] for part in ("train", "validation")}
    files = [root / f"{name}{suffix}" for suffix in (".safetensors", ".parquet") for name in names]
    for model in models:
        module.train_file(
            *files, target=root.parent / "model.safetensors", choice=ModelChoice(preset=model),
            training=TrainingConfig(epochs=1, threads=1), train_clips=parts["train"],
            validation_clips=parts["validation"], corpus={"name": "true size", "caveat": "generated"},
            checkpoints=root.parent / "checkpoints",
        )  # fmt: skip


def _processor_time(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- all of it ---


Results = dict[tuple[float, str], tuple[int, Measured]]


def measure_all(folder: Path, shares: Sequence[float], steps: Sequence[str], workers: int, more: str) -> Results:
    """All results, those of earlier runs included: (share, step) -> steps of the corpus, and what was measured."""
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    done = {(share, step): (size, Measured(*numbers)) for share, step, size, *numbers in map(json.loads, lines)}
    project = clone(folder)
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for share in shares:
        missing = [step for step in steps if (share, step) not in done]
        if not missing:
            continue
        root = folder / f"corpus_{share:g}"
        size = write_corpus(root, share)
        for step in missing:
            given = ",".join(
                filter(None, [f"ingestion.root={root}", f"executor.workers={workers}", COMMANDS[step], more])
            )
            words = ["kedro", "run", "--env", "features", "--pipelines", step, "--params", given]
            drop_from_cache([root, project / "data"])
            done[share, step] = (size, measure(words, project, environment))
            with file.open("a") as results:
                results.write(json.dumps([share, step, size, *done[share, step][1]]) + "\n")
            print(share, step, done[share, step][1], file=sys.stderr, flush=True)
    return done


def table(done: Results, shares: Sequence[float], steps: Sequence[str]) -> str:
    """A row per pipeline and share, and the slopes between neighbours: of processor time as an exponent (1 is linear, 0
    is constant), of anonymous memory in bytes a step."""
    rows = [
        "| pipeline | steps | clock, s | processor, s | slope | all: anonymous, MiB | bytes a step | largest |"
        " bytes a step | mapped | from disk, MiB | to disk | read calls | write calls |",
        "|---" * 14 + "|",
    ]
    for step in steps:
        before: tuple[int, Measured] | None = None
        for share in shares:
            if (share, step) not in done:
                continue
            size, found = done[share, step]
            slopes = ["", "", ""]
            if before is not None:
                more = size - before[0]
                slopes = [
                    f"{math.log(found.cpu / before[1].cpu) / math.log(size / before[0]):.2f}",
                    f"{(found.anonymous - before[1].anonymous) * 2**20 / more:.0f}",
                    f"{(found.largest - before[1].largest) * 2**20 / more:.0f}",
                ]
            before = (size, found)
            rows.append(
                f"| {step} | {size:,} | {found.wall:.0f} | {found.cpu:.0f} | {slopes[0]} | {found.anonymous:.0f} | "
                f"{slopes[1]} | {found.largest:.0f} | {slopes[2]} | {found.mapped:.0f} | {found.read:.0f} | "
                f"{found.written:.0f} | {found.asked:.0f} | {found.given:.0f} |"
            )
    return "\n".join(rows)


def main() -> None:
    """Measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.2])
    parser.add_argument("--steps", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further parameters of all commands")
    parser.add_argument("--brief", nargs="+", metavar="MODEL", help="only memory and time around a few batches")
    parser.add_argument("--dim", type=int, default=DIM, help="features of a modality, with --brief (%(default)s)")
    given = parser.parse_args()
    if given.brief:
        os.environ.update(ONE_THREAD)
        print(
            "| models in a row | steps | clock, s | processor, s | anonymous, MiB | mapped, MiB |\n" + "|---" * 6 + "|"
        )
        for share in sorted(given.shares):
            for row in measure_training(given.folder.absolute(), share, given.brief, given.dim):
                print(row, flush=True)
        return
    folder, shares = given.folder.absolute(), sorted(given.shares)
    folder.mkdir(parents=True, exist_ok=True)
    print(table(measure_all(folder, shares, given.steps, given.workers, ",".join(given.set)), shares, given.steps))


if __name__ == "__main__":
    main()
