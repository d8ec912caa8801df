"""What injected corruption does to quality cues: a simulation [ours], since cues are measured on pictures and sound.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from iaca.encoders.cues import LAG, TABLE
from iaca.modalities import MODALITIES
from iaca.training.corruption import Corruption
from iaca.training.cues import BOTH, FloatArray, modalities_of, where_known
from iaca.training.normalisation import Normalisation
from iaca.training.sample import Sample

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
