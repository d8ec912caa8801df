"""The zero-shot model: an expression encoder's posteriors on the circumplex, arousal supported by the voice.

A heuristic. Nothing in it was learned from valence or arousal, so that it is a place to start from, and no measure.

Letters: t steps, k modalities (voice, face).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.config import EmbeddingConfig, describe
from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.zero_shot.clock import durations, two_sided
from iaca.inference.zero_shot.config import ZeroShotConfig, read_config
from iaca.inference.zero_shot.evidence import face_evidence, voice_evidence
from iaca.modalities import MODALITIES
from iaca.training.predict import ClipPrediction

NAME = "zero_shot"
GATES: Mapping[str, tuple[str, ...]] = {"modalities": ("audio", "visual")}
CAVEAT = (
    "HEURISTIC, not a trained model: an expression classifier's posteriors placed on the circumplex, with arousal "
    "supported by the voice relative to the speaker's own level. Never fitted to valence or arousal; its "
    "limits: docs/guide/zero_shot.md"
)
Array = NDArray[np.float64]
LEAST_S = 0.03  # of evidence, which what is there at a step has in its share at least


@dataclass(frozen=True)
class ZeroShot:
    """Rules ready to predict many clips."""

    config: ZeroShotConfig
    name: str = NAME
    kind: str = field(default="zero-shot heuristic", init=False)
    gate_labels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: GATES, init=False)
    modalities: tuple[str, ...] = field(default=GATES["modalities"], init=False)

    @classmethod
    def read(cls, path: Path) -> ZeroShot:
        """The rules of a JSON file.

        Raises:
            InputError: it is no such file.
        """
        return cls(read_config(path), path.stem)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Encoders that it needs, and what it is."""
        own = {"preset": self.name, "kind": self.kind, "corpus": "none", "caveat": CAVEAT, "data_fingerprint": ""}
        return {**describe(EmbeddingConfig()), **own}

    def predict(self, clip: ClipEmbedding) -> ClipPrediction:
        """Predict every step of a clip that was embedded with the project's default encoders.

        y = sum_k (1 + p / 2T) S(w_k m_k) / (p + S(w_k)), where m_k is what modality k says at a step, w_k its trust
        times the s that the step stands for, S the sum weighted by exp(-|distance| / T), T = smoothing_s and
        p = prior_s. Lasting evidence has S(w_k) = 2T and is taken as it is; without any, y is 0. The face says where
        the expression lies, the voice how far arousal departs from the speaker's own: the two add up. The evidence
        is E / (E + confidence_s) for E = S(w_k), of the face alone for valence, mean of both dimensions.
        """
        config, times = self.config, clip.time_s
        seconds = durations(times, config.step_s)
        said = (voice_evidence(clip, config.voice, seconds), face_evidence(clip, config.face, seconds))
        weights = np.stack([evidence.trust for evidence in said], axis=1) * seconds[:, None]  # (t, k)
        values = np.stack([evidence.value for evidence in said], axis=1) * weights[..., None]  # (t, k, 2)
        columns = np.concatenate([weights, values.reshape(len(clip), 4)], axis=1)
        smooth = two_sided(columns, times, config.smoothing_s)
        mass, sums = smooth[:, :2], smooth[:, 2:].reshape(len(clip), 2, 2)  # (t, k), (t, k, 2)
        whole = 1 + config.prior_s / (2 * config.smoothing_s)
        answer = whole * (sums / (config.prior_s + mass[..., None])).sum(axis=1)
        evidence = np.stack([mass[:, 1], mass.sum(axis=1)], axis=1)  # (t, 2): of valence the face alone has any
        there = np.stack([clip.present[modality] for modality in MODALITIES], axis=1)
        return ClipPrediction(
            prediction=answer.clip(-1, 1).astype(np.float32),
            gates={"modalities": _shares(mass, there)},
            observed=clip.observed,
            evidence=(evidence / (config.confidence_s + evidence)).mean(axis=1).astype(np.float32),
        )


def _shares(mass: Array, there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each modality's share (t, 2) of all evidence used; NaN where neither modality is there.

    A face speaks of both dimensions, so its evidence counts twice. Where there is hardly any evidence, as in silence
    long after a face, the share goes to what is there.
    """
    used = mass * [1.0, 2.0]
    total = used.sum(axis=1, keepdims=True)
    count = there.sum(axis=1, keepdims=True)
    shares = (used + LEAST_S * there / np.maximum(count, 1)) / (total + LEAST_S)
    return np.where(count > 0, shares, np.nan).astype(np.float32)
