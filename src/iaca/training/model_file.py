"""A trained model and its file: safetensors, the rest as JSON in its header. Nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from iaca.config import faults, text_table
from iaca.errors import InputError, brief
from iaca.files import replacing
from iaca.fusion.config import FusionConfig
from iaca.fusion.model import FusionModel
from iaca.text import parse_json
from iaca.training.config import TARGETS, Target
from iaca.training.normalisation import Normalisation
from iaca.training.per_dimension import PerDimension, network

HEADER = "iaca_model"  # one header entry: safetensors keeps several of them in no fixed order, and bytes would differ
VERSION, READ = 3, (1, 2, 3)  # 1 and 2 had no repair
OLD_HEAD, HEAD = "head.", "head.regressors.0."  # in version 1 and since; 1 had neither cues nor single dimensions
WEIGHTS, NORMALISATION = "model.", "normalisation."
REMEDY = "give a model file written by the training pipeline, or train again"


@dataclass(frozen=True)
class TrainedModel:
    """A trained fusion model.

    Attributes:
        config: its architecture.
        weights: its state dict, float32, on the CPU.
        normalisation: of the embeddings, from the train partition.
        metadata: where it comes from: encoders, seed, data fingerprint, validation scores, settings of the run.
        targets: the dimensions it was trained for.
        per_dimension: it is two networks of this architecture, see `PerDimension`.
    """

    config: FusionConfig
    weights: dict[str, Tensor]
    normalisation: Normalisation
    metadata: dict[str, str]
    targets: tuple[Target, ...] = TARGETS
    per_dimension: bool = False

    def build(self) -> FusionModel | PerDimension:
        """The model, ready to predict."""
        model = network(self.config, self.per_dimension)
        model.load_state_dict(self.weights)
        return model.eval()


def save_model(model: TrainedModel, path: Path) -> None:
    """Write a model file, complete or not at all; the same model gives the same bytes."""
    header = {
        "version": VERSION,
        "config": model.config.model_dump(mode="json"),
        "metadata": model.metadata,
        "targets": model.targets,
        "per_dimension": model.per_dimension,
    }
    arrays = {name: torch.from_numpy(a) for name, a in asdict(model.normalisation).items() if a.size}
    tensors = {WEIGHTS + name: tensor for name, tensor in model.weights.items()}
    tensors |= {NORMALISATION + name: tensor for name, tensor in arrays.items()}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    with replacing(path) as partial:
        partial.write_bytes(save(contiguous, metadata={HEADER: json.dumps(header, sort_keys=True)}))


def load_model(path: Path) -> TrainedModel:
    """Read a model file, and check that its tensors are those of its configuration.

    Raises:
        InputError: there is no such file; it is torn, is not a model file, or does not hold what its header says.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = _header((file.metadata() or {}).get(HEADER), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except FileNotFoundError as error:
        raise InputError("there is no such model file", path, remedy=REMEDY) from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"not a whole safetensors file ({brief(error)})", path, remedy=REMEDY) from error
    config, kind = _config(header, path), _kind(header, path)
    if header["version"] == 1:
        tensors = {name.replace(WEIGHTS + OLD_HEAD, WEIGHTS + HEAD): tensor for name, tensor in tensors.items()}
    _check_tensors(tensors, _expected(config, kind[1]), path)
    weights = {name.removeprefix(WEIGHTS): tensor for name, tensor in tensors.items() if name.startswith(WEIGHTS)}
    kept = [field.name for field in fields(Normalisation) if NORMALISATION + field.name in tensors]
    normalisation = Normalisation(**{name: tensors[NORMALISATION + name].numpy() for name in kept})
    return TrainedModel(config, weights, normalisation, dict(header["metadata"]), *kind)


def _header(text: str | None, path: Path) -> dict[str, Any]:
    if text is None:
        raise InputError("a safetensors file, but not of an iaca model", path, remedy=REMEDY)
    try:
        header = parse_json(text)
    except ValueError as error:
        raise InputError("the header of the model file is not JSON", path, remedy=REMEDY) from error
    found = header.get("version") if isinstance(header, dict) else None
    if found not in READ or type(found) is not int or not isinstance(header, dict):
        known = ", ".join(map(str, READ))
        raise InputError(f"model file version {brief(repr(found))}, this program reads {known}", path, remedy=REMEDY)
    return header


def _config(header: dict[str, Any], path: Path) -> FusionConfig:
    if text_table(header.get("metadata")) is None:
        raise InputError("the header's metadata are not a table of strings", path, remedy=REMEDY)
    try:
        config = header.get("config")
        if isinstance(config, dict) and header["version"] < 3:
            config = {**config, "repair": False}
        return FusionConfig.model_validate(config)
    except ValidationError as error:
        raise InputError(f"the header's configuration is not valid ({faults(error)})", path, remedy=REMEDY) from error


def _kind(header: dict[str, Any], path: Path) -> tuple[tuple[Target, ...], bool]:
    """The dimensions that a model was trained for, and whether it has a network for each."""
    targets, per_dimension = header.get("targets", list(TARGETS)), header.get("per_dimension", False)
    known = tuple(target for target in TARGETS if isinstance(targets, list) and target in targets)
    if not known or list(known) != targets or not isinstance(per_dimension, bool):
        said = f"targets {brief(targets)} and per_dimension {brief(per_dimension)}"
        raise InputError(f"the header's {said} are not those of a model", path, remedy=REMEDY)
    return known, per_dimension


def _expected(config: FusionConfig, per_dimension: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a model, found without allocating any."""
    with torch.device("meta"):
        model = network(config, per_dimension)
    shapes = {WEIGHTS + name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name, dim in (*config.dims.items(), ("quality", len(config.cues))):
        if dim > 0:
            shapes |= {f"{NORMALISATION}{name}_{moment}": (dim,) for moment in ("mean", "std")}
    return shapes


def _check_tensors(tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]], path: Path) -> None:
    if differing := sorted(set(tensors) ^ set(expected)):
        kind = "lacks" if differing[0] in expected else "has an unknown"
        raise InputError(f"the model file {kind} tensor {brief(repr(differing[0]))}", path, remedy=REMEDY)
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name] or tensor.dtype != torch.float32:
            found, wanted = f"{tensor.dtype} {tuple(tensor.shape)}", f"torch.float32 {expected[name]}"
            raise InputError(f"tensor {name!r} is {found}, its configuration says {wanted}", path, remedy=REMEDY)
        if not np.isfinite(tensor.numpy()).all():
            raise InputError(f"tensor {name!r} holds values that are not finite", path, remedy=REMEDY)
        if name.startswith(NORMALISATION) and name.endswith("_std") and not (tensor > 0).all():
            raise InputError(f"tensor {name!r} holds deviations that are not above 0", path, remedy=REMEDY)
