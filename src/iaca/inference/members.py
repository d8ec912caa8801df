"""The kinds of model that can predict, and how several of them are averaged into one prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.adaptation import AdaptedModel
from iaca.inference.zero_shot import ZeroShot, read_config
from iaca.parameters import MODALITIES
from iaca.training.config import TARGETS
from iaca.training.model_file import load_model
from iaca.training.predict import BuiltModel, ClipPrediction, RunningPrediction, predict_clip

Labels = Mapping[str, tuple[str, ...]]
FloatArray = NDArray[np.float32]


class Running(Protocol):
    """The predictions of a model for a stream."""

    def push(self, clip: ClipEmbedding) -> ClipPrediction:
        """The next steps arrive -> the prediction of the steps that are now determined, in order: fewer, or none, if
        the model looks ahead."""

    def finish(self) -> ClipPrediction | None:
        """The prediction of the steps that still wait, if there may be any."""


class Member(Protocol):
    """What a `Predictor` needs of a model."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The encoders it was made for; `preset`, `corpus`, `caveat`, and `kind` unless it is a trained model."""

    @property
    def gate_labels(self) -> Labels:
        """For each gate, the names of its weights."""

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """The inputs that valence and that arousal are read from."""

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """The prediction for a clip of t steps."""

    def stream(self) -> Running:
        """The predictions for a stream.

        Raises:
            InputError: the model reads later steps.
        """


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


def encoder_facts(path: Path) -> EmbeddingConfig | Mapping[str, str]:
    """The encoders that a model file needs, or metadata that name them; nothing is asked of their weights.

    Raises:
        InputError: as `load_member`.
    """
    if path.suffix == ".json":
        return read_config(path).embedding
    return load_member(path, torch.device("cpu")).metadata


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

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """All inputs of the network for both, the voice first."""
        inputs = self.built.model.config.modalities
        return dict.fromkeys(TARGETS, tuple(modality for modality in MODALITIES if modality in inputs))

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """Predict in overlapping windows, or step after step."""
        return predict_clip(self.built, clip)

    def stream(self) -> RunningPrediction:
        """The predictions for a stream, by a causal model alone."""
        return RunningPrediction(self.built)


@dataclass(frozen=True)
class Joint:
    """The prediction of an ensemble for a clip of t steps.

    Attributes:
        prediction: mean over the members, of probabilities and thresholds, too. Gates, intervals, inconsistency and
            tasks that not all of them have are left out.
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
    thresholds = _mean_if_all([p.thresholds for p in predictions])
    known = {task: _mean_if_all([p.tasks.get(task) for p in predictions]) for task in predictions[0].tasks}
    tasks = {task: mean for task, mean in known.items() if mean is not None}
    joint = ClipPrediction(prediction, gates, predictions[0].observed, bounds, inconsistency, tasks, thresholds)
    return Joint(joint, labels)


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


HALVED_AFTER_S = 1.0
"""A modality that was not observed for this long (s) has half of its share."""


def observed_shares(
    gates: Mapping[str, FloatArray], labels: Labels, clip: ClipEmbedding, near: Nearness | None = None
) -> dict[str, FloatArray]:
    """The gates of a clip of t steps; in those across voice and face, shares of what was observed.

        share_m(t) = w_m(t) 2^(-d_m(t) / 1 s) / sum over the modalities;   NaN where neither was observed

    w is the gate's weight and d_m the time (s) to the nearest step at which m was observed. A network gives some weight
    to a modality that is absent: there is nothing behind it but its neighbours in time, and soon nothing at all. With
    `near`, of a causal model, d_m is the time since that step.
    """
    if near is None:
        weight = np.stack([_nearness(clip.present[modality], clip.time_s) for modality in MODALITIES], axis=1)
    else:
        weight = near.of(clip)
    shares = dict(gates)
    for name, parts in labels.items():
        if parts == MODALITIES:
            weights = gates[name] * weight
            with np.errstate(invalid="ignore"):
                weights = weights / weights.sum(axis=1, keepdims=True)
            shares[name] = np.where(clip.observed[:, None], weights, np.nan).astype(np.float32)
    return shares


class Nearness:
    """`_nearness` without what comes later, for the steps of a clip that arrives in pieces."""

    def __init__(self) -> None:
        self._last_s = np.full(len(MODALITIES), -np.inf)

    def of(self, clip: ClipEmbedding) -> NDArray[np.float64]:
        """(t, modality) at the next steps."""
        present = np.column_stack([clip.present[modality] for modality in MODALITIES])
        seen = np.where(present, clip.time_s[:, None], -np.inf)
        before = np.maximum(np.maximum.accumulate(seen), self._last_s)
        self._last_s = before[-1] if len(before) else self._last_s
        return np.asarray(2.0 ** -((clip.time_s[:, None] - before) / HALVED_AFTER_S))


def _nearness(present: NDArray[np.bool_], time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """2^(-d / `HALVED_AFTER_S`) of each step, for the distance d (s) to the nearest one that is present."""
    before = np.maximum.accumulate(np.where(present, time_s, -np.inf))
    after = np.minimum.accumulate(np.where(present, time_s, np.inf)[::-1])[::-1]
    return np.asarray(2.0 ** -(np.minimum(time_s - before, after - time_s) / HALVED_AFTER_S))
