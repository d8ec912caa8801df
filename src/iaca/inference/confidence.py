"""How much a prediction rests on: one number per step in [0, 1]. It is an index, not a probability.

    q_m(t)      = quality of modality m where it was observed, 0 elsewhere
                  face:  face_score * ramp(face_sharpness; 2, 4.5)
                  voice: ramp(snr_estimate; 3 dB, 20 dB)
    e_m(t)      = max over s of q_m(s) * 2^(-|t - s| / 1 s)
    u_m(t)      = (1 / M + gate weight of m) / 2        (1 / M without a gate across the M modalities of the model)
    evidence(t) = sum over m of u_m e_m
    confidence  = own(t) evidence / (1 + (spread / 0.2)^2); 0 where nothing is predicted

own(t) is how much a model says itself that its answer rests on (`zero_shot`); 1 for those that say nothing.

ramp(x; a, b) is 0 up to a, 1 from b, straight between; an unknown cue counts as good. The spread is that of several
models: root mean square, over the dimensions, of the standard deviation between them; a single model has none.

With the gate's weights held, it never rises when a modality goes missing, a quality falls, or models move apart, and
never falls when the nearest observed step comes closer. The formula is ours; `benchmarks/confidence.py` measures what
it says about errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding

SHARPNESS = (2.0, 4.5)
"""`face_sharpness` of a face of which nothing can be told, and of one in focus; the default corpus's 5 % lie at 4.9."""
SNR_DB = (3.0, 20.0)
"""`snr_estimate` of sound without a voice above its floor, and of a clear one."""
HALF_LIFE_S = 1.0
"""An observation is worth half as much to a step this far (s) away."""
SPREAD = 0.2
"""Disagreement between models, on the scale of valence and arousal, that halves the confidence."""
LOW = 0.5
"""What summaries count as low."""
Array = NDArray[np.float64]


def confidence(
    clip: ClipEmbedding,
    modalities: Sequence[str],
    weights: NDArray[np.floating] | None,
    spread: NDArray[np.floating] | None,
    own: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """The confidence (t,) of a clip's predictions, in [0, 1].

    Args:
        clip: masks and cues; cues that it lacks are unknown.
        modalities: "audio", "visual" or both: what the model reads.
        weights: (t, 2) of voice and face in the gate across them; None for a model without one.
        spread: (t,) between models, on the scale of valence and arousal; None for a single model.
        own: (t,) in [0, 1] what the models say themselves; None where they say nothing.
    """
    given = [quality(clip, modality) for modality in modalities]
    worth = np.stack([lasting(q, clip.time_s) for q in given], axis=1)
    shares = np.full_like(worth, 1 / len(modalities))
    if weights is not None and len(modalities) == 2:
        shares = (shares + np.nan_to_num(weights, nan=0.5)) / 2
    value = (shares * worth).sum(axis=1)
    if spread is not None:
        value = value / (1 + (np.asarray(spread, np.float64) / SPREAD) ** 2)
    if own is not None:
        value = value * own
    return np.where(clip.observed, value.clip(0, 1), 0.0).astype(np.float32)


def quality(clip: ClipEmbedding, modality: str) -> Array:
    """q (t,) in [0, 1] of "audio" or "visual": 0 where it was not observed."""
    if modality == "audio":
        return np.where(clip.audio_present, _ramp(_cue(clip, "snr_estimate"), *SNR_DB), 0.0)
    score = np.nan_to_num(_cue(clip, "face_score"), nan=1.0).clip(0, 1)
    return np.where(clip.face_found, score * _ramp(_cue(clip, "face_sharpness"), *SHARPNESS), 0.0)


def lasting(worth: Array, time_s: Array) -> Array:
    """max over s of worth(s) 2^(-|t - s| / `HALF_LIFE_S`), (t,) for increasing times (s)."""
    with np.errstate(divide="ignore"):
        level = np.log2(worth)  # -inf where there is nothing
    age = (time_s - time_s[:1]) / HALF_LIFE_S
    before = np.maximum.accumulate(level + age) - age
    after = np.maximum.accumulate((level - age)[::-1])[::-1] + age
    return np.asarray(2.0 ** np.maximum(before, after))


def _cue(clip: ClipEmbedding, name: str) -> Array:
    if name not in clip.quality_names:
        return np.full(len(clip), np.nan)
    return clip.quality[:, clip.quality_names.index(name)].astype(np.float64)


def _ramp(x: Array, low: float, high: float) -> Array:
    return np.nan_to_num((x - low) / (high - low), nan=1.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)
