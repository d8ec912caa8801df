"""Whether an exported model says what the model says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module

import torch
from torch import Tensor

from iaca.errors import InputError
from iaca.training.export.exportable import Exportable, example
from iaca.training.model_file import TrainedModel

SIZES = ((1, 1), (3, 47))  # (b, t), other than the traced ones
Run = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


def check(trained: TrainedModel, run: Run, tolerance: float) -> float:
    """The largest difference between what `run` gives and what the model gives, at lengths that were not traced.

    Raises:
        InputError: it is above the tolerance.
    """
    reference, length = Exportable(trained).eval(), trained.config.length
    differences = []
    for seed, (batch, steps) in enumerate(SIZES):
        inputs = example(trained, batch, length or steps, seed)
        with torch.inference_mode():
            expected, found = reference(**inputs), run(inputs)
        differences += [_difference(found[name], value) for name, value in expected.items()]
    largest = float(torch.stack(differences).max())  # NaN if any is
    if not largest <= tolerance:
        raise InputError(f"the exported model differs from the model by {largest:.1e}, more than {tolerance:.0e}")
    return largest


def _difference(found: Tensor, expected: Tensor) -> Tensor:
    """The largest one, scalar; both NaN is none, one of them NaN is NaN."""
    neither = found.isnan() & expected.isnan()
    return (found.float() - expected.float()).abs().masked_fill(neither, 0.0).max()


def onnx_runner(content: bytes) -> Run:
    """Runs an ONNX file under onnxruntime, on one thread of the CPU."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # versions from 1.29 on report to their maker otherwise
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arrays = session.run(names, {name: tensor.numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}

    return run
