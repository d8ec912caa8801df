"""Load a checkpoint into a network. Nothing is unpickled: safetensors, torch files of tensors, ONNX and Keras HDF5 are
read."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZipFile, is_zipfile

import h5py
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from iaca.errors import InputError, brief
from iaca.files import require_modest

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
PREFIXES = ("module.", "network.", "backbone.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU. A prefix that common trainers put before every name is removed.

    Raises:
        InputError: the file is damaged, has no tensors, or has objects that would need unpickling.
    """
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else _unwrap(_read_torch(path))
    except InputError:
        raise
    except Exception as e:  # on a damaged file torch can fail anywhere, with any error
        reason = str(e).strip().splitlines()[:1] or [type(e).__name__]
        raise InputError(
            f"not a checkpoint of tensors ({reason[0][:120]})", path,
            remedy="give safetensors, or a state dict saved by torch; whole pickled models are never loaded",
        ) from e  # fmt: skip
    return _without_prefix({name: value for name, value in tensors.items() if isinstance(value, Tensor)})


def load(
    network: nn.Module,
    path: Path | None,
    rename: Callable[[str], str] = str,
    drop: tuple[str, ...] = (),
    arrange: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Load the tensors of a file into a network and set it to inference. Without a path it keeps its random weights.

    Args:
        network: all of its parameters come from the file.
        path: of the checkpoint.
        rename: maps names in the file to names in the network.
        drop: prefixes of names, after `rename`, that are ignored: the head of another task.
        arrange: gives all tensors of the file, before that, the layout of the network.

    Raises:
        InputError: names or shapes do not match the network, or values are not finite.
    """
    network.eval()
    if path is None:
        return
    tensors = {rename(name): value for name, value in arrange(read_tensors(path)).items()}
    state = {name: value for name, value in tensors.items() if not name.startswith(drop or ("\0",))}
    _check(network.state_dict(), state, path)
    network.load_state_dict(state)


def _check(wanted: Mapping[str, Tensor], state: dict[str, Tensor], path: Path) -> None:
    for name in [name for name in wanted if name.endswith("num_batches_tracked")]:
        state.setdefault(name, wanted[name])  # older files lack this counter; inference ignores it
    faults = [f"{name} is missing" for name in wanted if name not in state]
    faults += [f"{name} is not part of it" for name in state if name not in wanted]
    faults += [
        f"{name} has shape {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    faults = faults or [
        f"{name} holds values that are not finite"
        for name, value in state.items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise InputError(
            f"these weights do not fit the network: {'; '.join(brief(fault) for fault in faults[:3])}{more}", path,
            remedy="name the encoder that the checkpoint belongs to",
        )  # fmt: skip


def _read_torch(path: Path) -> Any:
    if is_zipfile(path):
        with ZipFile(path) as archive:
            require_modest(path, sum(entry.file_size for entry in archive.infolist()))
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as e:
        if (found := re.search(r"GLOBAL ([\w.]+) ", str(e))) is None:
            raise
        raise InputError(
            f"it holds other objects than tensors ({brief(found[1])})", path,
            remedy="whole pickled models are never loaded: save its tensors alone, on a machine where the file may run "
            "code (docs/reference/encoders.md, Converting a pickled checkpoint)",
        ) from e  # fmt: skip


def _unwrap(content: Any) -> dict[str, Any]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise ValueError("it has no named tensors")
    return dict(content)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


# --- ONNX ---

LARGEST_ONNX = 2**30  # bytes
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
LAYERS: dict[type[nn.Module], str] = {
    nn.Conv2d: "Conv2d", nn.Linear: "Linear", nn.PReLU: "PReLU", nn.GroupNorm: "GroupNorm",
    **dict.fromkeys(NORMS, "BatchNorm"),
}  # fmt: skip
"""Layers that have weights, and their kinds in a file."""

Layer = tuple[str, dict[str, Tensor]]
"""Kind of a layer and its tensors, named as in torch."""


def load_onnx(network: nn.Module, path: Path, example: Tensor) -> None:
    """Load the weights of an exported network into the network that it was exported from, and set that to inference.

    Exporters rename tensors and merge batch normalisation into the convolution before it, so layers are matched by the
    order in which they compute. Normalisation that was merged becomes a plain offset.

    Args:
        network: its layers with weights are those of `LAYERS`.
        path: of the ONNX file.
        example: an input of the network.

    Raises:
        InputError: the file is damaged, was exported from another network, or the package `onnx` is missing.
    """
    network.eval()
    layers = _onnx_layers(path)
    try:
        for name, module, tensors in _matched(_in_order(network, example), layers):
            _assign(name, module, tensors)
    except ValueError as error:
        raise InputError(
            f"not the weights of this network: {error}", path, remedy="get the published file again"
        ) from error


def _matched(
    modules: Sequence[tuple[str, nn.Module]], layers: Sequence[Layer]
) -> Iterator[tuple[str, nn.Module, dict[str, Tensor]]]:
    """Each module with its tensors. Raises ValueError if kinds do not follow each other as in the file."""
    left = deque(layers)
    merged: Tensor | None = None  # offset of the convolution before, which has none in the network itself
    for name, module in modules:
        kind = next(kind for base, kind in LAYERS.items() if isinstance(module, base))
        following = left[0][0] if left else "nothing"
        if isinstance(module, NORMS) and merged is not None and following != kind:
            one, zero = torch.ones_like(merged), torch.zeros_like(merged)
            neutral = {"weight": one, "running_mean": zero, "running_var": one - module.eps}
            yield name, module, {**neutral, "bias": merged}
            merged = None
            continue
        if following != kind:
            raise ValueError(f"{name} is a {kind}, but {following} follows in the file")
        tensors = left.popleft()[1]
        merged = tensors.pop("bias", None) if getattr(module, "bias", None) is None else None
        yield name, module, tensors
    if left or merged is not None:
        raise ValueError("the file has further layers")


def _in_order(network: nn.Module, example: Tensor) -> list[tuple[str, nn.Module]]:
    """The layers with weights, in the order in which they compute."""
    order: list[tuple[str, nn.Module]] = []
    kinds: tuple[type[nn.Module], ...] = tuple(LAYERS)
    hooks = [
        module.register_forward_hook(lambda module, *_, name=name: order.append((name, module)))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    with torch.inference_mode():
        network(example)
    for hook in hooks:
        hook.remove()
    return order


def _onnx_layers(path: Path) -> list[Layer]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise InputError(
            "reading ONNX weights needs the package onnx", path, remedy="pip install 'iaca[export]'"
        ) from error
    if path.stat().st_size > LARGEST_ONNX:
        raise InputError("too large for the weights of an encoder", path, remedy="get the published file again")
    try:
        graph = onnx.load(path, load_external_data=False).graph
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:  # equal tensors are stored once, or as constants
            if node.op_type == "Identity" and node.input[0] in values:
                values[node.output[0]] = values[node.input[0]]
            elif node.op_type == "Constant" and node.attribute[0].name == "value":
                values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        layers = _layers(graph.node, values)
    except Exception as error:  # on a damaged file the parser can fail anywhere, with any error
        what = brief(error) or type(error).__name__
        raise InputError(f"not an ONNX file of weights ({what})", path, remedy="get it again") from error
    return layers


def _layers(nodes: Iterable[Any], values: Mapping[str, Any]) -> list[Layer]:
    """The layers of the nodes that have weights. Some layers are several nodes: a linear layer over more than one axis
    is a product and a sum, a group normalisation is followed by its scale and its offset."""
    layers: list[Layer] = []
    for node in nodes:
        given = [torch.tensor(values[name]).float() for name in node.input if name in values]
        kind, last = layers[-1] if layers else ("", {})
        match node.op_type:
            case "Conv":
                layers.append(("Conv2d", dict(zip(("weight", "bias"), given, strict=False))))
            case "BatchNormalization":
                names = ("weight", "bias", "running_mean", "running_var")
                layers.append(("BatchNorm", dict(zip(names, given, strict=True))))
            case "Gemm":
                transposed = any(a.name == "transB" and a.i for a in node.attribute)
                weight = given[0] if transposed else given[0].T
                layers.append(("Linear", {"weight": weight, **({"bias": given[1]} if len(given) > 1 else {})}))
            case "MatMul" if given:
                layers.append(("Linear", {"weight": given[0].T}))
            case "PRelu":
                layers.append(("PReLU", {"weight": given[0].flatten()}))
            case "InstanceNormalization":
                layers.append(("GroupNorm", {}))
            case "Mul" if kind == "GroupNorm" and given and "weight" not in last:
                last["weight"] = given[0].flatten()
            case "Add" if kind in ("GroupNorm", "Linear") and given and "weight" in last and "bias" not in last:
                last["bias"] = given[0].flatten()
    return layers


def _assign(name: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = {n: t for n, t in module.state_dict().items() if n != "num_batches_tracked"}
    if own.keys() != tensors.keys():
        raise ValueError(f"{name} has {', '.join(sorted(own))}, in the file {', '.join(sorted(tensors))}")
    for part, tensor in tensors.items():
        if tensor.shape != own[part].shape:
            raise ValueError(f"{part} of {name} is {tuple(own[part].shape)}, in the file {tuple(tensor.shape)}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{part} of {name} is not finite")
        own[part].copy_(tensor)


# Keras HDF5 (`model_weights`), layer by layer

LARGEST_KERAS = 2**16  # values in one array of the weights


def keras_array(weights: h5py.Group, layer: str, name: str) -> np.ndarray:
    """An array of a layer, float32.

    Raises:
        ValueError: it has more than `LARGEST_KERAS` values, or is stored in another file.
    """
    path = next(path for path in weights[layer].attrs["weight_names"].astype(str) if path.endswith(f"/{name}:0"))
    stored = weights[layer][path]
    if stored.size > LARGEST_KERAS or stored.external or stored.is_virtual:
        raise ValueError(f"{path} has shape {stored.shape}, or is stored in another file")
    return np.array(stored, dtype=np.float32)


def assign(parameter: Tensor, values: np.ndarray) -> None:
    """Copy an array into a parameter. Raises ValueError if its shape is another, or a value is not finite."""
    if values.shape != tuple(parameter.shape) or not np.isfinite(values).all():
        raise ValueError(f"expected finite values of shape {tuple(parameter.shape)}, got an array {values.shape}")
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def copy_conv(conv: nn.Conv2d, weights: h5py.Group, layer: str) -> None:
    """Copy the kernel of a convolution without bias."""
    assign(conv.weight, keras_array(weights, layer, "kernel").transpose(3, 2, 0, 1))


def copy_batch_norm(norm: nn.Module, weights: h5py.Group, number: int) -> None:
    """Copy the batch normalisation that Keras numbers so."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    layer = f"batch_normalization_{number}"
    parts = {
        "gamma": norm.weight,
        "beta": norm.bias,
        "moving_mean": norm.running_mean,
        "moving_variance": norm.running_var,
    }
    for name, parameter in parts.items():
        assign(parameter, keras_array(weights, layer, name))
