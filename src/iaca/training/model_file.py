"""What a trained model is, and its file: safetensors, with the rest as JSON in the header. Nothing is unpickled.

The header has the model's configuration and its metadata, among them the settings and the history of the training run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from iaca.errors import InputError, brief
from iaca.files import current_files, replacing
from iaca.fusion.attention import Past
from iaca.fusion.config import PRESETS, FusionConfig, preset, weighing_gates
from iaca.fusion.gates import Features
from iaca.fusion.model import FusionModel, FusionOutput
from iaca.fusion.temporal import current_name
from iaca.parameters import faults, flat, text_table
from iaca.text import parse_json
from iaca.training.calibration import Calibration
from iaca.training.config import MACHINE, MODEL_SUFFIX, TARGETS, Target, TrainingConfig
from iaca.training.sample import Normalisation

HEADER = "iaca_model"  # one header entry: safetensors keeps several in no fixed order, so the bytes would differ
SEVERAL, SEPARATOR = "iaca_baselines", "/"  # header entry of a file of several models; between a model and its tensors
VERSION, READ = 5, (1, 2, 3, 4, 5)  # 1 and 2 had no repair, 3 no calibration, 4 no readings
OLD_HEAD, HEAD = "head.", "head.regressors.0."  # in version 1, and since then
WEIGHTS, NORMALISATION, CALIBRATION = "model.", "normalisation.", "calibration."
SETTINGS_KEY, HISTORY_KEY = "training", "history"  # in the metadata
FIRST_COLUMNS = ("epoch", "train_loss", "learning_rate", "score")  # of a history
MEANS = ("train_loss", "score")  # columns that are averaged over the dimensions of a pair
REMEDY = "give a model file written by the training pipeline, or train again"


@dataclass(frozen=True)
class TrainedModel:
    """A trained fusion model.

    Attributes:
        config: its architecture.
        weights: its state dict, float32, on the CPU.
        normalisation: of the embeddings, from the train partition.
        metadata: its origin: encoders, seed, data fingerprint, validation scores, settings of the run.
        targets: the dimensions it was trained for.
        per_dimension: whether it is two networks of this architecture, see `PerDimension`.
        calibration: how sure it is, and how far voice and face disagree; None in older files.
    """

    config: FusionConfig
    weights: dict[str, Tensor]
    normalisation: Normalisation
    metadata: dict[str, str]
    targets: tuple[Target, ...] = TARGETS
    per_dimension: bool = False
    calibration: Calibration | None = None

    def build(self) -> FusionModel | PerDimension:
        """The model, ready to predict."""
        model = network(self.config, self.per_dimension)
        model.load_state_dict(self.weights)
        return model.eval()


def save_model(model: TrainedModel, path: Path) -> None:
    """Write a model file, completely or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(model_bytes(model))


def model_bytes(model: TrainedModel) -> bytes:
    """The content of a model file; the same model gives the same bytes."""
    return _bytes(HEADER, _header_of(model), _tensors_of(model))


def _header_of(model: TrainedModel) -> dict[str, Any]:
    calibration = {} if model.calibration is None else {"calibration": dict(model.calibration.facts)}
    return {
        "version": VERSION,
        "config": model.config.model_dump(mode="json"),
        "metadata": model.metadata,
        "targets": model.targets,
        "per_dimension": model.per_dimension,
        **calibration,
    }


def _tensors_of(model: TrainedModel) -> dict[str, Tensor]:
    arrays = {name: torch.from_numpy(a) for name, a in asdict(model.normalisation).items() if a.size}
    tensors = {WEIGHTS + name: tensor for name, tensor in model.weights.items()}
    tensors |= {NORMALISATION + name: tensor for name, tensor in arrays.items()}
    if model.calibration is not None:
        calibration = model.calibration.arrays()
        tensors |= {CALIBRATION + name: torch.from_numpy(array) for name, array in calibration.items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}


def _bytes(entry: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    return save(dict(tensors), metadata={entry: json.dumps(header, sort_keys=True)})


def model_file(path: Path) -> Path:
    """The file of one model, given as that file, as the folder of a version, or as the folder of all versions, of which
    the newest is taken.

    Raises:
        InputError: there is none, or several.
    """
    found = current_files(path, MODEL_SUFFIX)
    if not found:
        raise InputError("there is no such model file", path, remedy=REMEDY)
    if len(found) > 1:
        names = f"{found[0].name} and {found[1].name}"
        raise InputError(f"this folder has {len(found)} models, such as {names}", path, remedy="name one of the files")
    return found[0]


def load_model(path: Path) -> TrainedModel:
    """Read a model and check its tensors against its configuration.

    Args:
        path: as for `model_file`.

    Raises:
        InputError: the file is missing, torn or not a model file, or its tensors do not match its header.
    """
    path = model_file(path)
    text, tensors = _read(path, HEADER)
    return _model(_header(text, path), tensors, path)


def _read(path: Path, entry: str) -> tuple[str | None, dict[str, Tensor]]:
    """An entry of the header, None if there is none, and all tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(entry)
            return text, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
    except FileNotFoundError as error:
        raise InputError("there is no such model file", path, remedy=REMEDY) from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"not a complete safetensors file ({brief(error)})", path, remedy=REMEDY) from error


def _model(header: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> TrainedModel:
    tensors = {current_name(name): tensor for name, tensor in tensors.items()}
    config, (targets, per_dimension) = _config(header, path), _dimensions(header, path)
    if header["version"] == 1:
        tensors = {name.replace(WEIGHTS + OLD_HEAD, WEIGHTS + HEAD): tensor for name, tensor in tensors.items()}
    calibration = _calibration(header, tensors, config, path)
    _check_tensors(tensors, _expected_shapes(config, per_dimension), path)
    weights = {name.removeprefix(WEIGHTS): tensor for name, tensor in tensors.items() if name.startswith(WEIGHTS)}
    names = [field.name for field in fields(Normalisation) if NORMALISATION + field.name in tensors]
    normalisation = Normalisation(**{name: tensors[NORMALISATION + name].numpy() for name in names})
    metadata = dict(header["metadata"])
    return TrainedModel(config, weights, normalisation, metadata, targets, per_dimension, calibration)


def _header(text: str | None, path: Path) -> dict[str, Any]:
    if text is None:
        raise InputError("this safetensors file is not an iaca model", path, remedy=REMEDY)
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
        raise InputError("the metadata in the header are not a mapping of strings", path, remedy=REMEDY)
    try:
        config = header.get("config")
        if isinstance(config, dict) and header["version"] < 3:
            config = {**config, "repair": False}
        return FusionConfig.model_validate(config)
    except ValidationError as error:
        raise InputError(f"the configuration is not valid ({faults(error)})", path, remedy=REMEDY) from error


def _calibration(
    header: dict[str, Any], tensors: dict[str, Tensor], config: FusionConfig, path: Path
) -> Calibration | None:
    """Take the tensors of the calibration out of `tensors`, and check them."""
    if "calibration" not in header:
        return None
    facts = text_table(header["calibration"])
    names = [name for name in tensors if name.startswith(CALIBRATION)]
    found = {name.removeprefix(CALIBRATION): tensors.pop(name) for name in names}
    try:
        if facts is None:
            raise ValueError("its facts are not a table of strings")
        if differing := sorted(name for name, tensor in found.items() if tensor.dtype != torch.float32):
            raise ValueError(f"{brief(differing[0])} is not float32")
        arrays = {name: tensor.numpy() for name, tensor in found.items()}
        calibration = Calibration.of_arrays(arrays, config.modalities, config.dims, facts)
        return replace(calibration, causal=config.causal)
    except ValueError as error:
        raise InputError(f"the calibration in the model file is not valid: {error}", path, remedy=REMEDY) from error


def _dimensions(header: dict[str, Any], path: Path) -> tuple[tuple[Target, ...], bool]:
    """The dimensions that a model was trained for, and whether it has one network for each."""
    targets, per_dimension = header.get("targets", list(TARGETS)), header.get("per_dimension", False)
    known = tuple(target for target in TARGETS if isinstance(targets, list) and target in targets)
    if not known or list(known) != targets or not isinstance(per_dimension, bool):
        found = f"targets {brief(targets)} and per_dimension {brief(per_dimension)}"
        raise InputError(f"{found} in the header are not those of a model", path, remedy=REMEDY)
    return known, per_dimension


def _expected_shapes(config: FusionConfig, per_dimension: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a model, without allocating any."""
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
            raise InputError(f"tensor {name!r} is {found}, but needs to be {wanted}", path, remedy=REMEDY)
        if not np.isfinite(tensor.numpy()).all():
            raise InputError(f"tensor {name!r} has values that are not finite", path, remedy=REMEDY)
        if name.startswith(NORMALISATION) and name.endswith("_std") and not (tensor > 0).all():
            raise InputError(f"tensor {name!r} has deviations that are not above 0", path, remedy=REMEDY)


def model_name(model: TrainedModel) -> str:
    """What results call a model: its preset, with `(changed)` if its architecture is not the preset's own."""
    name, config = model.metadata.get("preset", ""), model.config
    if name not in PRESETS:
        return name or "model"
    return name if preset(name, config.audio_dim, config.visual_dim, config.cues) == config else f"{name} (changed)"


def network(config: FusionConfig, per_dimension: bool) -> FusionModel | PerDimension:
    """The network of a model, with random weights."""
    return PerDimension(config) if per_dimension else FusionModel(config)


class PerDimension(nn.Module):
    """Two networks of one architecture [sibling]: one predicts valence, the other arousal.

    The gates of both are returned, as `valence_<name>` and `arousal_<name>`.
    """

    def __init__(self, config: FusionConfig):
        super().__init__()
        self.config = config
        self.valence = FusionModel(config)
        self.arousal = FusionModel(config)

    @property
    def gate_labels(self) -> dict[str, tuple[str, ...]]:
        """Of each gate of each network: the names of its k weights, in order."""
        return {f"{target}_{name}": labels for target in TARGETS for name, labels in self.valence.gate_labels.items()}

    @property
    def weighing_gates(self) -> Mapping[str, str]:
        """As `FusionModel.weighing_gates`."""
        return weighing_gates(self.gate_labels)

    def forward(
        self,
        audio: Tensor,
        visual: Tensor,
        audio_present: Tensor | None = None,
        visual_present: Tensor | None = None,
        padding: Tensor | None = None,
        quality: Tensor | None = None,
        readings: Tensor | None = None,
        past: Past | None = None,
    ) -> FusionOutput:
        """As `FusionModel.forward`."""
        inputs = (audio, visual, audio_present, visual_present, padding, quality, readings, past)
        outputs: dict[str, FusionOutput] = {"valence": self.valence(*inputs), "arousal": self.arousal(*inputs)}
        prediction = torch.stack([outputs[target].prediction[..., i] for i, target in enumerate(TARGETS)], dim=-1)
        gates = {f"{target}_{name}": weights for target in TARGETS for name, weights in outputs[target].gates.items()}
        return FusionOutput(prediction, gates, outputs["valence"].observed)

    def read(self, parts: Iterable[Features], present: Tensor, rate: Tensor) -> Tensor:
        """As `FusionModel.read`."""
        parts = list(parts)
        each = {target: getattr(self, target).read(parts, present, rate) for target in TARGETS}
        return torch.stack([each[target][..., i] for i, target in enumerate(TARGETS)], dim=-1)


# --- the models that one run trained together ---


@dataclass(frozen=True)
class TrainedBaselines:
    """The baselines of a main model: trained in the same run, on the same data, with the same settings.

    Attributes:
        main: `weights_digest` of the main model.
        models: the baselines by name.
    """

    main: str
    models: dict[str, TrainedModel]


def weights_digest(model: TrainedModel) -> str:
    """SHA-256 that identifies a trained model: of its weights and normalisation, whatever they are called."""
    digests = sorted(hashlib.sha256(t.numpy().tobytes()).hexdigest() for t in _tensors_of(model).values())
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def save_baselines(baselines: TrainedBaselines, path: Path) -> None:
    """Write all baselines to one file, completely or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(baselines_bytes(baselines))


def baselines_bytes(baselines: TrainedBaselines) -> bytes:
    """The content of a file of baselines; the same models give the same bytes."""
    header = {"main": baselines.main, "models": {name: _header_of(one) for name, one in baselines.models.items()}}
    tensors = {
        f"{name}{SEPARATOR}{tensor}": values
        for name, one in baselines.models.items()
        for tensor, values in _tensors_of(one).items()
    }
    return _bytes(SEVERAL, header, tensors)


def load_baselines(path: Path) -> TrainedBaselines:
    """Read a file of `save_baselines`, and check the tensors of each model against its configuration.

    Raises:
        InputError: the file is missing, torn or another's.
    """
    text, tensors = _read(path, SEVERAL)
    try:
        header = parse_json(text or "")
        main, headers = str(header["main"]), dict(header["models"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("not a file of baselines", path, remedy="run the training pipeline again") from error
    models = {}
    for name, own in headers.items():
        parts = {t.removeprefix(name + SEPARATOR): v for t, v in tensors.items() if t.startswith(name + SEPARATOR)}
        models[name] = _model(_header(json.dumps(own), path), parts, path)
    return TrainedBaselines(main, models)


# --- metadata of the training run ---


def with_training_settings(model: TrainedModel, config: TrainingConfig) -> TrainedModel:
    """The model with the settings of its run in its metadata, except those of the machine, which do not change it."""
    return replace(model, metadata={**model.metadata, SETTINGS_KEY: config.model_dump_json(exclude=MACHINE)})


def training_settings_of(model: TrainedModel) -> dict[str, object]:
    """The training settings of a model, nested ones by dotted name ("corruption.share"); empty for an older file.

    Raises:
        InputError: they are not a JSON object.
    """
    try:
        settings = parse_json(model.metadata.get(SETTINGS_KEY, "{}"))
    except ValueError as error:
        raise InputError("the training settings in the header are not JSON", remedy=REMEDY) from error
    if not isinstance(settings, dict):
        raise InputError("the training settings in the header are not a JSON object", remedy=REMEDY)
    return dict(flat(settings))


CLIPS_KEY = "learned_from"
"""In the metadata: digests of the clips that the weights were fitted to (`train`) and chosen by (`validation`)."""


def with_clips(model: TrainedModel, train: Iterable[str], validation: Iterable[str]) -> TrainedModel:
    """The model with digests of its clips' names in its metadata: names may be personal, and models are shared."""
    parts = {"train": sorted(map(_clip_digest, train)), "validation": sorted(map(_clip_digest, validation))}
    return replace(model, metadata={**model.metadata, CLIPS_KEY: json.dumps(parts)})


def clips_learned_from(model: TrainedModel, clips: Iterable[str], parts: Iterable[str]) -> list[str]:
    """Those of the clips that the model learned from as `parts` ("train", "validation"); none for an older file."""
    known = parse_json(model.metadata.get(CLIPS_KEY, "{}"))
    digests = {digest for part in parts for digest in known.get(part, [])}
    return [clip for clip in clips if _clip_digest(clip) in digests]


def _clip_digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]


def with_history(model: TrainedModel, history: pd.DataFrame) -> TrainedModel:
    """The model with its history in its metadata, at full precision."""
    return replace(model, metadata={**model.metadata, HISTORY_KEY: json.dumps(history.to_dict("list"))})


def history_of(model: TrainedModel) -> pd.DataFrame:
    """The history in a model's metadata: one row per epoch; no row for a file without a history."""
    return pd.DataFrame(json.loads(model.metadata.get(HISTORY_KEY, "{}")))


def history_table(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The rows that a run recorded, as a table."""
    return _ordered(pd.DataFrame(rows).astype({"epoch": "int64"}))


def merged_histories(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The histories of a valence and an arousal run, joined by epoch; NaN where only one of them continued.

    Columns that both have get the dimension as suffix. Means of `train_loss` and `score` are added, for figures.
    """
    valence, arousal = (histories[target] for target in TARGETS)
    both = valence.merge(arousal, on="epoch", how="outer", suffixes=("_valence", "_arousal"))
    means = {name: both[[f"{name}_{target}" for target in TARGETS]].mean(axis=1, skipna=False) for name in MEANS}
    return _ordered(both.assign(**means))


def _ordered(history: pd.DataFrame) -> pd.DataFrame:
    first = [name for name in FIRST_COLUMNS if name in history]
    return history[[*first, *(name for name in history.columns if name not in first)]]
