"""Mean and standard deviation of the embeddings, from what was really observed in the train partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError

FloatArray = NDArray[np.float32]


def observed(clip: ClipEmbedding, modality: str) -> NDArray[np.bool_]:
    """(t,) bool, where a modality of a clip was observed."""
    return clip.audio_present if modality == "audio" else clip.face_found


@dataclass(frozen=True)
class Normalisation:
    """Per-feature statistics.

    Attributes:
        audio_mean, audio_std: (D_a,) float32; a feature that never varies has 1 as its deviation.
        visual_mean, visual_std: (D_v,) float32.
    """

    audio_mean: FloatArray
    audio_std: FloatArray
    visual_mean: FloatArray
    visual_std: FloatArray

    @classmethod
    def fit(cls, clips: Mapping[str, ClipEmbedding]) -> Normalisation:
        """Statistics over the observed steps of all clips.

        Raises:
            InputError: an observed step holds a value that is not finite; named by clip.
        """
        return cls(*_moments(_seen(clips, "audio")), *_moments(_seen(clips, "visual")))

    def apply(self, x: FloatArray, present: NDArray[np.bool_], modality: str) -> FloatArray:
        """(t, D) normalised; zero, the mean, where the modality is not present (t,)."""
        mean, std = getattr(self, f"{modality}_mean"), getattr(self, f"{modality}_std")
        normalised: FloatArray = np.where(present[:, None], (x - mean) / std, np.float32(0.0))
        return normalised


def _seen(clips: Mapping[str, ClipEmbedding], modality: str) -> Iterable[NDArray[np.float64]]:
    """The observed rows of each clip, (n, D)."""
    for name, clip in clips.items():
        rows = getattr(clip, modality)[observed(clip, modality)].astype(np.float64)
        if not np.isfinite(rows).all():
            raise InputError(
                f"clip {name}: the {modality} embedding holds NaN or infinity where the modality was observed",
                remedy="run the embedding pipeline again, or mark those steps as not observed",
            )
        yield rows


def _moments(parts: Iterable[NDArray[np.float64]]) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation in one pass: counts, means and squared deviations are merged (Chan et al., 1979)."""
    count, mean, square = 0, np.zeros(1), np.zeros(1)
    for rows in parts:
        n = len(rows)
        centre = rows.mean(axis=0) if n else np.zeros(rows.shape[1])
        delta, total = centre - mean, max(count + n, 1)
        square = square + ((rows - centre) ** 2).sum(axis=0) + delta**2 * (count * n / total)
        mean, count = mean + delta * (n / total), count + n
    deviation = np.sqrt(square / max(count, 1))
    return mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
