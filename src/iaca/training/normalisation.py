"""Mean and standard deviation of embeddings and cues, from what was really observed in the train partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from iaca.encoders.embedding import ClipEmbedding
from iaca.errors import InputError
from iaca.modalities import Modality
from iaca.training.cues import FloatArray, least_deviations, read_cues


def _no_cues() -> FloatArray:
    return np.empty(0, dtype=np.float32)


@dataclass(frozen=True)
class Normalisation:
    """Per-feature statistics.

    Attributes:
        audio_mean, audio_std: (D_a,) float32; a feature that never varies has 1 as its deviation.
        visual_mean, visual_std: (D_v,) float32.
        quality_mean, quality_std: (q,) float32, of the cues that the model reads, in its order; a deviation is at
            least `least_deviations`.
    """

    audio_mean: FloatArray
    audio_std: FloatArray
    visual_mean: FloatArray
    visual_std: FloatArray
    quality_mean: FloatArray = field(default_factory=_no_cues)
    quality_std: FloatArray = field(default_factory=_no_cues)

    @classmethod
    def fit(cls, clips: Mapping[str, ClipEmbedding], cues: Sequence[str] = ()) -> Normalisation:
        """Statistics over the observed steps of all clips.

        Args:
            clips: of the train partition.
            cues: names of the quality cues that the model reads. A value that is not finite is an unknown one.

        Raises:
            InputError: an observed step holds an embedding that is not finite; named by clip.
        """
        each = np.array([_moments(_known(clips, cue)) for cue in cues], np.float32).reshape(len(cues), 2)
        each[:, 1] = np.maximum(each[:, 1], least_deviations(cues))
        audio, visual = _moments(_observed_rows(clips, "audio")), _moments(_observed_rows(clips, "visual"))
        return cls(*audio, *visual, *each.T.copy())

    def apply(self, x: FloatArray, present: NDArray[np.bool_], modality: Modality) -> FloatArray:
        """(t, D) normalised; zero, the mean, where the modality is not present (t,)."""
        mean, std = getattr(self, f"{modality}_mean"), getattr(self, f"{modality}_std")
        normalised: FloatArray = np.where(present[:, None], (x - mean) / std, np.float32(0.0))
        return normalised

    def apply_cues(self, cues: FloatArray) -> FloatArray:
        """(t, q) normalised; zero, the mean, where NaN says that a cue is not known."""
        normalised: FloatArray = np.nan_to_num((cues - self.quality_mean) / self.quality_std, nan=0.0)
        return normalised


def _observed_rows(clips: Mapping[str, ClipEmbedding], modality: Modality) -> Iterable[NDArray[np.float64]]:
    """The observed rows of each clip, (n, D)."""
    for name, clip in clips.items():
        rows = clip.features[modality][clip.present[modality]].astype(np.float64)
        if not np.isfinite(rows).all():
            raise InputError(
                f"clip {name}: the {modality} embedding holds NaN or infinity where the modality was observed",
                remedy="run the embedding pipeline again, or mark those steps as not observed",
            )
        yield rows


def _known(clips: Mapping[str, ClipEmbedding], cue: str) -> Iterable[NDArray[np.float64]]:
    """The known values of one cue of each clip, (n, 1)."""
    for clip in clips.values():
        values = read_cues(clip, [cue])
        yield values[np.isfinite(values)].astype(np.float64)[:, None]


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
