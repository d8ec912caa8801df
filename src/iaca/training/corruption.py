"""How training windows are corrupted: for a while, one modality of a window is missing, noisy, or of another clip.

Training corrupts embeddings, whereas quality cues are measured on pictures and sound. So what corruption does to cues
is simulated [ours]; otherwise a model would learn that cues carry no information. What is assumed, in normalised units
(standard deviations of a cue):

absent      cues of that modality, and of both, are unknown: 0
zeros       cues of that modality that fall when its signal is dead are at `FLOOR`; the others are at their mean: 0
noise       cues of that modality fall (clipping rises) by `DROP` per standard deviation of the noise, each times a
            factor in 0.5 to 1.5; those that do not depend on noise (size, pose) are unchanged
other       cues of that modality come with the other clip's segment

`iaca.encoders.cues.TABLE` has the direction of each cue; a cue that is not in it describes both modalities.

A cue of both modalities (synchrony) cannot be measured without the two signals. Wherever something observed was
corrupted it becomes that of unrelated streams: no agreement (0 before normalisation) on average, and fluctuations of
the cue of another clip's window around its own mean. The lag of the sound is unknown there: 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.signal import lfilter

from iaca.encoders.cues import LAG, TABLE
from iaca.parameters import MODALITIES, Modality
from iaca.training.config import CorruptionConfig, CorruptionKind
from iaca.training.sample import BOTH, FloatArray, Normalisation, Sample, modalities_of, where_known

FLOOR = -2.0
DROP = 0.5


@dataclass(frozen=True)
class Corruption:
    """What was drawn for a window.

    Attributes:
        modality, kind, segment: what happens to which steps.
        scale, reach: of `noise`, in standard deviations of each feature, and in steps.
        other: of `other`, the window of another clip.
    """

    modality: Modality
    kind: CorruptionKind
    segment: slice
    scale: float = 0.0
    reach: float = 1.0
    other: Sample | None = None


def corrupt(
    sample: Sample,
    draw_other: Callable[[], Sample],
    config: CorruptionConfig,
    rng: np.random.Generator,
    cues: CueSimulation | None = None,
) -> Sample:
    """Corrupt one contiguous segment of one modality, or nothing; labels and valid steps are unchanged.

    Embeddings are corrupted in the same way whether or not a model reads cues: what cues need is drawn last.

    Args:
        sample: a window of t steps; it is not modified.
        draw_other: draws a window of another clip, for the kind `other` and for cues of both modalities.
        config: shares and kinds.
        rng: the generator of this window in this epoch.
        cues: what corruption does to the quality cues that the model reads.
    """
    if rng.random() >= config.share:
        return sample
    modality = MODALITIES[0 if rng.random() < 0.5 else 1]
    kind = config.kinds[int(rng.integers(len(config.kinds)))]
    corruption = Corruption(modality, kind, _draw_segment(int(sample.padding.sum()), config, rng))
    if kind == "noise":
        corruption = replace(corruption, scale=rng.uniform(*config.noise), reach=draw_reach(rng, config.noise_reach))
    elif kind == "other":
        corruption = replace(corruption, other=draw_other())
    corrupted = _corrupt_features(sample, corruption, rng)
    return corrupted if cues is None else cues.apply(corrupted, corruption, draw_other, rng)


def _draw_segment(steps: int, config: CorruptionConfig, rng: np.random.Generator) -> slice:
    """A segment of the steps of a window that exist."""
    if rng.random() < config.whole:
        return slice(0, steps)
    length = min(steps, max(1, round(rng.uniform(config.shortest, config.longest) * steps)))
    start = int(rng.integers(steps - length + 1))
    return slice(start, start + length)


def draw_reach(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A number of steps, uniform on a logarithmic scale between two bounds."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _corrupt_features(sample: Sample, corruption: Corruption, rng: np.random.Generator) -> Sample:
    """The window with corrupted embeddings; `corrupted` is True where something that is observed has changed."""
    modality, segment, column = corruption.modality, corruption.segment, MODALITIES.index(corruption.modality)
    x, presence, corrupted = getattr(sample, modality).copy(), sample.present.copy(), sample.corrupted.copy()
    present = presence[:, column]  # a view
    observed = present.copy()
    if corruption.kind in {"absent", "zeros"}:
        x[segment] = 0.0  # the mean, since features are normalised
    if corruption.kind == "absent":
        present[segment] = False
    if corruption.kind == "noise":
        noise = np.float32(corruption.scale) * lasting_noise(rng, x[segment].shape, corruption.reach)
        x[segment] += np.where(present[segment, None], noise, np.float32(0.0))
    if corruption.other is not None:
        x[segment] = getattr(corruption.other, modality)[segment]
        observed[segment] = present[segment] = corruption.other.present[segment, column]
    corrupted[segment, column] = observed[segment]
    changes = {modality: x, "present": presence, "corrupted": corrupted}
    return replace(sample, **changes)


def lasting_noise(rng: np.random.Generator, shape: tuple[int, int], reach: float) -> FloatArray:
    """Gaussian noise (t, D) of unit variance whose autocorrelation falls to 1/e within `reach` steps.

    Encoders look at overlapping windows, and music or a second speaker last for seconds: noise in one step is also in
    its neighbours. White noise would be too easy, since anything that smooths over time averages it away.
    """
    decay = math.exp(-1.0 / reach)  # AR(1)
    innovation = rng.standard_normal(shape, dtype=np.float32)
    innovation[1:] *= np.float32(math.sqrt(1.0 - decay**2))
    noise: FloatArray = lfilter(np.ones(1, np.float32), np.array([1.0, -decay], np.float32), innovation, axis=0)
    return noise


@dataclass(frozen=True)
class CueSimulation:
    """What corruption of a window's embeddings does to its cues; the assumptions are at the top of this file.

    Attributes:
        cues: names of the q cues that the model reads.
        no_agreement: (q,) float32, the value 0 of each cue after normalisation.
    """

    cues: tuple[str, ...]
    no_agreement: FloatArray

    @classmethod
    def of(cls, cues: Sequence[str], normalisation: Normalisation) -> CueSimulation:
        """For the cues that a normalisation was fitted on."""
        return cls(tuple(cues), -normalisation.quality_mean / normalisation.quality_std)

    def apply(
        self, sample: Sample, corruption: Corruption, draw_other: Callable[[], Sample], rng: np.random.Generator
    ) -> Sample:
        """The window, whose embeddings are corrupted, with cues to match; draws nothing if there are no cues."""
        own, both = self._columns(corruption.modality), self._columns(BOTH)
        quality = sample.quality.copy()
        segment = quality[corruption.segment]  # a view
        if corruption.other is not None:
            segment[:, own] = corruption.other.quality[corruption.segment][:, own]
        elif corruption.kind == "zeros":
            segment[:, own] = -FLOOR * self._directions(own, "dead")
        elif corruption.kind == "noise":
            size = DROP * corruption.scale * rng.uniform(0.5, 1.5, len(own)).astype(np.float32)
            segment[:, own] += self._directions(own, "noisy") * size
        if both and corruption.kind != "absent":
            segment[:, both] = self._unrelated(corruption.other or draw_other(), both)[corruption.segment]
        known = where_known(self.cues, dict(zip(MODALITIES, sample.present.T, strict=True)))
        return replace(sample, quality=np.where(known, quality, np.float32(0.0)))

    def _columns(self, modality: Modality | Literal["both"]) -> list[int]:
        return [i for i, described in enumerate(modalities_of(self.cues)) if described == modality]

    def _directions(self, columns: list[int], signal: Literal["dead", "noisy"]) -> FloatArray:
        """1, 0 or -1 of each cue: it rises, stays or falls when the signal is dead or noisy."""
        return np.array([getattr(TABLE[self.cues[i]], signal) for i in columns], dtype=np.float32)

    def _unrelated(self, other: Sample, both: list[int]) -> FloatArray:
        """(t, len(both)): no agreement, plus the fluctuation of another window where it has both modalities."""
        present = other.present.all(axis=1, keepdims=True)  # (t, 1)
        values = other.quality[:, both]
        mean = values.sum(axis=0, where=present) / max(int(present.sum()), 1)
        fluctuation = np.where(present, values - mean, np.float32(0.0)) + self.no_agreement[both]
        measured = np.array([self.cues[i] != LAG for i in both])
        return np.where(measured, fluctuation, np.float32(0.0)).astype(np.float32)
