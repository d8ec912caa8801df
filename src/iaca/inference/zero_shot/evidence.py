"""What a face or a voice says at each step, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iaca.audio.features import NAMES
from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.zero_shot.config import CLASSES, FaceRules, Ramp, VoiceRules

Array = NDArray[np.float64]
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
