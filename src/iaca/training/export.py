"""How a trained model leaves the project: as an ONNX file or a program of torch.export, normalisation included.

python -m iaca.training.export MODEL.safetensors OUT_FOLDER [--format onnx|torch]

An exported model takes raw embeddings and has flat, named outputs; it is compared with the original before it is
written. `docs/guide/export.md` shows how to use it.

Letters: b batch, t steps, D_a and D_v embedding widths, q cues, k ways of a gate, d width of an LSTM's input, h width
of its hidden state.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from iaca.errors import InputError, ended_by_errors
from iaca.files import replacing
from iaca.formats.labels import UNITS
from iaca.training.config import TARGETS
from iaca.training.loss import THRESHOLDS
from iaca.training.model_file import TrainedModel, load_model, model_file
from iaca.training.predict import probabilities_of
from iaca.training.sample import BOTH, modalities_of

Format = Literal["onnx", "torch"]
Run = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]  # inputs by name -> outputs by name
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
TOLERANCE: dict[Format, float] = {"onnx": 1e-4, "torch": 1e-5}
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
PRESENCE = ("audio_present", "visual_present")
ORIGIN = ("audio_encoder", "visual_encoder", "preset", "corpus", "data_fingerprint", "caveat")
BATCH, STEPS = 2, 11  # of the traced example; the program takes others
SIZES = ((1, 1), (3, 47))  # (b, t) of the comparison, other than the traced ones
OPSET = 18
LARGEST = 2**31 - 2**24  # bytes of weights: an ONNX file is one protobuf message, of at most 2 GiB
ONEDNN_LSTM = 2  # oneDNN's number of the LSTM among its recurrent cells


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a model file, and print the path of the result."""
    parser = argparse.ArgumentParser("python -m iaca.training.export", description="Export a trained model.")
    parser.add_argument("model", type=Path, help="a model file of this project, or a folder of versions")
    parser.add_argument("folder", type=Path, help="folder for the exported model")
    parser.add_argument("--format", choices=sorted(SUFFIX), default="onnx", help="ONNX, or a program of torch.export")
    given = parser.parse_args(arguments)
    with ended_by_errors(parser):
        model = model_file(given.model)
        target = given.folder / f"{model.stem}{SUFFIX[given.format]}"
        difference = export_model(load_model(model), target, given.format)
    sys.stdout.write(f"{target}: differs from the model by {difference:.0e} at most\n")


def export_model(trained: TrainedModel, path: Path, form: Format = "onnx") -> float:
    """Write a trained model for use elsewhere: complete and checked, or not at all.

    Args:
        trained: the model.
        path: of the file; its usual suffix is `SUFFIX[form]`.
        form: `onnx`, or `torch` for a program of torch.export.

    Returns:
        The largest difference between the outputs of the exported model and of the original.

    Raises:
        InputError: packages are missing, the weights are too large, or the exported model differs from the original.
        StorageError: the folder cannot be written to.
    """
    if form == "onnx":
        check_packages()
    program, facts = trace(trained), facts_of(trained)
    if form == "onnx":
        content = onnx_bytes(program, trained, facts)
        difference = check(trained, onnx_runner(content), TOLERANCE[form])
    else:
        content = program_bytes(program, facts)
        module = program.module()
        difference = check(trained, lambda inputs: module(**inputs), TOLERANCE[form])
    with replacing(path) as partial:
        partial.write_bytes(content)
    return difference


def facts_of(trained: TrainedModel) -> dict[str, str]:
    """Metadata of an exported model, as strings.

    As JSON: config, gate_labels (names of the k weights of each gate_<name>), targets (the dimensions it was trained
    for), and unit_thresholds (from which probability on each action unit counts as active) if it has any. As plain
    text: the names in `ORIGIN`, empty where the model file has none.
    """
    labels = {f"gate_{name}": options for name, options in trained.build().gate_labels.items()}
    return {
        "config": trained.config.model_dump_json(),
        "gate_labels": json.dumps(labels),
        "targets": json.dumps(trained.targets),
        **_unit_thresholds(trained),
        **{name: trained.metadata.get(name, "") for name in ORIGIN},
    }


def _unit_thresholds(trained: TrainedModel) -> dict[str, str]:
    if THRESHOLDS not in trained.weights:
        return {}
    return {"unit_thresholds": json.dumps(dict(zip(UNITS, trained.weights[THRESHOLDS].tolist(), strict=True)))}


# --- the model, traced ---


def trace(trained: TrainedModel) -> ExportedProgram:
    """The model as a program for any batch and length, or for `config.length` alone if the weights depend on it."""
    exportable = Exportable(trained)
    make_traceable(exportable)
    inputs = example(trained, BATCH, trained.config.length or STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(exportable.eval(), (), inputs, dynamic_shapes=free_axes(trained, inputs))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it has paths of this machine
    return program


class Exportable(nn.Module):
    """A trained model, normalisation included. Values where a mask says not observed have no influence, even NaN."""

    def __init__(self, trained: TrainedModel):
        super().__init__()
        self.model = trained.build().requires_grad_(False)
        self.partial = trained.targets != TARGETS
        self.register_buffer("unlearned", torch.tensor([target not in trained.targets for target in TARGETS]))
        recalibration = None if trained.calibration is None else trained.calibration.recalibration
        self.recalibrates = recalibration is not None
        if recalibration is not None:
            self.register_buffer("scale", torch.from_numpy(recalibration.scale))
            self.register_buffer("offset", torch.from_numpy(recalibration.offset))
        for name, values in vars(trained.normalisation).items():
            if values.size:  # without cues the statistics are empty, and torch.export cannot save empty tensors
                self.register_buffer(name, torch.from_numpy(values))

    def forward(
        self,
        audio: Tensor,
        visual: Tensor,
        audio_present: Tensor,
        visual_present: Tensor,
        padding: Tensor,
        quality: Tensor | None = None,
        rate: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Predict a batch.

        Args:
            audio, visual: (b, t, D_a), (b, t, D_v) raw embeddings.
            audio_present, visual_present: (b, t) bool, True where that modality was observed.
            padding: (b, t) bool, True where the step exists.
            quality: (b, t, q) raw cues in the order of `config.cues`, NaN where unknown; for models that read cues.
            rate: (b,) steps per second; for models that start from readings.

        Returns:
            prediction (b, t, 2) valence, arousal, NaN for a dimension that was not trained; gate_<name> (b, t, k) for
            each gate; task_expression (b, t, 8) and task_action_units (b, t, 12) probabilities, of a model with these
            tasks; observed (b, t) bool.
        """
        present = {"audio": audio_present & padding, "visual": visual_present & padding}
        audio = self._normalised(audio, "audio", present["audio"][..., None])
        visual = self._normalised(visual, "visual", present["visual"][..., None])
        if quality is not None:
            quality = self._normalised(quality, "quality", self._known(present) & ~quality.isnan())
        readings = None
        if rate is not None:
            there = torch.stack([present["audio"], present["visual"]], dim=-1)
            readings = self.model.read([{"audio": audio, "visual": visual}], there, rate)
        output = self.model(audio, visual, audio_present, visual_present, padding, quality, readings)
        gates = {f"gate_{name}": weights for name, weights in output.gates.items()}
        prediction = output.prediction
        if self.recalibrates:
            prediction = (prediction * self.get_buffer("scale") + self.get_buffer("offset")).clamp(-1.0, 1.0)
        if self.partial:
            prediction = prediction.masked_fill(self.get_buffer("unlearned"), torch.nan)
        tasks = {f"task_{task}": probabilities_of(task, logits) for task, logits in output.tasks.items()}
        return {"prediction": prediction, **gates, **tasks, "observed": output.observed}

    def _known(self, present: dict[str, Tensor]) -> Tensor:
        """(b, t, q) bool: whether what each cue describes was present."""
        described = {**present, BOTH: present["audio"] & present["visual"]}
        return torch.stack([described[modality] for modality in modalities_of(self.model.config.cues)], dim=-1)

    def _normalised(self, x: Tensor, name: str, known: Tensor) -> Tensor:
        """(b, t, D) normalised; zero, the mean, where not `known`, (b, t, 1) or (b, t, D)."""
        mean, std = self.get_buffer(f"{name}_mean"), self.get_buffer(f"{name}_std")
        return torch.where(known, (x - mean) / std, 0.0)


class TraceableLSTM(nn.Module):
    """A trained `nn.LSTM` of one layer and direction, batch first, for prediction on the CPU.

    torch.export unrolls `nn.LSTM` step by step for the traced length. This calls oneDNN's kernel, which is one
    operation for any length.
    """

    def __init__(self, trained: nn.LSTM):
        super().__init__()
        self.width = trained.hidden_size
        self.weights = nn.ParameterList(trained.all_weights[0])

    def forward(self, x: Tensor, start: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, None]:
        """(b, t, d), states before the first step (1, b, h) -> hidden states (b, t, h), and None for the last state."""
        zero = x.new_zeros(1, x.shape[0], self.width)  # (1, b, h)
        hidden_start, cell_start = (zero, zero) if start is None else start
        # reverse, batch sizes, kind, width, layers, biases, bidirectional, batch first, training
        options: tuple[Any, ...] = (False, [], ONEDNN_LSTM, self.width, 1, True, False, False, False)
        sequence = x.transpose(0, 1).contiguous()  # (t, b, d)
        hidden, *_ = torch.ops.aten.mkldnn_rnn_layer(
            sequence, *self.weights, hidden_start, cell_start, *options
        )  # (t, b, h)
        return hidden.transpose(0, 1), None


def make_traceable(module: nn.Module) -> None:
    """Replace every `nn.LSTM` in a model by a `TraceableLSTM`.

    Raises:
        InputError: there is one, but torch was built without oneDNN.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.LSTM):
            if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
                raise InputError("a torch without oneDNN cannot export an LSTM", remedy="export it on an x86 machine")
            setattr(module, name, TraceableLSTM(child))
        else:
            make_traceable(child)


def example(trained: TrainedModel, batch: int, steps: int, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs by name: a third of the steps not observed, the last sequence padded, NaN wherever not observed."""
    rng, config = torch.Generator().manual_seed(seed), trained.config
    inputs = {str(name): torch.randn(batch, steps, width, generator=rng) for name, width in config.dims.items()}
    masks = {name: torch.rand(batch, steps, generator=rng) > 0.3 for name in PRESENCE}
    padding = torch.ones(batch, steps, dtype=torch.bool)
    padding[-1, steps - steps // 3 :] = False
    for x, present in zip(inputs.values(), masks.values(), strict=True):
        x[~(present & padding)] = torch.nan
    cues = {"quality": torch.randn(batch, steps, len(config.cues), generator=rng)} if config.cues else {}
    rates = {"rate": 1.0 + 9.0 * torch.rand(batch, generator=rng)} if config.reads else {}
    return {**inputs, **masks, "padding": padding, **cues, **rates}


def free_axes(trained: TrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, dict[int, Dim]]:
    """Input name -> its axes that may have any size."""
    axes = {0: Dim("batch")} if trained.config.length else {0: Dim("batch"), 1: Dim("steps")}
    return {name: {0: axes[0]} if name == "rate" else axes for name in inputs}


def program_bytes(program: ExportedProgram, facts: Mapping[str, str]) -> bytes:
    """The content of a .pt2 file; each of the `facts_of` the model is an extra file in it."""
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=dict(facts))
    return content.getvalue()


# --- ONNX ---


def check_packages() -> None:
    """Check that the packages that make and run ONNX files are installed.

    Raises:
        InputError: one of them is missing.
    """
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError as error:
            raise InputError(f"export to ONNX needs {name}", remedy="pip install -e '.[export]'") from error


def onnx_bytes(program: ExportedProgram, trained: TrainedModel, facts: Mapping[str, str]) -> bytes:
    """The content of an ONNX file, weights included; the `facts_of` the model are its metadata.

    Raises:
        InputError: the weights are too large for one file.
    """
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    if size > LARGEST:
        raise InputError(f"the weights take {size} bytes, an ONNX file at most {LARGEST}", remedy="use --format torch")
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
    """oneDNN's layer, as `TraceableLSTM` calls it, as ONNX's: x (t, b, d), h and c (1, b, h) -> (t, b, h), h, c, -."""
    op, hidden = import_module("onnxscript").opset18, options[3]

    def reordered(weights: Any) -> Any:
        """Gates in torch's order ifgo, (4h, ...), to ONNX's iofc, (1, 4h, n)."""
        gates = op.Gather(op.Reshape(weights, [4, hidden, -1]), [0, 3, 1, 2], axis=0)
        return op.Reshape(gates, [1, 4 * hidden, -1])

    bias = op.Squeeze(op.Concat(reordered(b_ih), reordered(b_hh), axis=1), [2])  # (1, 8h)
    y, h, c = op.LSTM(x, reordered(w_ih), reordered(w_hh), bias, None, h, c, hidden_size=hidden)
    return op.Squeeze(y, [1]), h, c, op.Identity(h)  # the fourth is oneDNN's workspace, which is not used


def _stable_sort(x: Any, *, dim: int, stable: bool = True, descending: bool = False) -> tuple[Any, Any]:
    """Sorted values and their indices, by ONNX's TopK of all values, which keeps the order of equal ones."""
    op = import_module("onnxscript").opset18
    values, indices = op.TopK(x, op.Shape(x, start=dim, end=dim + 1), axis=dim, largest=int(descending))
    return values, indices


def onnx_runner(content: bytes) -> Run:
    """A function that runs an ONNX file with onnxruntime, on one thread of the CPU."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from version 1.29 on it sends usage data
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arrays = session.run(names, {name: tensor.numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}

    return run


# --- comparison with the original ---


def check(trained: TrainedModel, run: Run, tolerance: float) -> float:
    """The largest difference between the outputs of `run` and of the model, at sizes other than the traced ones.

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
        raise InputError(
            f"the exported model differs from the model by {largest:.1e}, more than {tolerance:.0e}",
            remedy="report it with the model's configuration; no file was written",
        )
    return largest


def _difference(found: Tensor, expected: Tensor) -> Tensor:
    """The largest difference, scalar. Where both are NaN it is 0, where one is NaN it is NaN."""
    both_nan = found.isnan() & expected.isnan()
    return (found.float() - expected.float()).abs().masked_fill(both_nan, 0.0).max()


if __name__ == "__main__":
    main()
