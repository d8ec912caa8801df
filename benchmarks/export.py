"""Speed of an exported model: eager torch, torch.export, and ONNX under onnxruntime.

    python benchmarks/export.py [--repeat 30]

Prints the table of docs/guide/export.md: the default model at its real size, one sequence of 300 steps, one thread,
medians of alternating runs in one process. On a busy machine use the CPU time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from iaca.encoders.config import EmbeddingConfig
from iaca.fusion import FusionConfig, FusionModel
from iaca.parameters import MODALITIES
from iaca.training.export import Exportable, Run, example, export_model, onnx_runner, trace
from iaca.training.model_file import TrainedModel
from iaca.training.sample import Normalisation

AUDIO_DIM, VISUAL_DIM = (EmbeddingConfig().dim(modality) for modality in MODALITIES)
STEPS = 300  # of a window


def untrained_model() -> TrainedModel:
    """The default architecture, untrained: its speed does not depend on its weights."""
    torch.manual_seed(0)
    config = FusionConfig(audio_dim=AUDIO_DIM, visual_dim=VISUAL_DIM)
    moments = (np.ones(width, np.float32) for width in (AUDIO_DIM, AUDIO_DIM, VISUAL_DIM, VISUAL_DIM))
    return TrainedModel(config, FusionModel(config).state_dict(), Normalisation(*moments), {})


def milliseconds(runs: dict[str, Run], inputs: dict[str, torch.Tensor], repeat: int) -> dict[str, np.ndarray]:
    """(repeat, 2) wall and CPU time of each; runs alternate, so that other load affects all of them."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeat + 3):
        for name, run in runs.items():
            clock, cpu = time.perf_counter(), time.process_time()
            run(inputs)
            times[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return {name: 1e3 * np.array(taken[3:]) for name, taken in times.items()}  # the first three are warm-up


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=30)
    torch.set_num_threads(1)
    model, inputs = untrained_model(), example(untrained_model(), 1, STEPS)
    with tempfile.TemporaryDirectory() as folder:
        difference = export_model(model, Path(folder) / "model.onnx")
        content = (Path(folder) / "model.onnx").read_bytes()
    eager, program = Exportable(model).eval(), trace(model).module()
    runs: dict[str, Run] = {
        "eager torch": lambda x: eager(**x),
        "torch.export": lambda x: program(**x),
        "ONNX, onnxruntime": onnx_runner(content),
    }
    with torch.inference_mode():
        times = milliseconds(runs, inputs, parser.parse_args().repeat)
    print(f"ONNX file of {len(content) / 1e6:.1f} MB, differs by {difference:.0e} at most\n")
    print("| b = 1, t = 300, one thread | on the clock | CPU time |\n|---|---|---|")
    for name, taken in times.items():
        clock, cpu = np.median(taken, axis=0)
        print(f"| {name} | {clock:.1f} ms | {cpu:.1f} ms |")


if __name__ == "__main__":
    main()
