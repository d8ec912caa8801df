"""Hidden states of WavLM and HuBERT at 50 Hz, brought to the steps.

S. Chen et al., *WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing* (2022); W.-N. Hsu et
al., *HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units* (2021). Networks and
layout of the weights are torchaudio's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.models import Wav2Vec2Model, hubert_base, wavlm_base

from iaca.encoders.audio.windows import RATE, Run
from iaca.encoders.checkpoint import load
from iaca.encoders.options import LayerOptions

STRIDE, FIELD = 320, 400  # samples from one hidden state to the next, and that one looks at
CORE, CONTEXT = 500, 100  # hidden states: 10 s are taken from a piece, 2 s on either side are heard and left


class HiddenStates(nn.Module):
    """768 features a step, between the two hidden states that are nearest in time.

    Attention grows with the square of the length: sound goes through in pieces that overlap.
    """

    def __init__(self, options: LayerOptions, network: Wav2Vec2Model, weights: Path | None):
        super().__init__()
        self.layer, self.network = options.layer, network
        load(self.network, weights, drop=("aux.",))
        self.eval()

    def forward(self, samples: Tensor) -> Tensor:
        """(1, m) -> (1, hidden states, 768)."""
        states, _ = self.network.extract_features(samples, num_layers=self.layer)
        last: Tensor = states[-1]
        return last

    def encode(self, samples: Tensor, times: Tensor, run: Run, batch: int) -> Tensor:
        """Samples (m,) and times (t,) in s -> (t, 768). Beyond the sound, the first or last hidden state."""
        del batch
        states = torch.cat([run(piece[None])[0, first:last] for piece, first, last in pieces(samples)])
        place = ((times * RATE - FIELD / 2) / STRIDE).clamp(0, len(states) - 1).to(states.device)
        before = place.floor().long().clamp(max=max(len(states) - 2, 0))
        share = (place - before)[:, None].to(states.dtype)
        return torch.lerp(states[before], states[(before + 1).clamp(max=len(states) - 1)], share)


def pieces(samples: Tensor) -> Iterator[tuple[Tensor, int, int]]:
    """Pieces of a sound, and which of the hidden states of each are taken: first, and one after the last."""
    samples = F.pad(samples, (0, max(FIELD - len(samples), 0)))
    total = (len(samples) - FIELD) // STRIDE + 1
    for first in range(0, total, CORE):
        start, stop = max(first - CONTEXT, 0), min(first + CORE + CONTEXT, total)
        end = len(samples) if stop == total else (stop - 1) * STRIDE + FIELD
        yield samples[start * STRIDE : end], first - start, min(first + CORE, total) - start


class WavLM(HiddenStates):
    """WavLM Base, the weights of WAVLM_BASE_PLUS."""

    def __init__(self, options: LayerOptions, weights: Path | None):
        super().__init__(options, wavlm_base(), weights)


class Hubert(HiddenStates):
    """HuBERT Base."""

    def __init__(self, options: LayerOptions, weights: Path | None):
        super().__init__(options, hubert_base(), weights)
