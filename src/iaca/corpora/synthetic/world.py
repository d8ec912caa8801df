"""How feelings become features: random mixing, the same for all clips of a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iaca.corpora.synthetic.config import SEES, SyntheticConfig
from iaca.corpora.synthetic.noise import Array, Stream, generator, smooth
from iaca.modalities import MODALITIES

NUISANCES = 4  # slow processes beside what is felt
TRAITS = 4  # directions in which identities differ
BEND = 0.5  # share of the mildly nonlinear part
SUBJECT, SESSION = 0.9, np.sqrt(1 - 0.9**2)  # an identity is mostly the person's, a little the recording's


@dataclass(frozen=True)
class View:
    """One modality's view of a person.

    Attributes:
        sees: (2,) correlation of what is shown with valence and arousal.
        straight, bent: (2, D) mixing of what is shown, linear and through tanh.
        nuisance: (NUISANCES, D).
        traits: (TRAITS, D).
    """

    sees: Array
    straight: Array
    bent: Array
    nuisance: Array
    traits: Array

    def features(self, felt: Array, identity: Array, config: SyntheticConfig, rng: np.random.Generator) -> Array:
        """(t, D) features of what is felt (t, 2) by someone of this identity (TRAITS,)."""
        steps, correlation = len(felt), config.correlation_s * config.rate
        drift = smooth(rng, steps, correlation, 2 + NUISANCES)
        shown = self.sees * felt + np.sqrt(1 - self.sees**2) * drift[:, :2]
        signal = shown @ self.straight + BEND * np.tanh(shown @ self.bent)
        slow = config.nuisance * drift[:, 2:] @ self.nuisance + config.identity * identity @ self.traits
        white: Array = config.noise * rng.standard_normal(signal.shape)
        return signal + slow + white


def draw_views(config: SyntheticConfig) -> dict[str, View]:
    """The views of voice (`audio`) and face (`visual`); each feature's signal has a variance of about 1."""
    rng = generator(config.seed, Stream.WORLD)
    dims = {"audio": config.audio_dim, "visual": config.visual_dim}
    return {m: View(np.asarray(SEES[config.kind][m]), *_mixing(rng, dim)) for m, dim in dims.items()}


def _mixing(rng: np.random.Generator, dim: int) -> tuple[Array, Array, Array, Array]:
    rows = (2, 2, NUISANCES, TRAITS)
    straight, bent, nuisance, traits = (rng.standard_normal((n, dim)) / np.sqrt(n) for n in rows)
    return straight, 2 * bent, nuisance, traits


def draw_identity(config: SyntheticConfig, subject: int, session: np.random.Generator) -> dict[str, Array]:
    """Traits (TRAITS,) of a subject's voice and face in one recording."""
    person = generator(config.seed, Stream.SUBJECT, subject)
    return {
        modality: SUBJECT * person.standard_normal(TRAITS) + SESSION * session.standard_normal(TRAITS)
        for modality in MODALITIES
    }
