"""The kinds of model that can predict, and how several of them are averaged into one prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.adaptation import AdaptedModel
from iaca.inference.zero_shot import ZeroShot
from iaca.training.model_file import load_model
from iaca.training.predict import BuiltModel, ClipPrediction, predict_clip

Labels = Mapping[str, tuple[str, ...]]
FloatArray = NDArray[np.float32]


class Member(Protocol):
    """What a `Predictor` needs of a model."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The encoders it was made for; `preset`, `corpus`, `caveat`, and `kind` unless it is a trained model."""

    @property
    def gate_labels(self) -> Labels:
        """For each gate, the names of its weights."""

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """The prediction for a clip of t steps."""


def load_member(path: Path, device: torch.device) -> Member:
    """Read a model file: the rules of a zero-shot model (.json), an adapted model or a trained network (safetensors).

    Raises:
        InputError: it is none of these.
    """
    if path.suffix == ".json":
        return ZeroShot.read(path)
    if (adapted := AdaptedModel.load(path)) is not None:
        return adapted
    return FusionMember(BuiltModel.of(load_model(path), device))


@dataclass(frozen=True)
class FusionMember:
    """A trained fusion network."""

    built: BuiltModel

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of its file, and what its calibration rests on."""
        calibration = self.built.calibration
        return {**self.built.metadata, **(calibration.facts if calibration else {})}

    @property
    def gate_labels(self) -> Labels:
        """The labels of the network."""
        return self.built.model.gate_labels

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """Predict in overlapping windows."""
        return predict_clip(self.built, clip)


@dataclass(frozen=True)
class Joint:
    """The prediction of an ensemble for a clip of t steps.

    Attributes:
        prediction: mean over the members. Gates, intervals and inconsistency that not all of them have are left out.
        labels: of those gates.
    """

    prediction: ClipPrediction
    labels: Labels


def join(members: Sequence[Member], predictions: Sequence[ClipPrediction]) -> Joint:
    """Average the members' predictions of one clip, and their bounds: the interval of a mean is narrower than that."""
    labels = _common([member.gate_labels for member in members])
    gates = {name: np.asarray(np.mean([p.gates[name] for p in predictions], axis=0), np.float32) for name in labels}
    values = np.stack([p.prediction for p in predictions])  # (members, t, 2)
    prediction = predictions[0].prediction if len(predictions) == 1 else _mean(values)
    bounds = _mean_if_all([p.bounds for p in predictions])
    inconsistency = _mean_if_all([p.inconsistency for p in predictions])
    return Joint(ClipPrediction(prediction, gates, predictions[0].observed, bounds, inconsistency), labels)


def _mean_if_all(parts: Sequence[FloatArray | None]) -> FloatArray | None:
    known = [part for part in parts if part is not None]
    return np.asarray(np.mean(known, axis=0, dtype=np.float64), np.float32) if len(known) == len(parts) else None


def _common(labels: Sequence[Labels]) -> Labels:
    first, *others = labels
    return {name: parts for name, parts in first.items() if all(other.get(name) == parts for other in others)}


def _mean(values: FloatArray) -> FloatArray:
    trained = _trained(values)
    columns = [values[trained[:, d], :, d] for d in range(2)]
    empty = np.full(values.shape[1], np.nan, np.float32)
    means = [column.mean(axis=0, dtype=np.float64) if len(column) else empty for column in columns]
    return np.stack(means, axis=1).astype(np.float32)


def _trained(values: FloatArray) -> NDArray[np.bool_]:
    """(members, 2) whether the member was trained on the dimension; otherwise it is NaN at every step."""
    return np.asarray(np.isfinite(values).any(axis=1))
