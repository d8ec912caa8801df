"""Weights from a file into a network. Nothing is unpickled: safetensors, or torch files of tensors alone."""

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
    """Name -> tensor, on the CPU; names without what common trainers put in front of all of them.

    Raises:
        InputError: the file is torn, holds no tensors, or holds objects that only unpickling could read.
    """
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else _unwrap(_read_torch(path))
    except InputError:
        raise
    except Exception as e:  # torn bytes break torch's reader anywhere, with any error: each is told
        reason = str(e).strip().splitlines()[:1] or [type(e).__name__]
        raise InputError(
            f"no checkpoint of tensors ({reason[0][:120]})", path,
            remedy="give safetensors, or a state dict saved by torch; whole pickled models are never loaded",
        ) from e  # fmt: skip
    return _without_prefix({name: value for name, value in tensors.items() if isinstance(value, Tensor)})


def load(
    network: nn.Module,
    path: Path | None,
    rename: Callable[[str], str] = str,
    drop: tuple[str, ...] = (),
) -> None:
    """Fill a network with a file's tensors, and set it to inference. Without a path it keeps its random ones.

    Args:
        network: takes all of its parameters from the file.
        path: of the checkpoint.
        rename: from the file's names to the network's.
        drop: beginnings of names, as renamed, that the network does without: the head of another task.

    Raises:
        InputError: names or shapes are those of another network, or values are not finite.
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
        state.setdefault(name, wanted[name])  # older files lack this counter, and inference does not read it
    faults = [f"{name} is missing" for name in wanted if name not in state]
    faults += [f"{name} is not a part of it" for name in state if name not in wanted]
    faults += [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(value.shape)}"
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
            f"the weights of another network: {'; '.join(brief(fault) for fault in faults[:3])}{more}", path,
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
        raise ValueError("there are no named tensors in it")
    return dict(content)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
