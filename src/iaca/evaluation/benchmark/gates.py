"""Whether gates noticed a corruption whose place is known: AUROC of one minus the weight of the corrupted modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.events import gate_auroc, modality_gate
from iaca.evaluation.robustness.protocol import Mask
from iaca.modalities import MODALITIES
from iaca.training.predict import ClipPrediction

Weights = NDArray[np.float32]
Row = dict[str, str | float | int]
ACROSS, RELIABILITY, TRUSTED = "modalities", "reliability", "trusted"
NOTHING = np.float32(np.nan)


def trust(prediction: ClipPrediction, labels: Mapping[str, tuple[str, ...]], clip: ClipEmbedding) -> dict[str, Weights]:
    """What the model's gates say of each modality: gate -> (t, 2) weight of audio and of visual; NaN: nothing.

    `modalities` weighs one against the other, wherever there is one. `reliability` judges each by itself, where it is
    there: of an absent one the mask has said everything. Gates within a modality, between its own features and the
    attended ones, do not say whether it can be believed.

    Args:
        prediction: of t steps.
        labels: of the model's gates.
        clip: what was predicted on, clean or corrupted.
    """
    found = {}
    if labels.get(ACROSS) == MODALITIES:
        found[ACROSS] = np.where(prediction.observed[:, None], prediction.gates[ACROSS], NOTHING)
    parts = [f"{RELIABILITY}_{modality}" for modality in MODALITIES]
    if all(part in labels for part in parts):
        said = np.stack([prediction.gates[part][:, labels[part].index(TRUSTED)] for part in parts], axis=1)
        found[RELIABILITY] = np.where(_observed(clip), said, NOTHING)
    return found


@dataclass
class GateRecord:
    """Weights of one gate under one condition, with what was true, clip after clip."""

    weights: list[Weights] = field(default_factory=list)
    corrupted: list[Mask] = field(default_factory=list)
    clean: list[Mask] = field(default_factory=list)

    def add(self, weights: Weights, truth: Mask, clip: ClipEmbedding, spoilt: Mask) -> None:
        """One clip of t steps.

        Args:
            weights: (t, 2) of `trust`, after the corruption.
            truth: (t, 2) what the protocol corrupted.
            clip: before the corruption: what was not observed then, the protocol cannot have corrupted.
            spoilt: (t,) steps in which something else is known to be wrong; they belong to neither class.
        """
        usable: Mask = _observed(clip) & ~spoilt[:, None] & np.isfinite(weights)
        self.weights.append(weights)
        self.corrupted.append(truth & usable)
        self.clean.append(np.logical_and(~truth.any(axis=1), usable.all(axis=1)))

    def scores(self, gate: str, kind: str) -> list[Row]:
        """One row per modality for which there are corrupted steps, and clean ones to compare them with."""
        weights, corrupted = np.concatenate(self.weights), np.concatenate(self.corrupted)
        clean = np.concatenate(self.clean)
        return [
            {"gate": gate, "modality": modality, "kind": kind, **_score(weights[:, i], corrupted[:, i], clean)}
            for i, modality in enumerate(MODALITIES)
            if corrupted[:, i].any() and clean.any()
        ]


def event_scores(gate: str, tables: list[pd.DataFrame], events: pd.DataFrame) -> list[Row]:
    """The same against the corpus's known events, in clean clips: `iaca.evaluation.events.gate_auroc`.

    Args:
        gate: its name.
        tables: of each clip, from `weight_table`.
        events: clip, modality, kind, start_s, end_s.
    """
    scores = gate_auroc(pd.concat(tables, ignore_index=True), events).drop(columns="event_clips")
    return [{"gate": gate, **{str(name): value for name, value in row.items()}} for row in scores.to_dict("records")]


def weight_table(name: str, clip: ClipEmbedding, weights: Weights) -> pd.DataFrame:
    """Weights (t, 2) of a clip under the names that `gate_auroc` knows."""
    columns = {modality_gate(modality): weights[:, i] for i, modality in enumerate(MODALITIES)}
    return pd.DataFrame({"clip": name, "time_s": clip.time_s, **columns})


def _observed(clip: ClipEmbedding) -> Mask:
    """(t, 2) where audio and where visual was observed."""
    return np.stack([clip.present[modality] for modality in MODALITIES], axis=1)


def _score(weight: Weights, corrupted: Mask, clean: Mask) -> dict[str, float | int]:
    either = corrupted | clean
    return {
        "auroc": float(roc_auc_score(corrupted[either], -weight[either])),
        "weight_event": float(weight[corrupted].mean(dtype=np.float64)),
        "weight_clean": float(weight[clean].mean(dtype=np.float64)),
        "event_frames": int(corrupted.sum()),
        "clean_frames": int(clean.sum()),
    }
