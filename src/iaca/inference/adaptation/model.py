"""An adapted model and its file: safetensors, the rest as JSON in its header. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from iaca.config import faults, text_table
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError, brief
from iaca.files import replacing
from iaca.inference.adaptation.leave_out import corrected
from iaca.inference.adaptation.rows import FIRST, columns_of
from iaca.inference.zero_shot.config import ZeroShotConfig
from iaca.inference.zero_shot.model import ZeroShot
from iaca.modalities import MODALITIES
from iaca.text import parse_json
from iaca.training.predict import ClipPrediction

HEADER, VERSION, WEIGHTS = "iaca_adapted", 1, "weights"
KIND = "adapted heuristic"
REMEDY = "give a file written by the adaptation pipeline, or adapt again"


@dataclass(frozen=True)
class AdaptedModel:
    """A zero-shot model with a linear correction.

    Attributes:
        zero_shot: the model that is corrected.
        weights: (p, 2) float64, of the columns of `rows.columns_of`.
        facts: encoders, corpus, what was chosen and how it scored, as strings.
    """

    zero_shot: ZeroShotConfig
    weights: NDArray[np.float64]
    facts: Mapping[str, str]

    @cached_property
    def metadata(self) -> dict[str, str]:
        """What it is and which encoders it needs."""
        return {"preset": "zero_shot, adapted", "kind": KIND, **self.facts}

    @cached_property
    def base(self) -> ZeroShot:
        """The zero-shot part."""
        return ZeroShot(self.zero_shot)

    @property
    def gate_labels(self) -> Mapping[str, tuple[str, ...]]:
        """Of the zero-shot part."""
        return self.base.gate_labels

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of the zero-shot part."""
        return self.base.modalities

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """As of the zero-shot model, valence and arousal corrected; gates and evidence are those of that model."""
        said = corrected(columns_of(self.base, clip), self.weights).astype(np.float32)
        return replace(self.base.predict(clip), prediction=said)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; the same model gives the same bytes."""
        header = {"version": VERSION, "zero_shot": self.zero_shot.model_dump(mode="json"), "facts": dict(self.facts)}
        with replacing(path) as partial:
            partial.write_bytes(
                save({WEIGHTS: np.ascontiguousarray(self.weights)}, {HEADER: json.dumps(header, sort_keys=True)})
            )

    @classmethod
    def load(cls, path: Path) -> AdaptedModel | None:
        """The model of a file; None where the file is no adapted model: another's, or none at all.

        Raises:
            InputError: it says it is one, and is not.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                text = (file.metadata() or {}).get(HEADER)
                if text is None:
                    return None
                weights = file.get_tensor(WEIGHTS)
        except (SafetensorError, OSError):
            return None
        except TypeError as error:  # numpy lacks some types of safetensors
            raise InputError(f"the weights are not finite float64 ({error})", path, remedy=REMEDY) from error
        return cls(*_checked(text, weights, path))


def _checked(
    text: str, weights: NDArray[np.float64], path: Path
) -> tuple[ZeroShotConfig, NDArray[np.float64], dict[str, str]]:
    try:
        header = parse_json(text)
        version = header["version"]
        if version == VERSION:
            rules, facts = header["zero_shot"], text_table(header["facts"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"not the header of an adapted model ({brief(error)})", path, remedy=REMEDY) from error
    if version != VERSION:
        found = brief(repr(version))
        raise InputError(f"adapted model version {found}, this program reads {VERSION}", path, remedy=REMEDY)
    if facts is None:
        raise InputError("the header's facts are not a table of strings", path, remedy=REMEDY)
    wanted = (FIRST + 2 + sum(EmbeddingConfig().dim(m) for m in MODALITIES), 2)
    if weights.shape != wanted or weights.dtype != np.float64 or not np.isfinite(weights).all():
        found = f"{weights.dtype} {weights.shape}"
        raise InputError(f"the weights are {found}, not finite float64 {wanted}", path, remedy=REMEDY)
    try:
        return ZeroShotConfig.model_validate(rules), weights, facts
    except ValidationError as error:
        raise InputError(f"not the rules of a zero-shot model ({faults(error)})", path, remedy=REMEDY) from error
