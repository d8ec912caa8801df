"""Prosodic and spectral descriptors over one second: an encoder that learned nothing, see `iaca.audio.features`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from iaca.audio.features import Sound, functionals
from iaca.encoders.audio import Run
from iaca.encoders.options import NoOptions


class Prosody(nn.Module):
    """40 statistics a step."""

    def __init__(self, options: NoOptions, weights: Path | None):
        super().__init__()
        del options, weights

    def encode(self, samples: Sound, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s -> (t, 40)."""
        del run, batch
        return functionals(samples, times)
