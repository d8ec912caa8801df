"""Several models, one answer: the mean of what they say, and how far apart they are.

The kinds of model that answer, told apart by what their files hold.
"""

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
from iaca.parameters import MODALITIES
from iaca.training.model_file import load_model
from iaca.training.predict import BuiltModel, ClipPrediction, predict_clip

Labels = Mapping[str, tuple[str, ...]]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Joint:
    """What the members of an ensemble say together of a clip of t steps.

    Attributes:
        prediction: mean over the members; gates that not all of them have are left out.
        labels: of those gates.
        spread: (t,) root mean square, over valence and arousal, of the standard deviation (n - 1) between the members
            that were trained for it; None where no dimension has two.
        weights: (t, 2) of voice and face: mean of the gates across the modalities; None without one.
        modalities: what at least one member reads.
        evidence: (t,) in [0, 1]: mean over the members that say themselves how much their answer rests on; None where
            none does.
    """

    prediction: ClipPrediction
    labels: Labels
    spread: FloatArray | None
    weights: FloatArray | None
    modalities: tuple[str, ...]
    evidence: FloatArray | None


def join(members: Sequence[Member], said: Sequence[ClipPrediction]) -> Joint:
    """Put the predictions of one clip by each of the members together."""
    labels = _common([member.gate_labels for member in members])
    gates = {name: np.asarray(np.mean([one.gates[name] for one in said], axis=0), np.float32) for name in labels}
    values = np.stack([one.prediction for one in said])  # (members, t, 2)
    prediction = said[0].prediction if len(said) == 1 else _mean(values)
    across = [gates[name] for name, parts in labels.items() if parts == MODALITIES]
    read = {modality for member in members for modality in member.modalities}
    return Joint(
        ClipPrediction(prediction, gates, said[0].observed),
        labels,
        _spread(values),
        np.asarray(np.mean(across, axis=0), np.float32) if across else None,
        tuple(modality for modality in MODALITIES if modality in read),
        _evidence(said),
    )


def _evidence(said: Sequence[ClipPrediction]) -> FloatArray | None:
    known = [one.evidence for one in said if one.evidence is not None]
    return np.asarray(np.mean(known, axis=0), np.float32) if known else None


def _common(labels: Sequence[Labels]) -> Labels:
    first, *others = labels
    return {name: parts for name, parts in first.items() if all(other.get(name) == parts for other in others)}


def _known(values: FloatArray) -> NDArray[np.bool_]:
    """(members, 2) where a member was trained for the dimension; the others are NaN at every step."""
    return np.asarray(np.isfinite(values).any(axis=1))


def _mean(values: FloatArray) -> FloatArray:
    known = _known(values)
    columns = [values[known[:, d], :, d] for d in range(2)]
    empty = np.full(values.shape[1], np.nan, np.float32)
    means = [column.mean(axis=0, dtype=np.float64) if len(column) else empty for column in columns]
    return np.stack(means, axis=1).astype(np.float32)


def _spread(values: FloatArray) -> FloatArray | None:
    known = _known(values)
    columns = [values[known[:, d], :, d].astype(np.float64) for d in range(2)]
    variances = [column.var(axis=0, ddof=1) for column in columns if len(column) > 1]
    return np.sqrt(np.mean(variances, axis=0)).astype(np.float32) if variances else None


TRAINED = "trained"
"""The kind of a model that was fitted to valence and arousal, which needs no word beside its answers."""


class Member(Protocol):
    """What a `Predictor` needs of a model."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The encoders it was made for; `preset`, `corpus`, `caveat`, and `kind` where it is none that was trained."""

    @property
    def gate_labels(self) -> Mapping[str, tuple[str, ...]]:
        """What the weights of each of its gates are of."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it reads: "audio", "visual" or both."""

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """The answer to a clip of t steps."""


@dataclass(frozen=True)
class FusionMember:
    """A trained fusion network."""

    built: BuiltModel

    @property
    def metadata(self) -> Mapping[str, str]:
        """Of its file."""
        return self.built.metadata

    @property
    def gate_labels(self) -> Mapping[str, tuple[str, ...]]:
        """Of the network."""
        return self.built.model.gate_labels

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of the network, the voice first."""
        read = self.built.model.config.modalities
        return tuple(modality for modality in MODALITIES if modality in read)

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """By windows that overlap."""
        return predict_clip(self.built, clip)


def load_member(path: Path, device: torch.device) -> Member:
    """The model of a file: rules of a zero-shot model (.json), or an adapted one or a trained network (safetensors),
    which say in their headers what they are.

    Raises:
        InputError: it is none of these.
    """
    if path.suffix == ".json":
        return ZeroShot.read(path)
    if (adapted := AdaptedModel.load(path)) is not None:
        return adapted
    return FusionMember(BuiltModel.of(load_model(path), device))
