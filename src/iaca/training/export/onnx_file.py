"""From a program of torch.export to an ONNX file."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch.export import ExportedProgram

from iaca.errors import InputError
from iaca.training.export.program import free_axes
from iaca.training.model_file import TrainedModel

OPSET = 18
LARGEST = 2**31 - 2**24  # bytes of weights: with them, a file is one protobuf message, which ends at 2 GiB
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_packages() -> None:
    """See that what makes and checks ONNX files is installed.

    Raises:
        InputError: it is not.
    """
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError as error:
            raise InputError(f"export to ONNX needs {name}", remedy="pip install -e '.[export]'") from error


def onnx_bytes(program: ExportedProgram, trained: TrainedModel, facts: Mapping[str, str]) -> bytes:
    """The content of an ONNX file, weights included; the facts are its metadata.

    Raises:
        InputError: the weights are too large for one file.
    """
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    if size > LARGEST:
        raise InputError(f"the weights take {size} bytes, an ONNX file at most {LARGEST}", remedy="give --format torch")
    converted = _convert(program, trained)
    model = import_module("onnx_ir.passes.common").ClearMetadataAndDocStringPass()(converted.model).model
    model.metadata_props.update(facts)
    content: bytes = converted.model_proto.SerializeToString(deterministic=True)
    return content


def _convert(program: ExportedProgram, trained: TrainedModel) -> Any:
    inputs = program.example_inputs[1] if program.example_inputs else {}
    outputs = list(program.module()(**inputs))
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=free_axes(trained, inputs),
            custom_translation_table={
                torch.ops.aten.mkldnn_rnn_layer.default: _lstm,
                torch.ops.aten.sort.stable: _stable_sort,
            },
        )


def _lstm(x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, h: Any, c: Any, *options: Any) -> tuple[Any, ...]:
    """oneDNN's layer, as `TraceableLSTM` calls it, by ONNX's: x (t, b, d), h and c (1, b, h) -> (t, b, h), h, c, -."""
    op, hidden = import_module("onnxscript").opset18, options[3]

    def reordered(weights: Any) -> Any:
        """Gates in torch's order ifgo, (4h, ...), to ONNX's iofc, (1, 4h, n)."""
        gates = op.Gather(op.Reshape(weights, [4, hidden, -1]), [0, 3, 1, 2], axis=0)
        return op.Reshape(gates, [1, 4 * hidden, -1])

    bias = op.Squeeze(op.Concat(reordered(b_ih), reordered(b_hh), axis=1), [2])  # (1, 8h)
    y, h, c = op.LSTM(x, reordered(w_ih), reordered(w_hh), bias, None, h, c, hidden_size=hidden)
    return op.Squeeze(y, [1]), h, c, op.Identity(h)  # the fourth is oneDNN's workspace, which nobody reads


def _stable_sort(x: Any, *, dim: int, stable: bool = True, descending: bool = False) -> tuple[Any, Any]:
    """Sorted values and where they were, by ONNX's TopK of all, which keeps the order of equal ones."""
    op = import_module("onnxscript").opset18
    values, indices = op.TopK(x, op.Shape(x, start=dim, end=dim + 1), axis=dim, largest=int(descending))
    return values, indices
