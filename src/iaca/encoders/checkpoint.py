"""Load a checkpoint into a network. Nothing is unpickled: only safetensors and torch files of tensors are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

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
) -> None:
    """Load the tensors of a file into a network and set it to inference. Without a path it keeps its random weights.

    Args:
        network: all of its parameters come from the file.
        path: of the checkpoint.
        rename: maps names in the file to names in the network.
        drop: prefixes of names, after `rename`, that are ignored: the head of another task.

    Raises:
        InputError: names or shapes do not match the network, or values are not finite.
    """
    network.eval()
    if path is None:
        return
    tensors = {rename(name): value for name, value in read_tensors(path).items()}
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
    return torch.load(path, map_location="cpu", weights_only=True)


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
