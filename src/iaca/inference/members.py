"""The kinds of model that answer, told apart by what their files hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.adaptation.model import AdaptedModel
from iaca.inference.zero_shot.model import ZeroShot
from iaca.modalities import MODALITIES
from iaca.training.model_file import load_model
from iaca.training.predict import BuiltModel, ClipPrediction, predict_clip

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
