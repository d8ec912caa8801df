"""Noise that lasts: what embeddings of a noisy stretch of sound or picture really look like.

Corruption of training windows: one modality of a window is missing, noisy, or of another clip.

What injected corruption does to quality cues: a simulation [ours], since cues are measured on pictures and sound.

Training corrupts embeddings, long after sound and pictures are gone. The cues have to tell of it nevertheless, or a
model would learn that they know nothing. What is assumed, in normalised units (standard deviations of a cue):

absent      the cues of that modality, and those of both, are not known: 0
zeros       the cues of that modality that fall when it is dead are at `FLOOR`; the others say nothing special: 0
noise       the cues of that modality fall (clipping rises) by `DROP` per standard deviation of the noise, each 0.5 to
            1.5 times that; those that do not depend on noise (size, pose) stay as they are
other       the cues of that modality come with the other clip's segment

`iaca.encoders.cues` says which way each goes; a cue that is not in it is one of both modalities.

A cue of both modalities (synchrony) can't be measured again without its two signals. Wherever something observed was
corrupted it becomes that of unrelated streams: no agreement (0 before normalisation) on average, fluctuating around it
as the cue of another clip's window fluctuates around its own mean. The lag of the sound is not known there: 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from iaca.encoders.cues import LAG, TABLE
from iaca.parameters import MODALITIES, Modality
from iaca.training.config import CorruptionConfig, CorruptionKind
from iaca.training.sample import BOTH, FloatArray, Normalisation, Sample, modalities_of, where_known


def lasting_noise(rng: np.random.Generator, shape: tuple[int, int], reach: float) -> NDArray[np.float32]:
    """Gaussian noise (t, D) of unit variance whose autocorrelation falls to 1/e within `reach` steps.

    Encoders look at overlapping stretches, and music or a second talker go on for a while: what they add to one step
    they add to its neighbours. White noise is averaged away by anything that smooths over time, and tests nobody.
    """
    keeps = math.exp(-1.0 / reach)  # AR(1)
    fresh = rng.standard_normal(shape, dtype=np.float32)
    fresh[1:] *= np.float32(math.sqrt(1.0 - keeps**2))
    noise: NDArray[np.float32] = lfilter(np.ones(1, np.float32), np.array([1.0, -keeps], np.float32), fresh, axis=0)
    return noise


def draw_reach(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Steps, evenly on a logarithmic scale between two bounds."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


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
    """Maybe corrupt one contiguous segment of one modality; labels, and the steps that count, stay as they are.

    What happens to the embeddings is the same whether or not a model reads cues: theirs is the last draw.

    Args:
        sample: a window of t steps; never changed itself.
        draw_other: draws a window of another clip, for the kind `other` and for cues of both modalities.
        config: shares and kinds.
        rng: the generator of this window in this epoch.
        cues: what corruption does to the quality cues that the model reads.
    """
    if rng.random() >= config.share:
        return sample
    modality = MODALITIES[0 if rng.random() < 0.5 else 1]
    kind = config.kinds[int(rng.integers(len(config.kinds)))]
    segment = _segment(int(sample.padding.sum()), config, rng)
    corruption = Corruption(modality, kind, segment)
    if kind == "noise":
        corruption = replace(corruption, scale=rng.uniform(*config.noise), reach=draw_reach(rng, config.noise_reach))
    elif kind == "other":
        corruption = replace(corruption, other=draw_other())
    changed = _corrupt_features(sample, corruption, rng)
    return changed if cues is None else cues.follow(changed, corruption, draw_other, rng)


def _corrupt_features(sample: Sample, corruption: Corruption, rng: np.random.Generator) -> Sample:
    """The window with corrupted embeddings; `corrupted` says where something that was observed has changed."""
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


def _segment(steps: int, config: CorruptionConfig, rng: np.random.Generator) -> slice:
    """A stretch of the real steps of a window."""
    if rng.random() < config.whole:
        return slice(0, steps)
    length = min(steps, max(1, round(rng.uniform(config.shortest, config.longest) * steps)))
    start = int(rng.integers(steps - length + 1))
    return slice(start, start + length)


FLOOR = -2.0
DROP = 0.5


@dataclass(frozen=True)
class CueSimulation:
    """Changes the cues of a window as its embeddings were corrupted.

    Attributes:
        cues: names of the q cues that the model reads.
        no_agreement: (q,) float32, what 0 is after normalisation.
    """

    cues: tuple[str, ...]
    no_agreement: FloatArray

    @classmethod
    def of(cls, cues: Sequence[str], normalisation: Normalisation) -> CueSimulation:
        """For the cues that a normalisation was fitted on."""
        return cls(tuple(cues), -normalisation.quality_mean / normalisation.quality_std)

    def follow(
        self, sample: Sample, corruption: Corruption, draw_other: Callable[[], Sample], rng: np.random.Generator
    ) -> Sample:
        """The window whose embeddings are corrupted, with cues to match; draws nothing if there are none."""
        own, both = self._of(corruption.modality), self._of(BOTH)
        quality = sample.quality.copy()
        steps = quality[corruption.segment]  # a view
        if corruption.other is not None:
            steps[:, own] = corruption.other.quality[corruption.segment][:, own]
        elif corruption.kind == "zeros":
            steps[:, own] = -FLOOR * self._way(own, "dead")
        elif corruption.kind == "noise":
            size = DROP * corruption.scale * rng.uniform(0.5, 1.5, len(own)).astype(np.float32)
            steps[:, own] += self._way(own, "noisy") * size
        if both and corruption.kind != "absent":
            steps[:, both] = self._unrelated(corruption.other or draw_other(), both)[corruption.segment]
        known = where_known(self.cues, dict(zip(MODALITIES, sample.present.T, strict=True)))
        return replace(sample, quality=np.where(known, quality, np.float32(0.0)))

    def _way(self, own: list[int], when: str) -> FloatArray:
        return np.array([getattr(TABLE[self.cues[i]], when) for i in own], dtype=np.float32)

    def _of(self, modality: str) -> list[int]:
        return [i for i, of in enumerate(modalities_of(self.cues)) if of == modality]

    def _unrelated(self, other: Sample, both: list[int]) -> FloatArray:
        """(t, len(both)): no agreement, and another window's fluctuation where that has any."""
        seen = other.present.all(axis=1, keepdims=True)  # (t, 1)
        values = other.quality[:, both]
        mean = values.sum(axis=0, where=seen) / max(int(seen.sum()), 1)
        fluctuation = np.where(seen, values - mean, np.float32(0.0)) + self.no_agreement[both]
        measured = np.array([self.cues[i] != LAG for i in both])
        return np.where(measured, fluctuation, np.float32(0.0)).astype(np.float32)
