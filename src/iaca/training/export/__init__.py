"""Trained models for use without this project: ONNX, or a program of torch.export. Usage: `docs/guide/export.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from iaca.files import replacing
from iaca.training.export.check import check, onnx_runner
from iaca.training.export.exportable import facts
from iaca.training.export.onnx_file import check_packages, onnx_bytes
from iaca.training.export.program import program_bytes, trace
from iaca.training.model_file import TrainedModel

__all__ = ["SUFFIX", "Format", "export_model"]

Format = Literal["onnx", "torch"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
TOLERANCE: dict[Format, float] = {"onnx": 1e-4, "torch": 1e-5}


def export_model(trained: TrainedModel, path: Path, form: Format = "onnx") -> float:
    """Write a trained model, normalisation included, for use elsewhere; complete and checked, or not at all.

    Args:
        trained: the model.
        path: of the file, by custom with `SUFFIX[form]`.
        form: `onnx`, or `torch` for a program of torch.export.

    Returns:
        The largest difference found between the exported model and the model.

    Raises:
        InputError: packages are missing; the weights are too large; the folder can't be written to (`StorageError`).
    """
    if form == "onnx":
        check_packages()
    program = trace(trained)
    if form == "onnx":
        content = onnx_bytes(program, trained, facts(trained))
        difference = check(trained, onnx_runner(content), TOLERANCE[form])
    else:
        content = program_bytes(program, facts(trained))
        module = program.module()
        difference = check(trained, lambda inputs: module(**inputs), TOLERANCE[form])
    with replacing(path) as partial:
        partial.write_bytes(content)
    return difference
