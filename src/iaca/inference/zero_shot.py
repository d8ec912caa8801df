"""The numbers of the zero-shot model, and the JSON file that holds them.

Sums over a clip's own clock: whatever the frame rate, and whatever is missing.

What a face or a voice says at each step, and how far it can be trusted.

The zero-shot model: an expression encoder's posteriors on the circumplex, arousal supported by the voice.

A heuristic. Nothing in it was learned from valence or arousal, so that it is a place to start from, and no measure.

Letters: t steps, k modalities (voice, face).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from iaca.audio.features import NAMES
from iaca.encoders.config import EmbeddingConfig, describe
from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError, brief
from iaca.parameters import MODALITIES, Parameters, faults
from iaca.text import parse_json
from iaca.training.predict import ClipPrediction

Array = NDArray[np.float64]


Value = Annotated[float, Field(ge=-1, le=1)]
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The classes of the expression encoder, in the order of its logits."""
REMEDY = "give a file like the project's own zero_shot.json"


class Ramp(Parameters):
    """How a quality cue becomes trust: 0 at `none` and beyond, 1 at `full` and beyond, straight in between."""

    none: float
    full: float

    @model_validator(mode="after")
    def _steep(self) -> Ramp:
        if self.none == self.full:
            raise ValueError("a ramp needs two different ends")
        return self


class FaceRules(Parameters):
    """How a face is read.

    Attributes:
        coordinates: valence and arousal of each class.
        trust: quality cue -> ramp; the trust in a face is their product. An unknown cue leaves no doubt.
        rest_share: how much of the face's own mean position is taken off in a long clip.
        rest_s: s of face after which half of that share is taken off.
    """

    coordinates: dict[str, tuple[Value, Value]]
    trust: dict[str, Ramp]
    rest_share: float = Field(ge=0, le=1)
    rest_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _complete(self) -> FaceRules:
        if set(self.coordinates) != set(CLASSES):
            raise ValueError(f"coordinates are needed of exactly {', '.join(CLASSES)}")
        return self


class VoiceRules(Parameters):
    """How a voice is read.

    Attributes:
        units: descriptor -> how far it rises above the speaker's own level for one unit of evidence.
        reach: the most arousal that a voice adds or takes.
        trust: as of a face; ramps also of `voiced_share`, the share of voiced frames within a second.
        own_s: s of voice after which the speaker's own level is half known.
    """

    units: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    reach: float = Field(gt=0, le=1)
    trust: dict[str, Ramp]
    own_s: float = Field(gt=0)


class ZeroShotConfig(Parameters):
    """The whole model.

    Attributes:
        version: of the rules in code that these numbers are for.
        sources: where the numbers come from, in words.
        smoothing_s: time constant of the two-sided exponential mean, s.
        step_s: the longest time one step may stand for, s: what comes after a gap weighs no more.
        prior_s: s of fully trusted evidence that the resting point (0, 0) weighs.
        confidence_s: s of fully trusted evidence at which confidence is a half.
    """

    version: int = Field(ge=1, le=1)
    sources: dict[str, str]
    face: FaceRules
    voice: VoiceRules
    smoothing_s: float = Field(gt=0)
    step_s: float = Field(gt=0)
    prior_s: float = Field(gt=0)
    confidence_s: float = Field(gt=0)


def read_config(path: Path) -> ZeroShotConfig:
    """The rules in a JSON file.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    try:
        content = parse_json(path.read_text())
        json.dumps(content, ensure_ascii=False).encode()  # ValueError: half of a surrogate pair can't be written again
        return ZeroShotConfig.model_validate(content)
    except FileNotFoundError as error:
        raise InputError("there is no such model file", path, remedy=REMEDY) from error
    except ValidationError as error:
        raise InputError(f"not the rules of a zero-shot model ({faults(error)})", path, remedy=REMEDY) from error
    except (OSError, ValueError) as error:
        raise InputError(f"not a JSON file of rules ({brief(error)})", path, remedy=REMEDY) from error


def durations(times: Array, longest: float) -> Array:
    """How many s each of t steps stands for: half the way to its neighbours, at most `longest` s.

    A single step stands for `longest`; times that do not rise stand for nothing.
    """
    if len(times) < 2:
        return np.full(len(times), longest)
    gaps = np.clip(np.diff(times), 0, longest)
    return np.concatenate([gaps[:1], gaps]) / 2 + np.concatenate([gaps, gaps[-1:]]) / 2


def two_sided(values: Array, times: Array, constant: float) -> Array:
    """Sum over all steps of values times exp(-|distance in s| / constant): (t, k) -> (t, k).

    Time and memory grow with t: one pass forwards and one backwards, each carrying a decaying sum. What lies several
    constants away, as beyond a gap, counts for nothing.
    """
    decay = np.exp(-np.abs(np.diff(times)) / constant)
    total = np.array(values, np.float64)
    return total + _before(total, decay) + _before(total[::-1], decay[::-1])[::-1]


def _before(values: Array, decay: Array) -> Array:
    """Decayed sum of everything before each step, which itself is left out."""
    sums = np.zeros_like(values)
    for i in range(1, len(values)):
        sums[i] = (sums[i - 1] + values[i - 1]) * decay[i - 1]
    return sums


RELATIVE = ("level_motion",)
"""Descriptors whose ratio to the speaker's own level counts, by its logarithm; of the others the difference counts."""
LEAST = 1e-3


@dataclass(frozen=True)
class Evidence:
    """What one modality says of t steps.

    Attributes:
        value: (t, 2) valence and arousal in [-1, 1]; zero where there is no trust.
        trust: (t,) in [0, 1].
    """

    value: Array
    trust: Array


def face_evidence(clip: ClipEmbedding, rules: FaceRules, seconds: Array) -> Evidence:
    """The expected position of the expression: posteriors of the classes times their coordinates.

    A classifier reads some faces as angry or sad at rest. Part of the face's own mean position over the clip is
    therefore taken off, the more the longer it was seen: s = rest_share T / (T + rest_s) of it after T seconds.

    Args:
        clip: its last visual columns are the classes' logits.
        rules: coordinates and ramps.
        seconds: (t,) s that each step stands for.
    """
    trust = np.where(clip.face_found, trusted(cues_of(clip), rules.trust, len(clip)), 0.0)
    logits = clip.visual[:, -len(CLASSES) :].astype(np.float64)
    value = _softmax(logits) @ np.array([rules.coordinates[name] for name in CLASSES])
    value = np.where(trust[:, None] > 0, value, 0.0)
    weight = trust * seconds
    seen_s = float(weight.sum())
    if seen_s > 0:
        share = rules.rest_share * seen_s / (seen_s + rules.rest_s)
        value = value - share * (weight @ value) / seen_s
    return Evidence(np.where(trust[:, None] > 0, value, 0.0).clip(-1, 1), trust)


def voice_evidence(clip: ClipEmbedding, rules: VoiceRules, seconds: Array) -> Evidence:
    """How far arousal departs from the speaker's own, by the voice; of valence a voice says nothing here.

    arousal = reach tanh(mean_k((x_k - m_k) / u_k)), where m_k is the median of descriptor k over the T seconds of voice
    and u_k its unit; T / (T + own_s) of it counts and is trusted, since a short clip hardly shows what is usual. Where
    there is no voice there is no trust: silence is no calm voice.
    """
    sound = {name: clip.audio[:, i].astype(np.float64) for i, name in enumerate(NAMES)}
    cues = cues_of(clip) | {"voiced_share": sound["voiced_share"]}
    trust = np.where(clip.audio_present, trusted(cues, rules.trust, len(clip)), 0.0)
    weight = trust * seconds
    heard_s, value = float(weight.sum()), np.zeros((len(clip), 2))
    known = heard_s / (heard_s + rules.own_s)
    if heard_s > 0:
        units = [_above_own_level(sound[name], weight, name) / unit for name, unit in rules.units.items()]
        value[:, 1] = known * rules.reach * np.tanh(np.mean(units, axis=0))
    return Evidence(np.where(trust[:, None] > 0, value, 0.0), known * trust)


def cues_of(clip: ClipEmbedding) -> dict[str, Array]:
    """The clip's quality cues (t,) by name."""
    return {name: clip.quality[:, i].astype(np.float64) for i, name in enumerate(clip.quality_names)}


def trusted(cues: Mapping[str, Array], ramps: Mapping[str, Ramp], steps: int) -> Array:
    """Product of the ramps of all cues, (t,) in [0, 1]; a cue that is unknown or missing counts as 1."""
    trust = np.ones(steps)
    for name, ramp in ramps.items():
        if name in cues:
            rise = (cues[name] - ramp.none) / (ramp.full - ramp.none)
            trust *= np.nan_to_num(rise, nan=1.0).clip(0, 1)
    return trust


def _above_own_level(values: Array, weight: Array, name: str) -> Array:
    """Difference of each step from the weighted median; unknown values lie at it."""
    if name in RELATIVE:
        values = np.log(np.maximum(values, LEAST))
    known = np.isfinite(values) & (weight > 0)
    if not known.any():
        return np.zeros_like(values)
    return np.nan_to_num(values - weighted_median(values[known], weight[known]), posinf=0.0, neginf=0.0)


def weighted_median(values: Array, weight: Array) -> float:
    """The value below and above which lies half of the weight, for (n,) values with weights above 0."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


NAME = "zero_shot"
GATES: Mapping[str, tuple[str, ...]] = {"modalities": ("audio", "visual")}
CAVEAT = (
    "HEURISTIC, not a trained model: an expression classifier's posteriors placed on the circumplex, with arousal "
    "supported by the voice relative to the speaker's own level. Never fitted to valence or arousal; its "
    "limits: docs/guide/zero_shot.md"
)
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
