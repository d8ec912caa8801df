"""`python -m iaca.training.export MODEL.safetensors OUT_FOLDER [--format onnx|torch]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from iaca.errors import InputError
from iaca.training.export import SUFFIX, export_model
from iaca.training.model_file import load_model


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a model file, and say where it went."""
    parser = argparse.ArgumentParser("python -m iaca.training.export", description="Export a trained model.")
    parser.add_argument("model", type=Path, help="a model file of this project, MODEL.safetensors")
    parser.add_argument("folder", type=Path, help="where the export goes")
    parser.add_argument("--format", choices=sorted(SUFFIX), default="onnx", help="ONNX, or a program of torch.export")
    given = parser.parse_args(arguments)
    target = given.folder / f"{given.model.stem}{SUFFIX[given.format]}"
    try:
        difference = export_model(load_model(given.model), target, given.format)
    except InputError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{target}: differs from the model by {difference:.0e} at most\n")


if __name__ == "__main__":
    main()
